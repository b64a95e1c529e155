"""What a page draws: latencies as an inline SVG in the page's colours, points on maps as PNG."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, patheffects, rc_context, ticker
from matplotlib.figure import Figure

from export.reporting.pictured import Mark, Pictured

# Stand-ins that become the page's own colours, so that a plot follows light and dark.
_INK, _MUTED, _RULE, _EAGER, _SERVED = "#010101", "#020202", "#030303", "#040404", "#050505"
_OF_PAGE = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _RULE: "var(--rule)",
    _EAGER: "var(--eager)",
    _SERVED: "var(--served)",
}
# Inches. As wide as a phone, so that letters are as large there as the page's.
_WIDTH = 3.9
_ROW, _AXIS = 0.27, 0.5
_SVG: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "peakserve",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "xtick.color": _MUTED,
    "ytick.color": _INK,
}

_MAP_WIDTH, _MAP_HEIGHT, _ZOOMS, _DPI = 4.4, 4.4, 4, 190
_RING, _CROSS, _OUTLINE = "#ffffff", "#ff8c1a", "#101010"
# What is no number, and what is outside the picture.
_NO_NUMBER, _OUTSIDE = "#7a5c8c", "#8f9aa3"
# Half a zoom's side, in pixels of a map; a picture's in parts of its longer side.
_ZOOM, _ZOOM_PART = 4.5, 0.06
# The same where points are far apart, in parts of their distance.
_AROUND = 0.75
# Beyond this part of a side, a number has no room.
_EDGE = 0.92


def span(milliseconds: Sequence[float]) -> tuple[float, float]:
    """A logarithmic axis that holds all latencies, with room: one for every plot of a page."""
    return min(milliseconds) / 1.4, max(milliseconds) * 1.4


def latency_plot(
    rows: Mapping[str, Sequence[float]], limits: tuple[float, float], name: str, text: str
) -> str:
    """A line for each way to the answer, a tick for each request, a dot at the median.

    Args:
      rows: Eager or a transport to milliseconds, at least one number each.
      limits: Of the axis, milliseconds.
      name: Unique on the page.
      text: What the plot says, for whoever does not see it.

    Returns:
      An `<svg>` element.
    """
    with rc_context(_SVG):
        figure = Figure(figsize=(_WIDTH, _ROW * len(rows) + _AXIS))
        height = figure.get_figheight()
        axes = figure.add_axes((0.23, (_AXIS - 0.02) / height, 0.54, _ROW * len(rows) / height))
        for at, (way, numbers) in enumerate(rows.items()):
            colour = _EAGER if way == "eager" else _SERVED
            median = float(np.median(numbers))
            axes.axhline(at, color=_RULE, linewidth=0.6, zorder=0)
            axes.plot(
                numbers, [at] * len(numbers), "|", color=colour, alpha=0.55, markersize=9,
                markeredgewidth=1.2,
            )  # fmt: skip
            axes.plot(median, at, "o", color=_INK, markersize=4.5, zorder=3)
            axes.text(
                1.03, at, f"{median:.3g} ms", transform=axes.get_yaxis_transform(), va="center"
            )
        axes.set_xscale("log")
        axes.set_xlim(*limits)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.tick_params(left=False, length=3)
        axes.xaxis.set_major_locator(ticker.LogLocator(numticks=4))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.set_xlabel("milliseconds", labelpad=1)
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(_RULE)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _inline(file.getvalue(), name, text)


def _inline(document: str, name: str, text: str) -> str:
    """An SVG file as an element of a page: colours and letters of the page, names of its own."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.S)
    box = re.search(r'viewBox="[^"]*"', element)
    assert box
    # Attributes are quoted, and the text is ours: names of signatures and numbers.
    opening = f'<svg role="img" aria-label="{text}" class="plot" {box[0]}>'
    element = re.sub(r"<svg[^>]*>", opening, element, count=1)
    for before in (' id="', "url(#", 'href="#'):
        element = element.replace(before, f"{before}{name}-")
    element = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", element)
    for stand_in, colour in _OF_PAGE.items():
        element = element.replace(stand_in, colour)
    return element.replace("xlink:href", "href").strip()


