"""Runs of the benchmark, in the graph and of a server, with progress."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from export.benchmark.frames_on_wire import wire_sizes
from export.benchmark.in_graph import QUICK, TRIALS, Sizes
from export.benchmark.json_texts import json_trials
from export.benchmark.plots import draw, require_matplotlib
from export.benchmark.report import tell
from export.benchmark.result import Benchmark, Table, WireSizes, size_of, table_of
from export.benchmark.served import LOADS, Stage, measure_load
from export.benchmark.stages import ServedSizes
from export.benchmark.timing import ORDERS
from export.benchmark.trial import Trial
from export.maps import draw_maps
from export.writing import print_json

_NARROWEST = 120

# Measures, and says how much of the whole it has done.
Step = Callable[[float], None]
Job = tuple[str, Callable[[Step], Table]]


def measure(trial: Trial, rounds: int, advance: Step) -> Table:
    """Measures one comparison.

    Args:
      trial: The contestants.
      rounds: Times taken of each.
      advance: Called with the part of the whole that was done.
    """
    contestants = trial.contestants()
    runs = {name: run for name, run in contestants.items() if run is not None}
    step = 1 / (rounds * len(runs))
    times = ORDERS[trial.order](runs, rounds, after_each=lambda: advance(step))
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


def _measured(jobs: Sequence[Job], console: Console) -> tuple[Table, ...]:
    """One job after the other."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    tables = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(jobs))
        for name, job in jobs:
            progress.update(task, description=name)
            tables.append(job(lambda part: progress.advance(task, part)))
    return tuple(tables)


def _job(trial: Trial, rounds: int) -> Job:
    return f"{trial.work}: {trial.case}", lambda step: measure(trial, rounds, step)


def in_graph(works: Sequence[str], rounds: int, *, quick: bool, console: Console) -> Benchmark:
    """Measures functions one after the other.

    Args:
      works: Names of `WORKS`.
      rounds: Times taken of each contestant.
      quick: Small sizes.
      console: Where progress is shown, if it is a terminal.
    """
    sizes = QUICK if quick else Sizes()
    trials = [trial for work in works for trial in TRIALS[work](sizes)]
    tables = _measured([_job(trial, rounds) for trial in trials], console)
    return Benchmark(rounds, quick, size_of(sizes.maps), machine(), tables)


def of_server(
    works: Sequence[str],
    rounds: int,
    stage: AbstractContextManager[Stage],
    *,
    clients: Sequence[int],
    sizes: ServedSizes,
    quick: bool,
    frames: tuple[np.ndarray, np.ndarray | None] | None,
    console: Console,
) -> Benchmark:
    """Measures a server, and what is about messages.

    Args:
      works: Names of `SERVED_WORKS`.
      rounds: Slices, or times, taken of each contestant.
      stage: The server; entered only if a work needs it.
      clients: How many at a time.
      sizes: Of requests.
      quick: Whether they are small.
      frames: Maps, and images that they belong to, whose bytes are counted; drawn if left out.
      console: Where progress is shown, if it is a terminal.
    """
    tables: tuple[Table, ...] = ()
    server = ""
    loads = [work for work in works if work in LOADS]
    if loads:
        console.print("getting the server ready ...")
        with stage as ready:
            server = ready.host.text
            trials = [trial for work in loads for trial in LOADS[work](ready, clients)]
            jobs: list[Job] = [
                (
                    f"{trial.work}: {trial.case}",
                    lambda step, trial=trial: measure_load(trial, rounds, step),  # type: ignore[misc]
                )
                for trial in trials
            ]
            tables = _measured(jobs, console)
    if "json" in works:
        tables += _measured([_job(trial, rounds) for trial in json_trials(sizes.small)], console)
    counted: tuple[WireSizes, ...] = ()
    if "bytes" in works:
        maps, images = frames or (draw_maps(*sizes.small)[0], None)
        counted = (wire_sizes(maps, images),)
    return Benchmark(rounds, quick, size_of(sizes.small), machine(), tables, server, counted)


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


def told(
    run: Callable[[Console], Benchmark],
    *,
    out: Path | None = None,
    plots: Path | None = None,
    as_json: bool = False,
) -> None:
    """Measures, prints, writes, draws; a ratio that is missed is printed and no error.

    Args:
      run: Measures; gets the console for progress.
      out: JSON.
      plots: Folder of curves.
      as_json: Whether JSON is printed instead of tables; notes go to standard error.

    Raises:
      PlotsError: Curves are asked for and matplotlib is not installed; before any measuring.
    """
    if plots is not None:
        require_matplotlib()
    progress = Console(stderr=True, highlight=False)
    # Narrower tables would break the names of signatures.
    console = Console(highlight=False, width=max(_NARROWEST, progress.width), stderr=as_json)
    benchmark = run(progress)
    if not as_json:
        tell(benchmark, console)
    if out is not None:
        benchmark.write(out)
        console.print(f"written: {out}", soft_wrap=True)
    if plots is not None:
        for path in draw(benchmark, plots):
            console.print(f"drawn: {path}", soft_wrap=True)
    if as_json:
        print_json(benchmark.as_data())
