"""A comparison that is not yet measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from export.benchmark.result import Goal
from export.benchmark.timing import INTERLEAVED, Run


@dataclass(frozen=True)
class Trial:
    """One comparison, not yet measured.

    Attributes:
      work: Its name in `WORKS`.
      case: What the contestants are given.
      contestants: Makes them, ours first; `None` for one that is not installed.
      order: How they take turns.
      axis: See `result.Table`.
      at: See `result.Table`.
      goals: What is to be reached.
    """

    work: str
    case: str
    contestants: Callable[[], Mapping[str, Run | None]]
    order: str = INTERLEAVED
    axis: str = ""
    at: float = 0.0
    goals: tuple[Goal, ...] = ()
