"""Which versions lie below a base path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from serving_config.embedded.model_config import ModelEntry

# What the stock server takes for a number, sign and blanks included.
_NUMBER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+[ \t\n\v\f\r]*")
_LIMIT = 2**63


class BasePathError(Exception):
    """A base path that cannot be looked at; nothing may be unloaded because of it."""


def version_directories(base_path: Path) -> dict[int, Path]:
    """The version numbers below a base path, and where each lies; other names are ignored.

    `007` is version 7; of two names for one number the last in the alphabet counts. Whether an
    entry is a directory at all shows when it is loaded.

    Raises:
      OSError: The base path cannot be read.
    """
    found = {}
    for entry in sorted(base_path.iterdir()):
        if _NUMBER.fullmatch(entry.name) and -_LIMIT <= int(entry.name) < _LIMIT:
            found[int(entry.name)] = entry
    return found


def wanted_versions(entries: Iterable[ModelEntry]) -> dict[str, dict[int, Path]]:
    """Of every model the versions that its policy wants of those on disk.

    Raises:
      BasePathError: One of the base paths cannot be read. As in the stock server this puts off
        all models, since nobody knows what else is not mounted at the moment.
    """
    wanted = {}
    for entry in entries:
        try:
            found = version_directories(Path(entry.base_path))
        except FileNotFoundError as error:
            raise BasePathError(
                f"Could not find base path {entry.base_path} for servable {entry.name} "
                f"with error NOT_FOUND: {entry.base_path} not found"
            ) from error
        except OSError as error:
            raise BasePathError(f"{entry.base_path}; {error.strerror}") from error
        wanted[entry.name] = entry.policy.wanted(found)
    return wanted
