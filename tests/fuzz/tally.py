"""Counts of one surface."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from .conftest import MEMORY, SETTLED, Watched

THREADS = 4
SHOWN = 5


@dataclass
class Tally:
    """What came of the inputs of one surface."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, outcome: str, seconds: float, fault: str = "") -> None:
        """Counts one input."""
        with self.lock:
            self.outcomes[outcome] += 1
            self.slowest = max(self.slowest, seconds)
            if fault:
                self.faults.append(fault)


def fire(
    watched: Watched,
    surface: str,
    count: int,
    shoot: Callable[[np.random.Generator], tuple[str, str]],
    tell: Callable[[str], None],
) -> None:
    """Sends drawn inputs from several threads and judges what came of them.

    Args:
      watched: The server.
      surface: What is fuzzed, for the figures and the seeds.
      count: How many inputs.
      shoot: Draws one input, sends it, and returns its outcome and its fault, if it is one.
      tell: Where the figures go.
    """
    seed = int.from_bytes(surface.encode(), "little") % 2**32
    tally = Tally()

    def one(number: int) -> None:
        start = time.perf_counter()
        try:
            outcome, fault = shoot(np.random.default_rng([seed, number]))
        except Exception as error:
            outcome, fault = type(error).__name__, f"{type(error).__name__}: {error!s:.500}"
        taken = time.perf_counter() - start
        tally.add(outcome, taken, fault and f"{surface} input {number}: {fault}")

    watched.check()
    with ThreadPoolExecutor(THREADS) as pool:
        settling = min(SETTLED, count // 3)
        list(pool.map(one, range(settling)))
        watched.settle()
        for first in range(settling, count, SETTLED):
            list(pool.map(one, range(first, min(first + SETTLED, count))))
            watched.check()
            if len(tally.faults) > 50:
                break
    grown = watched.grown()
    outcomes = ", ".join(f"{number:,} {name}" for name, number in tally.outcomes.most_common())
    tell(
        f"{watched.kind}, {surface}: {sum(tally.outcomes.values()):,} inputs: {outcomes}; "
        f"{len(tally.faults)} faults, slowest {tally.slowest:.2f} s, peak +{grown:.0f} MB"
    )
    assert not tally.faults, "\n".join(tally.faults[:SHOWN])
    assert grown < MEMORY
