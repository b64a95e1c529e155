"""Version directories that a test makes, moves and spoils."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from .models import config_entry, save_factor, write_config

AVAILABLE, LOADING, UNLOADING, END = "AVAILABLE", "LOADING", "UNLOADING", "END"
SERVED = (AVAILABLE, "OK", "")
UNLOADED = (END, "OK", "")


class Factory:
    """Copies of models that were saved once.

    A version moved into place is complete at the first look of the server; the staging folder
    lies on the same file system.
    """

    def __init__(self, folder: Path) -> None:
        self.staging = folder / "staging"
        self.folder = folder
        self._saved: dict[int, Path] = {}
        self._copies = 0

    def saved(self, factor: int) -> Path:
        """A SavedModel that multiplies by `factor`; not to be changed."""
        if factor not in self._saved:
            self._saved[factor] = save_factor(self.staging / f"factor-{factor}", factor)
        return self._saved[factor]

    def publish(
        self,
        base: Path,
        version: int | str,
        factor: int | None = None,
        spoil: Callable[[Path], None] | None = None,
    ) -> Path:
        """Moves a version into place that multiplies by its own number, or by `factor`.

        Args:
          base: The model's base path.
          version: The directory's name.
          factor: What the model multiplies by.
          spoil: Called with the complete copy before it is moved.
        """
        self._copies += 1
        copy = self.staging / f"copy-{self._copies}"
        shutil.copytree(self.saved(int(version) if factor is None else factor), copy)
        if spoil is not None:
            spoil(copy)
        return copy.rename(base / str(version))

    def model(self, name: str, *versions: int) -> Path:
        """A base path with these versions."""
        base = self.folder / name
        base.mkdir()
        for version in versions:
            self.publish(base, version)
        return base

    def config(self, *names: str) -> str:
        """The flag that makes a server host these models."""
        entries = [config_entry(name, self.folder / name) for name in names]
        return f"--model_config_file={write_config(self.folder / 'models.config', entries)}"

    def remove(self, directory: Path) -> None:
        """Takes a version away in one step, as a server sees it."""
        self._copies += 1
        shutil.rmtree(directory.rename(self.staging / f"removed-{self._copies}"))
