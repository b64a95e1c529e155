"""Curves of cost, drawn with matplotlib where it is installed.

One picture for each axis: a panel for each work, a line for each contestant, both axes
logarithmic, since sizes and times go over powers of ten.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.benchmark.result import AXES, OURS, SHAPES, Benchmark, Table

# Of one panel, in inches.
_WIDTH, _HEIGHT = 4.6, 3.6
_COLUMNS = 3


class PlotsError(RuntimeError):
    """Curves cannot be drawn, in one sentence."""


def require_matplotlib() -> Any:
    """The module that draws into files, without a screen.

    Raises:
      PlotsError: It is not installed.
    """
    try:
        from matplotlib import figure
    except ImportError as error:
        raise PlotsError(
            "--plots: expected matplotlib, got none; install it with pip install 'peakserve[plots]'"
        ) from error
    return figure


def draw(benchmark: Benchmark, folder: Path) -> list[Path]:
    """Draws a PNG for each axis that was swept.

    Args:
      benchmark: What was measured.
      folder: Made if it is not there.

    Returns:
      The files, `cost_by_AXIS.png`.

    Raises:
      PlotsError: matplotlib is not installed.
    """
    module = require_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for axis, label in AXES.items():
        tables = [table for table in benchmark.tables if table.axis == axis]
        if not tables:
            continue
        works = list(dict.fromkeys(table.work for table in tables))
        columns = min(_COLUMNS, len(works))
        rows = -(-len(works) // columns)
        picture = module.Figure(
            figsize=(_WIDTH * columns, _HEIGHT * rows), layout="constrained", dpi=120
        )
        panels = list(picture.subplots(rows, columns, squeeze=False).flat)
        for panel, work in zip(panels, works, strict=False):
            points = [table for table in tables if table.work == work]
            _curves(panel, points)
            given = f"from {points[0].case}" if axis in SHAPES else f"maps {benchmark.maps}"
            title = f"{work}\n{given}"
            panel.set_title(title, fontsize="medium")
            panel.set(xlabel=label, ylabel="time of a call, ms")
        for panel in panels[len(works) :]:
            panel.set_axis_off()
        picture.suptitle(
            f"{benchmark.machine['processor']}; medians of {benchmark.rounds} rounds"
            + ("; quick: times mean little" if benchmark.quick else "")
        )
        path = folder / f"cost_by_{axis}.png"
        picture.savefig(path)
        paths.append(path)
    return paths


def _curves(panel: Any, tables: list[Table]) -> None:
    """A line for each contestant of one work."""
    from matplotlib import ticker

    points: dict[str, list[tuple[float, float]]] = {}
    for table in tables:
        for row in table.rows:
            if row.milliseconds is not None:
                points.setdefault(row.contestant, []).append((table.at, row.milliseconds))
    for name, line in points.items():
        at, times = zip(*sorted(line), strict=True)
        ours = name == OURS
        panel.plot(at, times, "o-" if ours else "s--", linewidth=2.2 if ours else 1.2, label=name)
    ticks = sorted({table.at for table in tables})
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.xaxis.set_minor_locator(ticker.NullLocator())
    # Times of less than a decade would have no tick with powers of ten alone.
    panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_locator(ticker.NullLocator())
    panel.grid(True, alpha=0.3)
    # Room above the lines for the legend.
    low, high = panel.get_ylim()
    panel.set_ylim(low, high * (high / low) ** 0.35)
    panel.legend(fontsize="small", loc="upper left", ncols=2)
