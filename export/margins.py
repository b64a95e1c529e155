"""Decision margins: how near each discrete choice was to a tie.

A discrete output is the same to the last bit everywhere, unless its input differs: a map from a
network on another device may differ by some ulps. The margin says how much a map (or a
coordinate) may change before the choice does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from signatures.contract import KeypointOptions, TopdownOptions

Inputs = Mapping[str, np.ndarray]
Margins = dict[str, np.ndarray]


def _neighbour_margins(patches: np.ndarray) -> np.ndarray:
    """|below - above| and |right - left| of patches [P, 3, 3]: float64 [2 P], finite ones."""
    exact = patches.astype(np.float64)
    with np.errstate(invalid="ignore"):
        differences = np.concatenate(
            [exact[:, 2, 1] - exact[:, 0, 1], exact[:, 1, 2] - exact[:, 1, 0]]
        )
    return np.abs(differences[np.isfinite(differences)])


def _rounding_margins(peaks: np.ndarray) -> np.ndarray:
    """How far each coordinate is from the nearest half, in pixels: float64, finite ones."""
    places = peaks[:, 1:3].astype(np.float64).ravel()
    places = places[np.isfinite(places) & (np.abs(places) < 2**24)]
    return np.abs(np.abs(places) % 1 - 0.5)


def _neighbourhoods(imgs: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """The 3x3 windows [P, 3, 3] around the rows that have coordinates inside the image."""
    _, height, width, _ = imgs.shape
    rows = peaks[np.isfinite(peaks).all(axis=1)].astype(np.float64)
    places = np.copysign(np.floor(np.abs(rows[:, 1:3]) + 0.5), rows[:, 1:3])
    inside = ((places >= 0) & (places < (height, width))).all(axis=1)
    row, col = places[inside].astype(int).T
    samples, channels = rows[inside][:, [0, 3]].astype(int).T
    padded = np.pad(imgs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    steps = np.arange(3)
    return padded[
        samples[:, None, None],
        row[:, None, None] + steps[None, :, None],
        col[:, None, None] + steps[None, None, :],
        channels[:, None, None],
    ]


def _of_crops(inputs: Inputs) -> Margins:
    return {"rounding, pixels": _rounding_margins(inputs["peaks"])}


def _of_offsets(inputs: Inputs) -> Margins:
    return {"neighbours, confidence": _neighbour_margins(inputs["centered_patches"][..., 0])}


def _of_refinement(inputs: Inputs) -> Margins:
    windows = _neighbourhoods(inputs["imgs"], inputs["peaks"])
    return {
        "rounding, pixels": _rounding_margins(inputs["peaks"]),
        "neighbours, confidence": _neighbour_margins(windows),
    }


def _of_global_peaks(inputs: Inputs) -> Margins:
    """How far each channel's second largest pixel is below the largest."""
    imgs = inputs["imgs"]
    if not imgs.size:
        return {"runner-up, confidence": np.zeros(0)}
    flat = np.moveaxis(imgs, 3, 1).reshape(imgs.shape[0] * imgs.shape[3], -1).astype(np.float64)
    if flat.shape[1] < 2:
        return {"runner-up, confidence": np.zeros(0)}
    flat = np.where(np.isnan(flat), -np.inf, flat)
    second, first = np.partition(flat, -2, axis=1)[:, -2:].T
    with np.errstate(invalid="ignore"):
        apart = first - second
    return {"runner-up, confidence": apart[np.isfinite(apart)]}


def _largest_neighbours(imgs: np.ndarray) -> np.ndarray:
    """The largest of every pixel's eight neighbours: float64 [N, H, W, C]."""
    padded = np.pad(
        imgs.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf
    )
    height, width = imgs.shape[1:3]
    largest = np.full(imgs.shape, -np.inf)
    for dy in range(3):
        for dx in range(3):
            if (dy, dx) != (1, 1):
                neighbour = padded[:, dy : dy + height, dx : dx + width]
                largest = np.fmax(largest, neighbour)
    return largest


def _of_local_peaks(inputs: Inputs) -> Margins:
    """How far pixels are from the threshold, and those above it from their largest neighbour."""
    imgs, threshold = inputs["imgs"].astype(np.float64), float(inputs["threshold"])
    largest = _largest_neighbours(imgs)
    with np.errstate(invalid="ignore"):
        apart = np.abs(imgs - largest)[imgs > threshold]
        from_threshold = np.abs(imgs - threshold).ravel()
    return {
        "neighbours, confidence": apart[np.isfinite(apart)],
        "threshold, confidence": from_threshold[np.isfinite(from_threshold)],
    }


