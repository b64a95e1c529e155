"""What commands write: JSON on standard output, and files whose place is checked first."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click


def print_json(data: Any) -> None:
    """Prints one document on standard output, where nothing else may be.

    Args:
      data: Plain data without NaN and infinities, which JSON does not have.
    """
    click.echo(json.dumps(data, indent=2, allow_nan=False))


def unwritable(path: Path, *, is_folder: bool) -> str | None:
    """Why a file could not be written, or a folder made; `None` if nothing speaks against it.

    >>> unwritable(Path("none/points.csv"), is_folder=False)
    'expected a file in a folder that is there, got none/points.csv; make it with: mkdir -p none'

    Args:
      path: The file or folder.
      is_folder: Whether missing folders above it are made.
    """
    if path.exists():
        nearest = path
    elif is_folder:
        nearest = next(folder for folder in path.absolute().parents if folder.exists())
    else:
        nearest = path.parent
        if not nearest.exists():
            return (
                f"expected a file in a folder that is there, got {path}; "
                f"make it with: mkdir -p {nearest}"
            )
    if nearest != path and not nearest.is_dir():
        return f"expected a path in a folder, got {path}, where {nearest} is a file"
    if not os.access(nearest, os.W_OK):
        return f"expected a place that can be written, got {path}; chmod u+w {nearest}"
    return None
