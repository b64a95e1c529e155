"""A benchmark as people read it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as RichTable

from export.benchmark.result import Benchmark, Table, WireSizes
from export.benchmark.timing import INTERLEAVED


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
    if benchmark.server:
        console.print(f"server: {benchmark.server}")
    for work in dict.fromkeys(table.work for table in benchmark.tables):
        tables = [table for table in benchmark.tables if table.work == work]
        console.print()
        console.print(_times(work, tables))
    for sizes in benchmark.sizes:
        console.print()
        console.print(_sizes(sizes))
    if any(table.figures for table in benchmark.tables):
        console.print()
        console.print(_figures(benchmark))


def _times(work: str, tables: list[Table]) -> RichTable:
    """One work; under load also percentiles and throughput."""
    shown = RichTable(title=work, title_justify="left", box=None, pad_edge=False)
    loaded = any(row.per_second is not None for table in tables for row in table.rows)
    for heading in ("case", "contestant"):
        shown.add_column(heading)
    for heading in ("ms", *(("p90", "p99", "requests/s") if loaded else ()), "x the first"):
        shown.add_column(heading, justify="right")
    for table in tables:
        for place, row in enumerate(table.rows):
            load = (_number(row.p90), _number(row.p99), _number(row.per_second, 0))
            shown.add_row(
                _case(table) if place == 0 else "",
                row.contestant,
                row.note or _number(row.milliseconds, 3),
                *(load if loaded else ()),
                _number(row.ratio),
            )
    return shown


def _sizes(sizes: WireSizes) -> RichTable:
    """Bytes of a frame, and how many times fewer than the first."""
    shown = RichTable(title=f"bytes: {sizes.frame}", title_justify="left", box=None, pad_edge=False)
    shown.add_column("sent as")
    for heading in ("bytes a frame", "times less"):
        shown.add_column(heading, justify="right")
    first = next(iter(sizes.bytes.values()))
    for name, count in sizes.bytes.items():
        shown.add_row(name, f"{count:,}", _number(first / count))
    return shown


def _figures(benchmark: Benchmark) -> RichTable:
    """What is to be reached; of small sizes nothing is judged."""
    shown = RichTable(title="to be reached", title_justify="left", box=None, pad_edge=False)
    for heading in ("work", "case", "ratio"):
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
                str(goal),
                f"{goal.kind} {goal.bound:g}",
                _number(figure.measured),
                "" if figure.met or benchmark.quick else "missed",
            )
    return shown


def _case(table: Table) -> str:
    return table.case if table.order == INTERLEAVED else f"{table.case}, in {table.order}"