def point_margins(maps: np.ndarray, options: KeypointOptions) -> np.ndarray:
    """How much maps may change before the answer of `keypoints` makes another choice.

    The choices are the largest pixel, whether it is above the threshold, and under `local` the
    larger of its neighbours.

    Args:
      maps: float32 [N, H, W, C].
      options: Threshold and refinement.

    Returns:
      float64 [N, C].
    """
    samples, height, width, channels = maps.shape
    exact = np.where(np.isnan(maps), -np.inf, maps).astype(np.float64)
    flat = np.moveaxis(exact, 3, 1).reshape(samples, channels, height * width)
    with np.errstate(invalid="ignore"):
        ordered = np.sort(flat, axis=2)[..., -2:]
        runner_up = ordered[..., -1] - ordered[..., 0]
        if height * width == 1:
            runner_up = np.full((samples, channels), np.inf)
        margins = np.fmin(runner_up, np.abs(ordered[..., -1] - options.threshold))
    if options.refinement == "local":
        rows, cols = np.unravel_index(flat.argmax(axis=2), (height, width))
        index = np.indices((samples, channels))
        peaks = np.stack([index[0], rows, cols, index[1]], axis=-1).reshape(-1, 4)
        windows = _neighbourhoods(maps, peaks.astype(np.float32)).astype(np.float64)
        with np.errstate(invalid="ignore"):
            vertical = np.abs(windows[:, 2, 1] - windows[:, 0, 1])
            horizontal = np.abs(windows[:, 1, 2] - windows[:, 1, 0])
        neighbours = np.fmin(vertical, horizontal).reshape(samples, channels)
        margins = np.fmin(margins, neighbours)
    # Two infinities are apart by nothing that a number tells.
    return np.where(np.isnan(margins), 0.0, margins)


def instance_margins(
    centroids: np.ndarray, maps: np.ndarray, slots: np.ndarray, options: TopdownOptions
) -> np.ndarray:
    """How much maps may change before the answer of `topdown` makes another choice.

    The choices are which pixels of a sample's map of centroids are its strongest peaks, and in
    which order, and those of the nodes of an instance.

    Args:
      centroids: float32 [N, H, W, 1].
      maps: float32 [P, h, w, C], of the instances that there are.
      slots: int64 [P], sample times I plus instance of each.
      options: Thresholds, refinement, I.

    Returns:
      float64 [N, I, C].
    """
    samples = len(centroids)
    margins = np.full((samples * options.max_instances, maps.shape[-1]), np.inf)
    if len(maps):
        margins[slots] = point_margins(maps, options.nodes)
    around = _largest_neighbours(centroids)
    of_samples = [
        _order_margin(values, largest, options.centroid_threshold, options.max_instances)
        for values, largest in zip(centroids.astype(np.float64), around, strict=True)
    ]
    of_slots = margins.reshape(samples, options.max_instances, maps.shape[-1])
    return np.fmin(of_slots, np.reshape(of_samples, (samples, 1, 1)))


def _order_margin(values: np.ndarray, largest: np.ndarray, threshold: float, most: int) -> float:
    """How much one map may change before its strongest peaks are others, or in another order.

    Args:
      values: float64 [H, W, 1].
      largest: The largest of every pixel's neighbours, of that shape.
      threshold: Peaks are above it.
      most: Peaks that count.
    """
    with np.errstate(invalid="ignore"):
        is_peak = (values > largest) & (values > threshold)
        strongest = np.sort(values[is_peak])[-most:]
        # A full row is joined only by what is above its last one.
        limit = strongest[0] if len(strongest) == most else threshold
        counts = is_peak & (values >= limit)
        stays = np.fmin(values - largest, values - threshold)[counts]
        joins = -np.fmin(values - largest, values - limit)[~counts]
        apart = np.concatenate([stays, joins, np.diff(strongest)])
    # Two infinities are apart by nothing that a number tells.
    return float(np.where(np.isnan(apart), 0.0, np.abs(apart)).min(initial=np.inf))


# Per signature with discrete outputs: what was chosen, and in which unit the margin is.
MARGINS: dict[str, Callable[[Inputs], Margins]] = {
    "crop_centered_boxes": _of_crops,
    "find_offsets_local_direction": _of_offsets,
    "refine_peaks_local_direction": _of_refinement,
    "find_global_peaks": _of_global_peaks,
    "find_local_peaks": _of_local_peaks,
    "find_local_peaks_first": _of_local_peaks,
}


def summarise(margins: np.ndarray) -> dict[str, float | int | None]:
    """Choices, exact ties among them, and the smallest and the quantiles of the others.

    >>> summarise(np.array([0.0, 0.5, 1.0]))
    {'choices': 3, 'ties': 1, 'smallest': 0.5, 'p1': 0.505, 'median': 0.75}
    """
    apart = margins[margins > 0]
    if not apart.size:
        return {
            "choices": margins.size,
            "ties": margins.size,
            "smallest": None,
            "p1": None,
            "median": None,
        }
    p1, median = np.percentile(apart, [1, 50])
    return {
        "choices": margins.size,
        "ties": margins.size - apart.size,
        "smallest": float(apart.min()),
        "p1": float(p1),
        "median": float(median),
    }
