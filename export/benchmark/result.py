"""What a benchmark found: plain data, as it is printed, drawn and written as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
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
    "clients": "clients at a time",
}
# Those whose points are shapes of maps.
SHAPES = ("size", "batch")
OURS = "peakserve"
NOT_INSTALLED = "not installed"


def size_of(shape: Iterable[int]) -> str:
    """A shape as the tables write it.

    >>> size_of((8, 256, 256, 13))
    '8x256x256x13'
    """
    return "x".join(map(str, shape))


@dataclass(frozen=True)
class Goal:
    """A ratio, or a difference, of two contestants that is to be reached.

    Attributes:
      of: The contestant whose time is divided.
      by: The contestant by whose time it is divided.
      bound: Of the ratio.
      kind: `at most` or `at least`.
      unit: `ms` where the times are subtracted instead; empty for a ratio.
    """

    of: str
    by: str
    bound: float
    kind: str = AT_MOST
    unit: str = ""

    def __str__(self) -> str:
        """What is computed."""
        return f"{self.of} - {self.by}, {self.unit}" if self.unit else f"{self.of} / {self.by}"

    def measure(self, times: Times) -> float:
        """What was reached."""
        if self.unit:
            return 1e3 * times.difference(self.of, self.by)
        return times.ratio(self.of, self.by)

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
      p90: Under load, what nine of ten requests stay below, in milliseconds.
      p99: Under load, what 99 of 100 requests stay below, in milliseconds.
      per_second: Under load, requests of all clients in a second.
    """

    contestant: str
    milliseconds: float | None
    ratio: float | None
    note: str = ""
    p90: float | None = None
    p99: float | None = None
    per_second: float | None = None


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
class WireSizes:
    """What a frame takes on the wire, by how it is sent.

    Attributes:
      frame: Which frames.
      bytes: How it is sent to the bytes of a request for one frame; maps first.
    """

    frame: str
    bytes: dict[str, int]


@dataclass(frozen=True)
class Benchmark:
    """One run of the command.

    Attributes:
      rounds: Times taken of each contestant.
      quick: Whether sizes were small, to try the command: times then mean little.
      maps: Shape of the maps where a case names none.
      machine: What it ran on, by name.
      tables: In the order of measuring.
      server: What hosted the models; empty where nothing was served.
      sizes: What frames take on the wire.
    """

    rounds: int
    quick: bool
    maps: str
    machine: dict[str, str]
    tables: tuple[Table, ...]
    server: str = ""
    sizes: tuple[WireSizes, ...] = ()

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
    return Table(work, case, order, axis, at, tuple(rows), figures_of(goals, times))


def figures_of(goals: tuple[Goal, ...], times: Times) -> tuple[Figure, ...]:
    """What was reached of goals."""
    measured = [goal.measure(times) for goal in goals]
    return tuple(
        Figure(goal, reached, goal.is_met(reached))
        for goal, reached in zip(goals, measured, strict=True)
    )
