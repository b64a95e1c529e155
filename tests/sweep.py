"""The sweep over image sizes at which resampling formulations read the wrong pixels.

Integer slicing of zero-padded maps is the reference; peaks stand on all borders and corners, on
halves, and outside.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

WINDOWS = (1, 3, 4, 5, 7)
NAMED_SIZES = (8, 14, 16, 64, 96, 224, 256, 512, 1024)
SIZES = sorted({*range(1, 301), *NAMED_SIZES})
STATIC_SIZES = sorted({*range(1, 33), *NAMED_SIZES})
DELTA = 0.25
_REACH = 3
_PAD = _REACH + 3


def shapes(sizes: list[int]) -> Iterator[tuple[int, int, int, int]]:
    """[2, h, 5, 2] and [2, 5, w, 2] for every size."""
    for size in sizes:
        yield 2, size, 5, 2
        yield 2, 5, size, 2


def draw(shape: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Maps without zeros, and peaks [P, 4] around every border pixel; samples and channels alternate."""
    _, height, width, _ = shape
    imgs = np.random.default_rng(height * 1009 + width).normal(1.0, 0.3, shape)
    rows, cols = np.arange(height), np.arange(width)
    border = np.concatenate(
        [
            np.stack([rows, np.zeros(height)], axis=1),
            np.stack([rows, np.full(height, width - 1)], axis=1),
            np.stack([np.zeros(width), cols], axis=1),
            np.stack([np.full(width, height - 1), cols], axis=1),
        ]
    )
    steps = [(0, 0), (0.5, 0.5), (-0.5, -0.5), (0.5, -0.5), (1, -1), (-1, 1), (-2, 0), (0, 2)]
    places = np.concatenate([border + step for step in steps])
    which = np.arange(len(places))
    peaks = np.stack([which % 2, *places.T, which // 2 % 2], axis=1)
    return imgs.astype(np.float32), peaks.astype(np.float32)


def sliced_crops(imgs: np.ndarray, peaks: np.ndarray) -> dict[int, np.ndarray]:
    """Crops [P, w, w, 1] for every window, by slicing the zero-padded maps."""
    padded = np.pad(imgs, ((0, 0), (_PAD, _PAD), (_PAD, _PAD), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(1, 2))
    places = peaks[:, 1:3].astype(np.float64)
    pixels = (np.copysign(np.floor(np.abs(places) + 0.5), places)).astype(int) + _PAD - _REACH
    samples, channels = peaks[:, 0].astype(int), peaks[:, 3].astype(int)
    widest = windows[samples, pixels[:, 0], pixels[:, 1], channels]
    crops = {}
    for window in WINDOWS:
        margin = _REACH - window // 2
        inner = slice(margin, 7 - margin)
        crops[window] = widest[:, inner, inner, None]
    return crops


def stepped_peaks(peaks: np.ndarray, crops: np.ndarray) -> np.ndarray:
    """Refined rows from 3x3 crops [P, 3, 3, 1]; the maps hold no tiny or missing values."""
    dy = np.sign(crops[:, 2, 1, 0] - crops[:, 0, 1, 0])
    dx = np.sign(crops[:, 1, 2, 0] - crops[:, 1, 0, 0])
    none = np.zeros_like(dy)
    return peaks + np.float32(DELTA) * np.stack([none, dy, dx, none], axis=1)


def differences(
    peaks: np.ndarray,
    expected: dict[int, np.ndarray],
    crops: dict[int, np.ndarray],
    refined: np.ndarray,
) -> int:
    """How many elements of crops and refined peaks differ in their bits."""
    pairs = [(expected[window], crops[window]) for window in WINDOWS]
    pairs.append((stepped_peaks(peaks, expected[3]), refined))
    count = 0
    for want, got in pairs:
        assert want.shape == got.shape
        assert want.dtype == got.dtype == np.float32
        want, got = np.ascontiguousarray(want), np.ascontiguousarray(got)
        count += int((want.view(np.uint32) != got.view(np.uint32)).sum())
    return count
