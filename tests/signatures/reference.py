"""The semantics written out as plain loops over NumPy arrays: slow, and easy to believe."""

from __future__ import annotations

import math

import numpy as np

TINY = np.float32(2.0**-126)


def nearest(coordinate: float) -> int:
    """Halves away from zero, in Python's float64."""
    return int(math.copysign(math.floor(abs(coordinate) + 0.5), coordinate))


def pixel(imgs: np.ndarray, sample: int, row: int, col: int, channel: int) -> np.float32:
    """The map's value, 0 outside the image."""
    _, height, width, _ = imgs.shape
    if 0 <= row < height and 0 <= col < width:
        return imgs[sample, row, col, channel]
    return np.float32(0)


def crop(imgs: np.ndarray, peaks: np.ndarray, window: int) -> np.ndarray:
    side = window // 2 * 2 + 1
    crops = np.zeros((len(peaks), side, side, 1), np.float32)
    for index, (sample, row, col, channel) in enumerate(np.asarray(peaks, np.float32)):
        if not (math.isfinite(row) and math.isfinite(col)):
            continue
        for y in range(side):
            for x in range(side):
                place = nearest(float(row)) + y - side // 2, nearest(float(col)) + x - side // 2
                crops[index, y, x, 0] = pixel(imgs, int(sample), *place, int(channel))
    return crops


def flush(value: np.float32) -> np.float32:
    """Subnormals, and -0.0, to 0."""
    return np.float32(0) if abs(value) < TINY else np.float32(value)


def direction(larger: np.float32, smaller: np.float32) -> int:
    with np.errstate(all="ignore"):
        difference = flush(larger) - flush(smaller)
    return int(difference >= TINY) - int(difference <= -TINY)


def offsets(patches: np.ndarray, delta: float) -> np.ndarray:
    step = flush(np.float32(delta))
    rows = [
        (
            step * np.float32(direction(patch[2, 1, 0], patch[0, 1, 0])),
            step * np.float32(direction(patch[1, 2, 0], patch[1, 0, 0])),
        )
        for patch in patches
    ]
    return np.array(rows, np.float32).reshape(-1, 2)


def refine(imgs: np.ndarray, peaks: np.ndarray, delta: float) -> np.ndarray:
    peaks = np.asarray(peaks, np.float32)
    steps = offsets(crop(imgs, peaks, 3), delta)
    refined = peaks.copy()
    for index, row in enumerate(peaks):
        if np.isfinite(row[1:3]).all():
            moved = [flush(row[0]), *(flush(row[1:3][i]) + steps[index][i] for i in (0, 1)), row[3]]
            refined[index] = [flush(np.float32(value)) for value in moved]
    return refined


def kernel(size: int, sigma: float) -> np.ndarray:
    """float64, not rounded."""
    half = size // 2
    grid = np.arange(-half, half + 1, dtype=np.float64)
    squares = grid[:, None] ** 2 + grid[None, :] ** 2
    return np.exp(-squares / (2 * float(np.float32(sigma)) ** 2))


def smooth(imgs: np.ndarray, size: int, sigma: float) -> np.ndarray:
    """float64 throughout, one pixel of the kernel at a time."""
    half = size // 2
    weights = kernel(size, sigma) / (2 * math.pi * float(np.float32(sigma)) ** 2)
    padded = np.pad(imgs.astype(np.float64), ((0, 0), (half, half), (half, half), (0, 0)))
    height, width = imgs.shape[1:3]
    total = np.zeros(imgs.shape)
    for y in range(size):
        for x in range(size):
            total += weights[y, x] * padded[:, y : y + height, x : x + width]
    return total


def same_bits(expected: np.ndarray, got: np.ndarray) -> bool:
    """Equal to the last bit, -0.0 apart from 0.0; NaN equals NaN."""
    expected, got = np.asarray(expected), np.asarray(got)
    if expected.shape != got.shape or expected.dtype != got.dtype:
        return False
    bits = expected.view(np.uint32) == np.ascontiguousarray(got).view(np.uint32)
    return bool((bits | (np.isnan(expected) & np.isnan(got))).all())


def global_peaks(imgs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    samples, height, width, channels = imgs.shape
    peaks, values = [], []
    for sample in range(samples):
        for channel in range(channels):
            best, place, value = -np.inf, (np.nan, np.nan), np.float32(np.nan)
            for row in range(height):
                for col in range(width):
                    candidate = flush(imgs[sample, row, col, channel])
                    if candidate > best:
                        best, place = candidate, (row, col)
                        value = imgs[sample, row, col, channel]
            peaks.append((sample, *place, channel))
            values.append(value)
    return np.array(peaks, np.float32).reshape(-1, 4), np.array(values, np.float32)


def local_peaks(imgs: np.ndarray, threshold: float, plateau: str) -> np.ndarray:
    """Rows only; plateaus by flood fill."""
    samples, height, width, channels = imgs.shape
    limit = flush(np.float32(threshold))
    found = []
    for sample in range(samples):
        for channel in range(channels):
            values = [[flush(v) for v in row] for row in imgs[sample, :, :, channel]]

            def neighbours(row: int, col: int, height=height, width=width):
                for y in range(max(row - 1, 0), min(row + 2, height)):
                    for x in range(max(col - 1, 0), min(col + 2, width)):
                        if (y, x) != (row, col):
                            yield y, x

            seen = set()
            for row in range(height):
                for col in range(width):
                    value = values[row][col]
                    if not value > limit or (row, col) in seen:
                        continue
                    area, open_places, highest = {(row, col)}, [(row, col)], True
                    while open_places:
                        for y, x in neighbours(*open_places.pop()):
                            equal = plateau == "first" and values[y][x] == value
                            if equal and (y, x) not in area:
                                area.add((y, x))
                                open_places.append((y, x))
                            highest &= bool(equal or values[y][x] < value)
                    if plateau == "first":
                        seen |= area
                    if highest:
                        found.append((sample, row, col, channel))
    return np.array(sorted(found), np.float32).reshape(-1, 4)
