"""The version store: `MODEL_ROOT/MODEL/VERSION/`, published by one rename.

A model server polls this folder and loads whatever numbered directory it finds, complete or
not. So a version is staged under a name that is not a number, on the same filesystem, flushed
to disk, and renamed: no numbered directory is ever incomplete.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

STAGING_PREFIX = ".staging-"
LARGEST_VERSION = 2**63 - 1

# One folder of the model root, and one word of an address.
_NAME = re.compile(r"[^./\x00-\x1f][^/\x00-\x1f]{0,127}")
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


class StoreError(RuntimeError):
    """A version that cannot be published or found, in one sentence."""


class Unchanged(Exception):  # noqa: N818 - not an error
    """What a writer raises when there is nothing new to publish.

    Attributes:
      version: The version that has the content already.
    """

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class VersionStore:
    """The versions of one model.

    Attributes:
      path: `MODEL_ROOT/MODEL`, the server's base path, absolute.
    """

    def __init__(self, model_root: str | Path, model: str) -> None:
        """Names the store; nothing is created before something is published.

        Raises:
          StoreError: The model's name is no name of a folder in the model root.
        """
        if not _NAME.fullmatch(model):
            raise StoreError(
                f"expected a model's name, one folder of {model_root} that does not begin with "
                f"'.', got {model!r}"
            )
        self.path = Path(model_root).resolve() / model

    def versions(self) -> list[int]:
        """Version numbers on disk, ascending, read as the server reads them (`007` is 7)."""
        return sorted(int(entry.name) for entry in self._entries())

    def version_path(self, version: int) -> Path:
        """The directory of a version: of one that is there, by the name that it has (`007`)."""
        usual = self.path / str(version)
        if usual.exists():
            return usual
        return next((path for path in self._entries() if int(path.name) == version), usual)

    def _entries(self) -> Iterator[Path]:
        """What the server takes for versions."""
        for entry in self.path.iterdir() if self.path.is_dir() else ():
            is_number = entry.name.isascii() and entry.name.isdigit()
            # What is larger, such as a time stamp of 20 digits, is none of the server's numbers.
            if is_number and int(entry.name) <= LARGEST_VERSION:
                yield entry

    def publish(
        self, write: Callable[[Path], None], version: int | None = None
    ) -> tuple[int, Path]:
        """Stages a version, flushes it to disk, and publishes it with one rename.

        Args:
          write: Fills an existing, empty directory.
          version: The number; without one, the next free one.

        Returns:
          The version and its directory.

        Raises:
          StoreError: The version exists, or the store cannot be written.
        """
        self._require_free(version)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.remove_stale_staging()
            with self._staging() as staging:
                write(staging)
                _flush_tree(staging)
                number = self._rename(staging, version)
            flush(self.path)
        except OSError as error:
            raise StoreError(
                f"cannot publish into {self.path}: {error.strerror or error}; "
                "choose a writable folder with enough space with --model-root"
            ) from error
        return number, self.version_path(number)

    def remove_stale_staging(self) -> list[Path]:
        """Removes staging folders whose exporter is gone; returns them."""
        removed = []
        for path in self.path.glob(f"{STAGING_PREFIX}*"):
            with contextlib.suppress(OSError), locked(path):
                shutil.rmtree(path)
                removed.append(path)
        return removed

    @contextlib.contextmanager
    def _staging(self) -> Iterator[Path]:
        """A folder that is ours for as long as this process lives, and removed after."""
        while True:
            path = self.path / f"{STAGING_PREFIX}{secrets.token_hex(8)}"
            path.mkdir()
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(locked(path))
                    path.stat()
                except (BlockingIOError, FileNotFoundError):
                    # Another exporter took the folder for a stale one before it was locked.
                    continue
                except OSError:
                    # No lock to be had here, as on some network file systems.
                    path.rmdir()
                    raise
                try:
                    yield path
                finally:
                    shutil.rmtree(path, ignore_errors=True)
                return

    def _rename(self, staging: Path, version: int | None) -> int:
        while True:
            self._require_free(version)
            number = version or max(self.versions(), default=0) + 1
            try:
                staging.rename(self.version_path(number))
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
                # Another exporter was first: with a free choice, take the next number.
                continue
            return number

    def _require_free(self, version: int | None) -> None:
        if version is not None and version in self.versions():
            raise StoreError(
                f"version {version} exists already in {self.path}; "
                "choose another --version or leave it out"
            )


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds the folder's lock, which ends with the process.

    Args:
      folder: An existing folder.
      wait: Whether to wait for another holder; else `BlockingIOError` says that there is one.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _flush_tree(folder: Path) -> None:
    """Flushes every file and folder to disk, so that a rename never outlives its content."""
    for path in [*folder.rglob("*"), folder]:
        flush(path)


def flush(path: Path) -> None:
    """Flushes one file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
