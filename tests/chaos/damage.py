"""Ways to damage a version's directory."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

Spoil = Callable[[Path], None]

_DATA = Path("variables") / "variables.data-00000-of-00001"
_INDEX = Path("variables") / "variables.index"
_GRAPH = Path("saved_model.pb")


def _cut(name: Path) -> Spoil:
    def spoil(directory: Path) -> None:
        path = directory / name
        os.truncate(path, path.stat().st_size // 2)

    return spoil


def _random(name: Path) -> Spoil:
    """Random bytes, as many as there were."""

    def spoil(directory: Path) -> None:
        path = directory / name
        path.write_bytes(random.Random(0).randbytes(path.stat().st_size))

    return spoil


def _without(name: Path) -> Spoil:
    def spoil(directory: Path) -> None:
        path = directory / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def _everything_random(directory: Path) -> None:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            _random(path.relative_to(directory))(directory)


def _nothing(directory: Path) -> None:
    for path in directory.iterdir():
        _without(path.relative_to(directory))(directory)


def _a_file(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.write_bytes(b"not a directory")


def _graph_is_a_directory(directory: Path) -> None:
    (directory / _GRAPH).unlink()
    (directory / _GRAPH).mkdir()


def _link(name: str, target: str) -> Spoil:
    """A link in the place of the directory, or of a file in it; to itself without a target."""

    def spoil(directory: Path) -> None:
        path = directory / name if name else directory
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.symlink_to(target or path.name)

    return spoil


def _mode(name: str) -> Spoil:
    return lambda directory: (directory / name).chmod(0)


DAMAGES: dict[str, Spoil] = {
    "graph truncated": _cut(_GRAPH),
    "variables truncated": _cut(_DATA),
    "index truncated": _cut(_INDEX),
    "graph of random bytes": _random(_GRAPH),
    "variables of random bytes": _random(_DATA),
    "index of random bytes": _random(_INDEX),
    "everything random": _everything_random,
    "without variables": _without(Path("variables")),
    "without graph": _without(_GRAPH),
    "without assets": _without(Path("assets")),
    "empty": _nothing,
    "a file instead of the directory": _a_file,
    "a directory instead of the graph": _graph_is_a_directory,
    "a link to nothing": _link("", "nothing"),
    "a link to itself": _link("", ""),
    "a graph that links to itself": _link("saved_model.pb", ""),
}

# What keeps others than root out.
UNREADABLE: dict[str, Spoil] = {
    "directory of mode 000": _mode("."),
    "graph of mode 000": _mode("saved_model.pb"),
    "variables of mode 000": _mode("variables"),
}
