"""Points in the outputs of any model family, in one form, and how far two answers are apart.

Legend: `N` samples, `C` channels, `K` peaks of a sample, `I` instances, `P` rows, `R` points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from export.comparison import equal_bits, ulps_between

# Outputs of the flat form: rows [sample, row, col, channel].
_ROWS = ("refined_peaks", "peaks")


@dataclass(frozen=True)
class Points:
    """The points of one answer; padding and what is not valid have no coordinates.

    Attributes:
      xy: float32 [R, 2] as (x, y); NaN where nothing was found.
      samples: int64 [R].
      channels: int64 [R].
      instances: int64 [R]; -1 where the family has none.
    """

    xy: np.ndarray
    samples: np.ndarray
    channels: np.ndarray
    instances: np.ndarray

    def label(self, row: int, names: Sequence[str]) -> str:
        """What a point is called: the channel's name, or its number, after the instance's."""
        channel = int(self.channels[row])
        name = names[channel] if 0 <= channel < len(names) else f"channel {channel}"
        instance = int(self.instances[row])
        return name if instance < 0 else f"instance {instance}, {name}"


def points_of(outputs: Mapping[str, np.ndarray]) -> Points | None:
    """The points among the outputs of a signature; `None` if there are none to draw."""
    for name in _ROWS:
        if name in outputs and outputs[name].ndim == 2 and outputs[name].shape[1] == 4:
            return _of_rows(outputs[name])
    points = outputs.get("points")
    if points is None or points.ndim not in (3, 4) or points.shape[-1] != 2:
        return None
    shape = points.shape[:-1]
    grid = np.indices(shape).reshape(len(shape), -1)
    xy = points.astype(np.float32).reshape(-1, 2)
    if "valid" in outputs and outputs["valid"].shape == shape:
        found = outputs["valid"].reshape(-1).astype(bool)
        channels = grid[-1]
    elif "channels" in outputs and outputs["channels"].shape == shape:
        channels = outputs["channels"].reshape(-1).astype(np.int64)
        found = channels >= 0
    else:
        return None
    instances = grid[1] if len(shape) == 3 else np.full(len(xy), -1)
    return Points(np.where(found[:, None], xy, np.float32(np.nan)), grid[0], channels, instances)


def _of_rows(rows: np.ndarray) -> Points:
    """Rows float32 [P, 4] as `find_global_peaks` and the refinements answer them."""
    numbers = np.nan_to_num(rows[:, [0, 3]], nan=-1, posinf=-1, neginf=-1).astype(np.int64)
    xy = rows[:, [2, 1]].astype(np.float32)
    xy = np.where(np.isfinite(xy).all(axis=1, keepdims=True), xy, np.float32(np.nan))
    return Points(xy, numbers[:, 0], numbers[:, 1], np.full(len(rows), -1))


def aligned(eager: Points, served: Points | None) -> np.ndarray:
    """Served coordinates row by row beside eager ones: float32 [R, 2], NaN where there is none.

    Rows that only the server has are left out: where numbers of rows differ, the verification says
    so, and no row has a partner for certain.
    """
    xy = np.full_like(eager.xy, np.nan)
    if served is not None:
        shared = min(len(xy), len(served.xy))
        xy[:shared] = served.xy[:shared]
    return xy


def distances(eager: np.ndarray, served: np.ndarray) -> np.ndarray:
    """Pixels between points [R, 2]: 0 where bits are equal, infinite where one is missing."""
    same = equal_bits(eager, served).all(axis=1)
    with np.errstate(all="ignore"):
        apart = np.hypot(*(served.astype(np.float64) - eager.astype(np.float64)).T)
    return np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))


def largest_ulps(eager: np.ndarray, served: np.ndarray) -> float:
    """The larger distance of x and y in representable numbers; NaN where one is missing."""
    return float(np.max([ulps_between(*pair) for pair in zip(eager, served, strict=True)]))
