"""Where a network comes from. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NetworkSource:
    """A network's file.

    Attributes:
      path: A SavedModel's folder, a `.keras` or an `.h5` file.
      output: Which output holds the maps, `None` for the only one.
      centroid: The file of the centroid network beside it, where a model has two.
    """

    path: Path
    output: str | None = None
    centroid: Path | None = None

    def as_text(self) -> str:
        """As one argument of a process."""
        return json.dumps([str(value) if value else None for value in dataclasses.astuple(self)])

    @classmethod
    def from_text(cls, text: str) -> NetworkSource:
        """From that argument.

        >>> NetworkSource.from_text(NetworkSource(Path("a"), centroid=Path("b")).as_text()).output
        """
        path, output, centroid = json.loads(text)
        return cls(Path(path), output, Path(centroid) if centroid else None)
