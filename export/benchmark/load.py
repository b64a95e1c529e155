"""Clients that ask a server at the same time, in slices that take turns.

A slice is one contestant's turn: every client sends as many requests, one after the other. The
time of a slice says what the throughput is, the times of its requests what a client waits.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from export.benchmark.timing import Clock, Times, after_nothing

# Sends one request and waits for its reply.
Ask = Callable[[], object]


@dataclass(frozen=True)
class Slice:
    """One contestant's turn.

    Attributes:
      seconds: From the first request's start to the last reply.
      latencies: Of each request, in seconds, of all clients.
    """

    seconds: float
    latencies: tuple[float, ...]


@dataclass(frozen=True)
class LoadTimes:
    """The slices of all contestants.

    Attributes:
      slices: Contestant to its slice of each round; all have as many.
    """

    slices: Mapping[str, tuple[Slice, ...]]

    def latency(self, name: str, percent: float) -> float:
        """A percentile of a contestant's latencies over all its slices, in seconds."""
        pooled = [latency for part in self.slices[name] for latency in part.latencies]
        return float(np.percentile(pooled, percent))

    def throughput(self, name: str) -> float:
        """Requests per second: the median over the slices."""
        return statistics.median(len(part.latencies) / part.seconds for part in self.slices[name])

    def of_slices(self) -> Times:
        """The slices' times by request: their ratios are inverse ratios of throughputs."""
        return Times(
            {
                name: tuple(part.seconds / len(part.latencies) for part in parts)
                for name, parts in self.slices.items()
            }
        )

    def of_medians(self) -> Times:
        """The median latency of each slice."""
        return Times(
            {
                name: tuple(statistics.median(part.latencies) for part in parts)
                for name, parts in self.slices.items()
            }
        )


def load_in_turns(
    contestants: Mapping[str, Sequence[Ask]],
    rounds: int,
    requests: int,
    *,
    clock: Clock = time.perf_counter,
    after_each: Callable[[], None] = after_nothing,
) -> LoadTimes:
    """Every contestant's clients once a round.

    Args:
      contestants: Contestant to its clients, each with a connection of its own or a thread-safe
        one that it shares.
      rounds: Slices of each contestant; one more before is not counted.
      requests: Requests of each client in one slice.
      clock: Seconds from any start.
      after_each: Called after each slice, for progress.

    Raises:
      Exception: What a client raised; the others end their slice first.
    """
    slices: dict[str, list[Slice]] = {name: [] for name in contestants}
    for place in range(rounds + 1):
        for name, asks in contestants.items():
            part = _slice(asks, requests, clock)
            after_each()
            if place:
                slices[name].append(part)
    return LoadTimes({name: tuple(parts) for name, parts in slices.items()})


def _slice(asks: Sequence[Ask], requests: int, clock: Clock) -> Slice:
    """All clients at once, started together."""
    latencies: list[list[float]] = [[] for _ in asks]
    faults: list[Exception] = []
    together = threading.Barrier(len(asks) + 1)

    def client(ask: Ask, taken: list[float]) -> None:
        together.wait()
        try:
            for _ in range(requests):
                start = clock()
                ask()
                taken.append(clock() - start)
        except Exception as error:
            faults.append(error)

    threads = [
        threading.Thread(target=client, args=pair) for pair in zip(asks, latencies, strict=True)
    ]
    for thread in threads:
        thread.start()
    together.wait()
    start = clock()
    for thread in threads:
        thread.join()
    seconds = clock() - start
    if faults:
        raise faults[0]
    return Slice(seconds, tuple(latency for taken in latencies for latency in taken))
