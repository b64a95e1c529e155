"""Times of contestants that take turns, and ratios of times that were taken side by side.

A machine that others use is slow for a while and then fast again. Contestants that alternate meet
the same moments, so that the ratio of two times of one round says more than either time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Run = Callable[[], object]
Clock = Callable[[], float]

INTERLEAVED = "interleaved"
BLOCKS = "blocks"
# What counts as no time, in seconds.
_SHORTEST = 1e-9


def after_nothing() -> None:
    """No progress is shown."""


@dataclass(frozen=True)
class Times:
    """The times of all contestants.

    Attributes:
      seconds: Contestant to its time in each round; all have as many.
    """

    seconds: Mapping[str, tuple[float, ...]]

    def median(self, name: str) -> float:
        """The median time of a contestant, in seconds."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, baseline: str) -> float:
        """The median over the rounds of a contestant's time by the baseline's of that round.

        >>> Times({"ours": (1.0, 10.0, 1.0), "other": (2.0, 20.0, 3.0)}).ratio("other", "ours")
        2.0
        """
        pairs = zip(self.seconds[name], self.seconds[baseline], strict=True)
        # A clock may be too coarse to see the baseline.
        return statistics.median(time / max(other, _SHORTEST) for time, other in pairs)

    def difference(self, name: str, baseline: str) -> float:
        """The median over the rounds of how much longer a contestant took, in seconds.

        >>> Times({"ours": (1.0, 10.0, 1.0), "other": (2.0, 20.0, 3.0)}).difference("other", "ours")
        2.0
        """
        pairs = zip(self.seconds[name], self.seconds[baseline], strict=True)
        return statistics.median(time - other for time, other in pairs)


def interleaved(
    runs: Mapping[str, Run],
    rounds: int,
    *,
    clock: Clock = time.perf_counter,
    after_each: Callable[[], None] = after_nothing,
) -> Times:
    """Every contestant once a round, in their order: each finds the caches as another left them.

    Args:
      runs: Contestant to what is timed. Each runs once before, untimed.
      rounds: How many times are taken of each.
      clock: Seconds from any start.
      after_each: Called after each timed run, for progress.
    """
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(_timed(run, clock))
            after_each()
    return Times({name: tuple(times) for name, times in seconds.items()})


def in_blocks(
    runs: Mapping[str, Run],
    rounds: int,
    *,
    clock: Clock = time.perf_counter,
    after_each: Callable[[], None] = after_nothing,
) -> Times:
    """All rounds of one contestant, then those of the next: each finds the caches its own.

    Arguments as in `interleaved`.
    """
    seconds = {}
    for name, run in runs.items():
        run()
        times = []
        for _ in range(rounds):
            times.append(_timed(run, clock))
            after_each()
        seconds[name] = tuple(times)
    return Times(seconds)


ORDERS = {INTERLEAVED: interleaved, BLOCKS: in_blocks}


def _timed(run: Run, clock: Clock) -> float:
    start = clock()
    run()
    return clock() - start
