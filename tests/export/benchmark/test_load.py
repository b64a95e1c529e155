"""Slices of clients that take turns."""

from __future__ import annotations

import threading

import pytest

from export.benchmark.load import LoadTimes, Slice, load_in_turns


class FakeClock:
    """Time passes only where a contestant lets it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, seconds, log, name):
        def ask():
            log.append(name)
            self.now += seconds

        return ask


def test_contestants_take_turns_and_the_first_round_is_not_counted():
    clock, log, steps = FakeClock(), [], []
    contestants = {"a": [clock.takes(1.0, log, "a")], "b": [clock.takes(3.0, log, "b")]}
    times = load_in_turns(contestants, 2, 2, clock=clock, after_each=lambda: steps.append(None))
    assert "".join(log) == "aabb" * 3
    assert len(steps) == 6
    assert [part.latencies for part in times.slices["b"]] == [(3.0, 3.0)] * 2
    assert times.of_medians().ratio("b", "a") == 3


def test_all_clients_of_a_slice_ask_at_once():
    together = threading.Barrier(4)
    times = load_in_turns({"a": [lambda: together.wait(timeout=20)] * 4}, 1, 3)
    (part,) = times.slices["a"]
    assert len(part.latencies) == 12


def test_a_client_that_fails_ends_the_run():
    def fail():
        raise RuntimeError("refused")

    with pytest.raises(RuntimeError, match="refused"):
        load_in_turns({"a": [fail, lambda: None]}, 1, 1)


def test_throughput_percentiles_and_ratios():
    slow, fast = Slice(4.0, (1.0, 2.0, 3.0, 4.0)), Slice(1.0, (0.25,) * 4)
    times = LoadTimes({"slow": (slow, slow), "fast": (fast, fast)})
    assert times.throughput("slow") == 1
    assert times.throughput("fast") == 4
    assert times.latency("slow", 50) == 2.5
    assert times.latency("slow", 100) == 4
    assert times.of_slices().ratio("slow", "fast") == 4
    assert times.of_medians().ratio("slow", "fast") == 10
