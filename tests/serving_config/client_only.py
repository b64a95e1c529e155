"""A Python in which only some packages are installed, as far as importing can tell.

Usage: python client_only.py ALLOWED PROGRAM [ARGUMENT ...]; ALLOWED are distributions, joined by
commas, whose requirements are allowed too. PROGRAM is `-m MODULE` or a file.
"""

from __future__ import annotations

import importlib.metadata
import re
import runpy
import sys

OURS = {"export", "signatures", "serving_config"}


def with_requirements(names: list[str]) -> set[str]:
    """The distributions and all that they require, extras left out; names as in an index."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found.add(name)
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            # For another Python or system.
            continue
        waiting += [
            re.match(r"[\w.-]+", text)[0] for text in requirements if "extra ==" not in text
        ]
    return found


class Hidden:
    """Finds nothing of the packages that are not allowed: they are as good as not installed."""

    def __init__(self, allowed: set[str]) -> None:
        self._hidden = {
            package
            for package, owners in importlib.metadata.packages_distributions().items()
            if package not in OURS
            and not any(re.sub(r"[-_.]+", "-", owner).lower() in allowed for owner in owners)
        }

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self._hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def main(allowed: str, *program: str) -> None:
    """Hides packages, and runs a program."""
    sys.meta_path.insert(0, Hidden(with_requirements(allowed.split(","))))
    if program[0] == "-m":
        sys.argv = list(program[1:])
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(program)
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
