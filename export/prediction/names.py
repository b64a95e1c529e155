"""What landmarks are called."""

from __future__ import annotations

import os
from pathlib import Path

from export.prediction.errors import PredictionError


def read_names(given: str) -> tuple[str, ...]:
    """Names joined by commas, or those in a file, one a line.

    >>> read_names("nose, tail")
    ('nose', 'tail')

    Raises:
      PredictionError: A name is empty or stands there twice, or the file is no text.
    """
    path = Path(given)
    # `Path.is_file` raises for names that are longer than a file's may be.
    if os.path.isfile(given):  # noqa: PTH113
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PredictionError(
                f"--names: expected a text file in UTF-8 with one name a line, got {path}: "
                f"{getattr(error, 'strerror', None) or error.__class__.__name__}"
            ) from error
        names = [line.strip() for line in text.splitlines()]
        names = [name for name in names if name]
    else:
        names = [name.strip() for name in given.split(",")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names or not all(names):
        got = f"{', '.join(twice)} twice" if twice else repr(given)
        raise PredictionError(
            f"--names: expected different names, such as nose,tail, or a file with one a line, "
            f"got {got}"
        )
    return tuple(names)


def names_for(channels: int, given: tuple[str, ...] | None) -> tuple[str, ...]:
    """The names of so many channels; `node0`, `node1` and so on where none are given.

    Raises:
      PredictionError: There are more or fewer.
    """
    if given is None:
        return tuple(f"node{channel}" for channel in range(channels))
    if len(given) != channels:
        raise PredictionError(
            f"--names: expected {channels} names, one per channel, got {len(given)}: "
            f"{', '.join(given)}"
        )
    return given