def points_picture(pictured: Pictured) -> str:
    """A map or picture with its points, and the first few of them enlarged, as a data URI.

    The eager point is a ring, the served ones are crosses; numbers are those of the table beneath.
    """
    height, width = pictured.picture.shape[:2]
    zoomed = [mark for mark in pictured.marks if mark.places][:_ZOOMS]
    tall = min(_MAP_WIDTH * height / width, _MAP_HEIGHT)
    side = _MAP_WIDTH / _ZOOMS
    figure = Figure(figsize=(_MAP_WIDTH, tall + side), dpi=_DPI)
    total = tall + side
    broad = tall * width / height
    left = (_MAP_WIDTH - broad) / 2 / _MAP_WIDTH
    whole = figure.add_axes((left, side / total, broad / _MAP_WIDTH, tall / total))
    show(whole, pictured)
    for number, mark in enumerate(pictured.marks, start=1):
        _draw(whole, mark, number, size=7)
    half = _ZOOM * max(pictured.factors)
    if pictured.picture.ndim == 3:
        half = max(half, _ZOOM_PART * max(height, width))
    for at, mark in enumerate(zoomed):
        panel = figure.add_axes((at / _ZOOMS + 0.008, 0.0, 1 / _ZOOMS - 0.016, 0.96 * side / total))
        show(panel, pictured)
        # What was served may be far away: both are inside.
        places = np.array(mark.places, np.float64)
        x, y = (places.min(axis=0) + places.max(axis=0)) / 2
        wide = max(half, _AROUND * np.ptp(places, axis=0).max())
        panel.set_xlim(x - wide, x + wide)
        panel.set_ylim(y + wide, y - wide)
        for number, other in enumerate(pictured.marks, start=1):
            # Numbers only of points inside.
            near = [(u, v) for u, v in other.places if max(abs(u - x), abs(v - y)) < wide]
            if near:
                _draw(panel, other, number, size=11)
    figure.patch.set_alpha(0)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def show(axes: Any, pictured: Pictured) -> None:
    """The picture in the coordinates of its points."""
    picture, (x, y), shift = pictured.picture, pictured.factors, pictured.shift
    height, width = picture.shape[:2]
    places = ((-0.5, x), (width - 0.5, x), (height - 0.5, y), (-0.5, y))
    edges = [at * factor + shift for at, factor in places]
    about: dict[str, Any] = {"extent": edges, "interpolation": "nearest", "aspect": "equal"}
    if picture.ndim == 3 and picture.shape[-1] == 3:
        axes.imshow(picture, **about)
    else:
        values = picture[..., 0] if picture.ndim == 3 else picture
        values = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        shades = colormaps["gray"].with_extremes(bad=_NO_NUMBER)
        axes.imshow(values, cmap=shades, vmin=low, vmax=high if high > low else low + 1, **about)
    axes.set_facecolor(_OUTSIDE)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#888888")


def _draw(axes: Any, mark: Mark, number: int, *, size: float) -> None:
    """A ring, crosses, and the number beside them."""
    outline = [patheffects.withStroke(linewidth=3.2, foreground=_OUTLINE)]
    if mark.eager is not None:
        axes.plot(
            *map(float, mark.eager), "o", markerfacecolor="none", markeredgecolor=_RING,
            markersize=size, markeredgewidth=1.4, path_effects=outline,
        )  # fmt: skip
    for served in mark.served:
        if served.place is not None:
            if mark.eager is not None and served.apart:
                ends = zip(mark.eager, served.place, strict=True)
                axes.plot(*[list(map(float, end)) for end in ends], color=_CROSS, linewidth=0.9)
            axes.plot(
                *map(float, served.place), "x", color=_CROSS, markersize=0.72 * size,
                markeredgewidth=1.5, path_effects=outline,
            )  # fmt: skip
    (x, y), *_ = mark.places
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    # To the right and above, but where the picture ends there.
    is_last, is_first = (x - left) / (right - left) > _EDGE, (y - low) / (high - low) > _EDGE
    across, up = (-1 if is_last else 1), (-1 if is_first else 1)
    axes.annotate(
        str(number), (x, y), xytext=(across * 0.75 * size, up * 0.55 * size),
        textcoords="offset points", ha="right" if is_last else "left",
        va="top" if is_first else "bottom", color=_RING, fontsize=8, path_effects=outline,
        annotation_clip=True, clip_on=True,
    )  # fmt: skip
