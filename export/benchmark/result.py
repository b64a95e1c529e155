"""What a benchmark found: plain data, as it is printed, drawn and written as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.benchmark.timing import Times

AT_MOST = "at most"
AT_LEAST = "at least"

# What a sweep goes over, and how its axis is written.
AXES = {
    "size": "image height and width, pixels",
    "batch": "samples of a request",
    "peaks": "peaks of a request",
    "density": "candidates, percent of all pixels",
}
# Those whose points are shapes of maps.
SHAPES = ("size", "batch")
OURS = "peakserve"
NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Goal:
    """A ratio of two times that is to be reached.

    Attributes:
      of: The contestant whose time is divided.
      by: The contestant by whose time it is divided.
      bound: Of the ratio.
      kind: `at most` or `at least`.
    """

    of: str
    by: str
    bound: float
    kind: str = AT_MOST

    def is_met(self, ratio: float) -> bool:
        """Whether a measured ratio is within the bound.

        >>> Goal("ours", "read", 3.0).is_met(2.9), Goal("other", "ours", 2.0, AT_LEAST).is_met(1.9)
        (True, False)
        """
        return ratio <= self.bound if self.kind == AT_MOST else ratio >= self.bound


@dataclass(frozen=True)
class Row:
    """One contestant.

    Attributes:
      contestant: Its name.
      milliseconds: The median of its times; `None` if it could not run.
      ratio: Its time by that of the first contestant, by paired medians.
      note: Why it could not run.
    """

    contestant: str
    milliseconds: float | None
    ratio: float | None
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A goal and what was measured.

    Attributes:
      goal: The ratio and its bound.
      measured: The ratio by paired medians.
      met: Whether it is within the bound.
    """

    goal: Goal
    measured: float
    met: bool


@dataclass(frozen=True)
class Table:
    """Contestants at one work.

    Attributes:
      work: The signature that is measured.
      case: What it is given.
      order: `interleaved` or `blocks`.
      axis: What the case is a point of, a key of `AXES`; empty if of nothing.
      at: Where on that axis.
      rows: The contestants, ours first.
      figures: What is to be reached.
    """

    work: str
    case: str
    order: str
    axis: str
    at: float
    rows: tuple[Row, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Benchmark:
    """One run of the command.

    Attributes:
      rounds: Times taken of each contestant.
      quick: Whether sizes were small, to try the command: times then mean little.
      maps: Shape of the maps where a case names none.
      machine: What it ran on, by name.
      tables: In the order of measuring.
    """

    rounds: int
    quick: bool
    maps: str
    machine: dict[str, str]
    tables: tuple[Table, ...]

    def as_data(self) -> dict[str, Any]:
        """What JSON is made of."""
        return dataclasses.asdict(self)

    def write(self, path: Path) -> None:
        """Writes JSON."""
        path.write_text(json.dumps(self.as_data(), indent=2, allow_nan=False) + "\n")


def table_of(
    times: Times,
    *,
    work: str,
    case: str,
    order: str,
    axis: str = "",
    at: float = 0.0,
    missing: tuple[str, ...] = (),
    goals: tuple[Goal, ...] = (),
) -> Table:
    """From times to a table.

    Args:
      times: Of the contestants that ran; the first is what the others' ratios go by.
      work: See `Table`.
      case: See `Table`.
      order: See `Table`.
      axis: See `Table`.
      at: See `Table`.
      missing: Contestants that are not installed.
      goals: Between contestants that ran.
    """
    first = next(iter(times.seconds))
    rows = [Row(name, 1e3 * times.median(name), times.ratio(name, first)) for name in times.seconds]
    rows += [Row(name, None, None, NOT_INSTALLED) for name in missing]
    figures = []
    for goal in goals:
        ratio = times.ratio(goal.of, goal.by)
        figures.append(Figure(goal, ratio, goal.is_met(ratio)))
    return Table(work, case, order, axis, at, tuple(rows), tuple(figures))
