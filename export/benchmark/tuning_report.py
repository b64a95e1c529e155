"""A tuning as people read it, and drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from export.benchmark.plots import require_matplotlib
from export.benchmark.tuning import (
    Load,
    Tried,
    Tuning,
    TuningError,
    candidates_of,
    tune,
    tuned_options,
)
from export.writing import print_json
from serving_config.batching import write_batching_file
from signatures.batching import BATCH_THREADS, MOST_BATCHES, timeout_micros
from signatures.contract import KeypointOptions
from signatures.network import Network

_NARROWEST = 120
_MARKS = ("o", "s", "^", "D", "v", "P")


def tell_tuning(tuning: Tuning, console: Console) -> None:
    """Prints the candidates."""
    console.print(f"server: {tuning.server}")
    title = f"{tuning.asked}, {tuning.clients} clients, p99 within {tuning.max_latency:g} ms"
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    shown.add_column("candidate")
    for heading in ("p50 ms", "p99 ms", "samples/s", "x unbatched"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    unbatched = next((t.per_second for t in tuning.tried if not t.candidate.is_batched), None)
    for tried in tuning.tried:
        note = "best" if tried is tuning.best else ""
        if tried.p99 > tuning.max_latency:
            note = "too slow"
        shown.add_row(
            str(tried.candidate),
            f"{tried.p50:.2f}",
            f"{tried.p99:.2f}",
            f"{tried.per_second:,.0f}",
            f"{tried.per_second / unbatched:.2f}" if unbatched else "",
            note,
        )
    console.print(shown)


def draw_tuning(tuning: Tuning, path: Path) -> None:
    """Draws throughput over p99, PNG: a colour for each batch size, a mark for each wait.

    Raises:
      PlotsError: matplotlib is not installed.
    """
    picture = require_matplotlib().Figure(figsize=(7.6, 4.4), layout="constrained", dpi=120)
    panel = picture.subplots()
    colours = _places([tried.candidate.max_batch for tried in tuning.tried])
    marks = _places([t.candidate.batch_timeout for t in tuning.tried if t.candidate.is_batched])
    for tried in tuning.tried:
        mark = _MARKS[marks.get(tried.candidate.batch_timeout, 0) % len(_MARKS)]
        panel.plot(
            [tried.p99],
            [tried.per_second],
            mark if tried.candidate.is_batched else "*",
            color=f"C{colours[tried.candidate.max_batch]}",
            markersize=9,
            label=str(tried.candidate),
        )
    panel.axvline(tuning.max_latency, color="black", linestyle=":", label="bound of p99")
    if tuning.best is not None:
        panel.plot(
            [tuning.best.p99],
            [tuning.best.per_second],
            "o",
            markersize=18,
            markerfacecolor="none",
            markeredgecolor="black",
            label="best",
        )
    panel.set_title(f"{tuning.asked}, {tuning.clients} clients\n{tuning.server}", fontsize="medium")
    panel.set(xlabel="p99, ms", ylabel="samples per second")
    panel.margins(0.12)
    panel.grid(True, alpha=0.3)
    picture.legend(loc="outside right upper", fontsize="small")
    picture.savefig(path)


def _places(values: Sequence[float]) -> dict[float, int]:
    """Each different value's place in their order."""
    return {value: place for place, value in enumerate(sorted(set(values)))}


def tune_and_tell(
    options_of: Callable[[Mapping[str, Any]], tuple[KeypointOptions, Network | None]],
    batches: Sequence[int],
    waits: Sequence[float],
    load: Load,
    *,
    max_latency: float,
    batching: str,
    server: str,
    out: Path | None = None,
    plot: Path | None = None,
    folder: Path | None = None,
    as_json: bool = False,
) -> None:
    """Measures, prints, writes, draws.

    Args:
      options_of: See `tuning.tune`.
      batches: Batch sizes to try, beside none.
      waits: Waits for mates to try, in milliseconds.
      load: Who asks for what.
      max_latency: The bound of p99, in milliseconds.
      batching: Who joins requests.
      server: What to start.
      out: JSON.
      plot: PNG.
      folder: Where the server's batching parameters are written.
      as_json: Whether JSON is printed instead; notes go to standard error.

    Raises:
      TuningError: Nothing can be tuned, or no candidate keeps the bound.
      PlotsError: matplotlib is asked for and not installed; before any measuring.
    """
    if plot is not None:
        require_matplotlib()
    progress_console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=progress_console, transient=True) as progress:
        task = progress.add_task("tracing", total=1.0)
        tuning = tune(
            options_of,
            candidates_of(batches, waits),
            load,
            max_latency=max_latency,
            batching=batching,
            server=server,
            tell=lambda step: progress.update(task, description=step),
            advance=lambda part: progress.advance(task, part),
        )
    console = Console(
        highlight=False, width=max(_NARROWEST, progress_console.width), stderr=as_json
    )
    if not as_json:
        tell_tuning(tuning, console)
    if out is not None:
        tuning.write(out)
        console.print(f"written: {out}", soft_wrap=True)
    if plot is not None:
        draw_tuning(tuning, plot)
        console.print(f"drawn: {plot}", soft_wrap=True)
    for line in tuned_options(tuning):
        console.print(line, soft_wrap=True)
    if folder is not None and tuning.best is not None:
        console.print(f"written: {write_parameters(tuning.best, folder)}", soft_wrap=True)
    if as_json:
        print_json(tuning.as_data())


def write_parameters(best: Tried, folder: Path) -> Path:
    """Writes the server's batching parameters of a candidate into a version's folder.

    Raises:
      TuningError: The best is not to batch at all.
    """
    if not best.candidate.is_batched:
        raise TuningError(
            f"{folder}: nothing is written: the best is not to batch; export with --batching none"
        )
    chosen = KeypointOptions(batch_timeout=best.candidate.batch_timeout)
    return write_batching_file(
        folder,
        max_batch=best.candidate.max_batch,
        timeout_micros=timeout_micros(chosen),
        max_enqueued=MOST_BATCHES,
        threads=BATCH_THREADS,
    )
