"""Turns, medians and paired ratios, with a clock that is told what to show."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from export.benchmark.report import tell
from export.benchmark.result import AT_LEAST, NOT_INSTALLED, Benchmark, Goal, table_of
from export.benchmark.timing import Times, in_blocks, interleaved


class FakeClock:
    """Time passes only where a contestant lets it."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def __call__(self):
        return self.now

    def contestant(self, name, *seconds):
        """Takes those times one after the other; the first is the untimed run."""
        left = list(seconds)

        def run():
            self.log.append(name)
            self.now += left.pop(0)

        return run


@pytest.mark.parametrize(
    ("order", "log"), [(interleaved, "ababab"), (in_blocks, "aaabbb")], ids=["in turn", "blocks"]
)
def test_every_contestant_runs_once_untimed_and_then_in_order(order, log):
    clock = FakeClock()
    runs = {"a": clock.contestant("a", 100, 1, 2), "b": clock.contestant("b", 100, 3, 5)}
    steps = []
    times = order(runs, 2, clock=clock, after_each=lambda: steps.append(None))
    assert "".join(clock.log) == log
    assert times.seconds == {"a": (1, 2), "b": (3, 5)}
    assert len(steps) == 4


def test_ratios_pair_the_times_of_one_round():
    # The machine is ten times as slow in the second round, and in the fourth only for the first.
    times = Times({"ours": (1, 10, 1, 10, 1), "other": (2, 20, 2, 2, 2)})
    assert times.median("other") == 2
    assert times.ratio("other", "ours") == 2
    assert times.ratio("ours", "ours") == 1


def test_a_clock_that_sees_no_time_is_no_error():
    assert Times({"a": (1.0,), "b": (0.0,)}).ratio("a", "b") == pytest.approx(1e9)


def test_a_table_has_ours_first_what_is_missing_last_and_the_goals():
    times = Times({"ours": (0.001,) * 3, "other": (0.004,) * 3})
    goals = (Goal("other", "ours", 3.0, AT_LEAST), Goal("ours", "other", 0.2))
    table = table_of(
        times, work="work", case="case", order="blocks", missing=("peer",), goals=goals
    )
    assert [(row.contestant, row.milliseconds, row.ratio) for row in table.rows] == [
        ("ours", 1.0, 1.0),
        ("other", 4.0, 4.0),
        ("peer", None, None),
    ]
    assert table.rows[2].note == NOT_INSTALLED
    assert [(figure.measured, figure.met) for figure in table.figures] == [
        (4.0, True),
        (0.25, False),
    ]


def test_a_goal_may_be_a_difference():
    times = Times({"ours": (0.002, 0.013), "other": (0.001, 0.010)})
    goal = Goal("ours", "other", 2.0, unit="ms")
    assert str(goal) == "ours - other, ms"
    assert goal.measure(times) == pytest.approx(2.0)
    assert Goal("ours", "other", 2.0).measure(times) == pytest.approx(1.65)


@pytest.mark.parametrize(
    ("quick", "bound", "missed"),
    [(False, 2.0, True), (False, 5.0, False), (True, 2.0, False)],
    ids=["missed", "reached", "small sizes"],
)
def test_what_is_missed_is_printed(quick, bound, missed):
    times = Times({"ours": (0.004,), "other": (0.001,)})
    goals = (Goal("ours", "other", bound),)
    table = table_of(times, work="work", case="case", order="interleaved", goals=goals)
    machine = {"processor": "two cores", "tensorflow": "2", "gpus": "none"}
    console = Console(file=io.StringIO(), width=120)
    tell(Benchmark(1, quick, "1x8x8x1", machine, (table,)), console)
    assert ("missed" in console.file.getvalue()) == missed


def test_json_is_the_tables(tmp_path):
    table = table_of(Times({"ours": (1.0,)}), work="work", case="case", order="blocks")
    Benchmark(1, True, "1x8x8x1", {"processor": "two cores"}, (table,)).write(tmp_path / "out.json")
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["machine"] == {"processor": "two cores"}
    assert data["tables"][0]["rows"] == [
        {"contestant": "ours", "milliseconds": 1000.0, "ratio": 1.0, "note": ""}
        | {"p90": None, "p99": None, "per_second": None}
    ]
