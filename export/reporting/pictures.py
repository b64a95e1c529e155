"""A picture on a page: its caption, its table, and its words for whoever does not see it."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.reporting.page import NOTHING, short, ulps
from export.reporting.pictured import Mark, Pictured, Place
from export.reporting.plots import points_picture
from signatures.contract import ModelContract

EAGER = "eager"


def picture_context(shown: Pictured, contract: ModelContract) -> dict[str, Any]:
    """A picture with its caption, its table, and its words for whoever does not see it."""
    name = f"{shown.signature}, case {shown.case}, sample {shown.sample}"
    is_map = shown.picture.ndim == 2
    what = "The highest of all channels' maps" if is_map else "The picture that was sent"
    left_out = shown.points - len(shown.marks)
    number = len(shown.marks)
    same = sum(mark.apart == 0 for mark in shown.marks)
    units = {tensor.units for tensor in contract.signature(shown.signature).outputs}
    return {
        "name": name,
        "uri": points_picture(shown),
        "differs": shown.apart > 0,
        "alt": f"{what} of {name}, with {number} numbered points. In {same} of them the served "
        "point is the eager one; the table beneath has their coordinates.",
        "caption": f"Case {shown.case}, sample {shown.sample}. {what}; a ring is the eager point, "
        "an orange cross the served one, enlarged beneath."
        + (" Violet pixels are no numbers." if is_map and np.isnan(shown.picture).any() else "")
        + (f" {left_out} more points are not shown." if left_out else ""),
        "unit": "Pixels of the image" if "pixels of the image" in units else "Pixels of the map",
        "marks": [
            {"number": at, "label": mark.label, "rows": _rows(mark)}
            for at, mark in enumerate(shown.marks, start=1)
        ],
    }


def _rows(mark: Mark) -> list[dict[str, str | None]]:
    """Eager, then each served answer that differs from another; one row where all are equal."""
    if mark.apart == 0:
        return [_row("all", mark.eager, "0", "0")]
    is_one = len(mark.served) == 1
    return [
        _row(EAGER, mark.eager, NOTHING, NOTHING),
        *(
            _row(
                "served" if is_one else served.transports,
                served.place,
                short(served.apart),
                ulps(served.ulps),
            )
            for served in mark.served
        ),
    ]


def _row(who: str, place: Place | None, apart: str, distance: str) -> dict[str, str | None]:
    x, y = (None, None) if place is None else (_exact(place[0]), _exact(place[1]))
    return {"who": who, "x": x, "y": y, "apart": apart, "ulps": distance}


def _exact(number: np.float32) -> str:
    """The shortest text that is this number and no other.

    >>> _exact(np.float32(0.1))
    '0.1'
    """
    return np.format_float_positional(number, trim="-")
