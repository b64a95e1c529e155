"""The files that points are written to.

Legend: `N` frames, `C` channels (landmarks), `K` peaks of a frame, `I` instances of a frame.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np

from export.prediction.errors import PredictionError
from export.prediction.replies import Instances, Mark, Points, Reply

# By format, the ending of its files.
ENDINGS = {"csv": ".csv", "dlc": ".csv", "json": ".json", "npz": ".npz", "slp": ".slp"}
FORMATS = tuple(ENDINGS)
# What cannot be printed.
BINARY = ("npz", "slp")
# What has one place for each landmark of a frame.
ONE_PER_LANDMARK = ("dlc", "slp")
SCORER = "peakserve"


class Writer(Protocol):
    """Writes replies in order."""

    def write(self, first: int, reply: Reply) -> None:
        """Writes consecutive frames.

        Args:
          first: The number of the first one.
          reply: Their points.
        """

    def close(self) -> None:
        """Writes what is missing for the file to be whole."""


def format_of(out: Path | None, wanted: str | None) -> str:
    """The format of a file by its ending, unless one is named; CSV where there is no file.

    Raises:
      PredictionError: The ending is not known or is that of another format, or the format
        cannot be printed.
    """
    if out is None:
        if wanted in BINARY:
            raise PredictionError(
                f"expected --out FILE{ENDINGS[wanted]} with --format {wanted}, got none: it cannot "
                "be printed"
            )
        return wanted or "csv"
    ending = out.suffix.lower()
    for name in [wanted] if wanted else FORMATS:
        if ENDINGS[name] == ending:
            return name
    known = ENDINGS[wanted] if wanted else ", ".join(dict.fromkeys(ENDINGS.values()))
    raise PredictionError(f"expected --out with the ending {known}, got {out}")


class TidyCsv:
    """One row per frame and landmark, or per peak: `frame,node,x,y,confidence`.

    Of several instances, `frame,instance,node,x,y,confidence`, and no rows of those that there are
    not. Where nothing was found x and y are `NaN`.
    """

    def __init__(
        self, stream: TextIO, names: Sequence[str], *, has_instances: bool = False
    ) -> None:
        self._names = names
        self._csv = csv.writer(stream, lineterminator="\n")
        instance = ("instance",) if has_instances else ()
        self._csv.writerow(("frame", *instance, "node", "x", "y", "confidence"))

    def write(self, first: int, reply: Reply) -> None:
        """See `Writer`."""
        for frame in range(len(reply.points)):
            self._csv.writerows(
                (first + frame, *self._whose(mark), *map(_text, mark.numbers))
                for mark in reply.marks(frame)
            )

    def _whose(self, mark: Mark) -> tuple[str | int, ...]:
        name = self._names[mark.channel]
        return (name,) if mark.instance is None else (mark.instance, name)

    def close(self) -> None:
        """See `Writer`."""


class DeepLabCutCsv:
    """DeepLabCut's layout: rows `scorer`, `bodyparts`, `coords`, then one row per frame.

    Of several instances there is a row `individuals` after the first, `individual1` and so on,
    strongest first in each frame. Where nothing was found x and y are empty, as DeepLabCut writes
    them; where there is no instance, so is the likelihood.

    Args:
      stream: Where it is written.
      names: Of the body parts.
      slots: I, `None` where there are no instances to tell apart.
    """

    def __init__(self, stream: TextIO, names: Sequence[str], slots: int | None = None) -> None:
        self._csv = csv.writer(stream, lineterminator="\n")
        columns = ("x", "y", "likelihood")
        width = len(names) * len(columns)
        individuals = [f"individual{slot + 1}" for slot in range(slots or 0)]
        repeats = 1 if slots is None else slots
        self._none = [[""] * width] * repeats
        self._csv.writerow(("scorer", *[SCORER] * repeats * width))
        if slots is not None:
            self._csv.writerow(("individuals", *[one for one in individuals for _ in range(width)]))
        self._csv.writerow(("bodyparts", *[name for name in names for _ in columns] * repeats))
        self._csv.writerow(("coords", *columns * len(names) * repeats))

    def write(self, first: int, reply: Reply) -> None:
        """See `Writer`."""
        for frame in range(len(reply.points)):
            slots = list(self._none)
            for slot, marks in groupby(reply.marks(frame), lambda mark: mark.instance or 0):
                numbers = [number for mark in marks for number in mark.numbers]
                slots[slot] = ["" if np.isnan(number) else _text(number) for number in numbers]
            self._csv.writerow((first + frame, *chain(*slots)))

    def close(self) -> None:
        """See `Writer`."""


class Json:
    """An object with `names` and `frames`, a line for each frame.

    A frame has `points` [C][2] (`null` where nothing was found), `confidences` and `valid` [C]; or
    `instances`, each with these and its own `confidence`; or `peaks`, each with `node`, `x`, `y`
    and `confidence`. Those of pictures name their `file`.
    """

    def __init__(self, stream: TextIO, names: Sequence[str], files: Sequence[Path]) -> None:
        self._stream = stream
        self._names = names
        self._files = files
        self._before = "\n"
        stream.write(f'{{"names": {json.dumps(list(names))}, "frames": [')

    def write(self, first: int, reply: Reply) -> None:
        """See `Writer`."""
        for frame in range(len(reply.points)):
            number = first + frame
            about = {"file": str(self._files[number])} if self._files else {}
            content = {"frame": number, **about, **self._content(frame, reply)}
            self._stream.write(self._before + json.dumps(content))
            self._before = ",\n"

    def _content(self, frame: int, reply: Reply) -> dict[str, Any]:
        if isinstance(reply, Points):
            return _landmarks(list(reply.marks(frame)))
        if isinstance(reply, Instances):
            marks = list(reply.marks(frame))
            return {
                "instances": [
                    {
                        "instance": slot,
                        "confidence": _json(reply.instance_confidences[frame, slot]),
                        **_landmarks([mark for mark in marks if mark.instance == slot]),
                    }
                    for slot in reply.present(frame)
                ]
            }
        return {
            "peaks": [
                {
                    "node": self._names[mark.channel],
                    "x": _json(mark.x),
                    "y": _json(mark.y),
                    "confidence": _json(mark.confidence),
                }
                for mark in reply.marks(frame)
            ]
        }

    def close(self) -> None:
        """See `Writer`."""
        self._stream.write("\n]}\n")


class Npz:
    """NumPy's archive of what was answered, in memory until it is closed.

    Keys: `points` float32 [N, C, 2] (NaN where nothing was found), `confidences` [N, C] and
    `valid` [N, C]; or these of [N, I, C] and `instance_confidences` [N, I]; or `points` [N, K, 2],
    `confidences` [N, K], `channels` [N, K] and `count` [N]. With them `names` [C], and `files` [N]
    of pictures.
    """

    def __init__(self, path: Path, names: Sequence[str], files: Sequence[Path]) -> None:
        self._path = path
        self._names = names
        self._files = files
        self._replies: list[Reply] = []

    def write(self, first: int, reply: Reply) -> None:
        """See `Writer`."""
        self._replies.append(reply)

    def close(self) -> None:
        """See `Writer`."""
        whole = joined(self._replies)
        arrays: dict[str, Any] = {name: np.asarray(array) for name, array in vars(whole).items()}
        arrays["names"] = np.array(self._names)
        if self._files:
            arrays["files"] = np.array([str(file) for file in self._files[: len(whole.points)]])
        # A file, since NumPy would give `points.NPZ` another ending.
        with self._path.open("wb") as file:
            np.savez(file, **arrays)


def joined(replies: Sequence[Reply]) -> Reply:
    """Replies to consecutive requests as one."""
    kind: type[Reply] = type(replies[0])
    return kind(
        **{
            name: np.concatenate([getattr(reply, name) for reply in replies])
            for name in vars(replies[0])
        }
    )


def _text(number: np.float32) -> str:
    """The shortest text that reads back as the same float32.

    >>> _text(np.float32(0.1)), _text(np.float32("nan"))
    ('0.1', 'NaN')
    """
    return "NaN" if np.isnan(number) else str(number)


def _landmarks(marks: Sequence[Mark]) -> dict[str, Any]:
    """Every landmark of a frame or an instance as plain data."""
    return {
        "points": [[_json(mark.x), _json(mark.y)] for mark in marks],
        "confidences": [_json(mark.confidence) for mark in marks],
        "valid": [mark.is_found for mark in marks],
    }


def _json(number: np.float32) -> float | None:
    return None if np.isnan(number) else float(str(number))
