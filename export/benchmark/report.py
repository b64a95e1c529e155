"""Measuring with progress, and a benchmark as people read it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from export.benchmark.in_graph import QUICK, TRIALS, Sizes, Trial, size_of
from export.benchmark.plots import draw, require_matplotlib
from export.benchmark.result import Benchmark, Table, table_of
from export.benchmark.timing import INTERLEAVED, ORDERS

_NARROWEST = 120


def measure(trial: Trial, rounds: int, progress: Progress | None = None) -> Table:
    """Measures one comparison.

    Args:
      trial: The contestants.
      rounds: Times taken of each.
      progress: Its first task is advanced by one altogether.
    """
    contestants = trial.contestants()
    runs = {name: run for name, run in contestants.items() if run is not None}

    def advance() -> None:
        if progress is not None:
            progress.advance(progress.task_ids[0], 1 / (rounds * len(runs)))

    times = ORDERS[trial.order](runs, rounds, after_each=advance)
    return table_of(
        times,
        work=trial.work,
        case=trial.case,
        order=trial.order,
        axis=trial.axis,
        at=trial.at,
        missing=tuple(name for name in contestants if name not in runs),
        goals=trial.goals,
    )


def run_benchmark(works: Sequence[str], rounds: int, *, quick: bool, console: Console) -> Benchmark:
    """Measures works one after the other.

    Args:
      works: Names of `WORKS`.
      rounds: Times taken of each contestant.
      quick: Small sizes.
      console: Where progress is shown, if it is a terminal.
    """
    sizes = QUICK if quick else Sizes()
    trials = [trial for work in works for trial in TRIALS[work](sizes)]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    tables = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(trials))
        for trial in trials:
            progress.update(task, description=f"{trial.work}: {trial.case}")
            tables.append(measure(trial, rounds, progress))
    return Benchmark(rounds, quick, size_of(sizes.maps), machine(), tuple(tables))


def machine() -> dict[str, str]:
    """What the times were taken on."""
    devices = [device.name for device in tf.config.list_physical_devices("GPU")]
    return {
        "processor": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "gpus": ", ".join(devices) or "none",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
    }


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def tell(benchmark: Benchmark, console: Console) -> None:
    """Prints what was measured, and then what is to be reached."""
    console.print(
        f"{benchmark.machine['processor']}, TensorFlow {benchmark.machine['tensorflow']}; "
        f"GPUs: {benchmark.machine['gpus']}; maps {benchmark.maps} where a case names none; "
        f"medians of {benchmark.rounds} rounds"
        + ("; quick: sizes are small, times mean little" if benchmark.quick else "")
    )
    for work in dict.fromkeys(table.work for table in benchmark.tables):
        shown = RichTable(title=work, title_justify="left", box=None, pad_edge=False)
        for heading in ("case", "contestant"):
            shown.add_column(heading)
        for heading in ("ms", "x the first"):
            shown.add_column(heading, justify="right")
        for table in benchmark.tables:
            if table.work != work:
                continue
            for place, row in enumerate(table.rows):
                shown.add_row(
                    _case(table) if place == 0 else "",
                    row.contestant,
                    row.note or _number(row.milliseconds, 3),
                    _number(row.ratio),
                )
        console.print()
        console.print(shown)
    console.print()
    console.print(_figures(benchmark))


def _figures(benchmark: Benchmark) -> RichTable:
    """What is to be reached; of small sizes nothing is judged."""
    shown = RichTable(title="to be reached", title_justify="left", box=None, pad_edge=False)
    for heading in ("work", "case", "ratio of times"):
        shown.add_column(heading)
    for heading in ("reach", "measured"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    for table in benchmark.tables:
        for figure in table.figures:
            goal = figure.goal
            shown.add_row(
                table.work,
                _case(table),
                f"{goal.of} / {goal.by}",
                f"{goal.kind} {goal.bound:g}",
                _number(figure.measured),
                "" if figure.met or benchmark.quick else "missed",
            )
    return shown


def _case(table: Table) -> str:
    return table.case if table.order == INTERLEAVED else f"{table.case}, in {table.order}"


def bench_and_tell(
    works: Sequence[str],
    rounds: int,
    *,
    quick: bool,
    out: Path | None,
    plots: Path | None,
) -> None:
    """Measures, prints, writes, draws; a ratio that is missed is printed and no error.

    Raises:
      PlotsError: Curves are asked for and matplotlib is not installed; before any measuring.
    """
    if plots is not None:
        require_matplotlib()
    progress = Console(stderr=True, highlight=False)
    # Narrower tables would break the names of signatures.
    console = Console(highlight=False, width=max(_NARROWEST, progress.width))
    benchmark = run_benchmark(works, rounds, quick=quick, console=progress)
    tell(benchmark, console)
    if out is not None:
        benchmark.write(out)
        console.print(f"written: {out}", soft_wrap=True)
    if plots is not None:
        for path in draw(benchmark, plots):
            console.print(f"drawn: {path}", soft_wrap=True)
