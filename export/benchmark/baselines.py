"""Other ways to the same result, for comparison only: nothing of it is served.

Each is written as well as its formulation allows. Where they differ from the served functions
(ties, NaN, borders) says `signatures`; on maps where both are defined, tests hold them equal.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks, `w` the odd window side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Peaks = tuple[tf.Tensor, tf.Tensor]


def read(imgs: tf.Tensor) -> tf.Tensor:
    """One read of the maps: their largest value, float32 []."""
    return tf.reduce_max(imgs)


def resampled_crops(imgs: tf.Tensor, peaks: tf.Tensor, side: int) -> tf.Tensor:
    """Windows by resampling: channels are packed into the batch, boxes are normalised floats.

    Args:
      imgs: float32 [N, H, W, C].
      peaks: float32 [P, 4], rows `[sample, row, col, channel]`.
      side: w.

    Returns:
      float32 [P, w, w, 1]; not exact at the border.
    """
    sizes = tf.shape(imgs)
    packed = tf.transpose(imgs, [0, 3, 1, 2])
    packed = tf.reshape(packed, tf.stack([sizes[0] * sizes[3], sizes[1], sizes[2], 1]))
    box = tf.cast(peaks[:, 0], tf.int32) * sizes[3] + tf.cast(peaks[:, 3], tf.int32)
    largest = tf.cast(sizes[1:3] - 1, tf.float32)
    reach = float(side // 2)
    corners = [(peaks[:, 1:3] - reach) / largest, (peaks[:, 1:3] + reach) / largest]
    return tf.image.crop_and_resize(
        packed, tf.concat(corners, axis=1), box, [side, side], method="nearest"
    )


def resampled_local_direction(imgs: tf.Tensor, peaks: tf.Tensor, delta: tf.Tensor) -> tf.Tensor:
    """Local-direction refinement on resampled windows: float32 [P, 4]."""
    patches = resampled_crops(imgs, peaks, 3)[..., 0]
    step = tf.stack(
        [
            tf.sign(patches[:, 2, 1] - patches[:, 0, 1]),
            tf.sign(patches[:, 1, 2] - patches[:, 1, 0]),
        ],
        axis=1,
    )
    return peaks + tf.pad(delta * step, [[0, 0], [1, 1]])


def separable_global_peaks(imgs: tf.Tensor) -> Peaks:
    """Row and column of the maximum apart; where maxima tie, not of one pixel.

    Returns:
      `peaks` float32 [N*C, 4] and `values` float32 [N*C].
    """
    row_maxima = tf.reduce_max(imgs, axis=2)
    rows = tf.argmax(row_maxima, axis=1)
    cols = tf.argmax(tf.reduce_max(imgs, axis=1), axis=1)
    shape = tf.shape(rows, out_type=tf.int64)
    samples = tf.broadcast_to(tf.range(shape[0])[:, None], shape)
    channels = tf.broadcast_to(tf.range(shape[1])[None, :], shape)
    peaks = tf.reshape(tf.stack([samples, rows, cols, channels], axis=-1), [-1, 4])
    return tf.cast(peaks, tf.float32), tf.reshape(tf.reduce_max(row_maxima, axis=1), [-1])


def dilated_local_peaks(imgs: tf.Tensor, threshold: tf.Tensor) -> Peaks:
    """Pixels above the dilation of their eight neighbours.

    Returns:
      `peaks` float32 [P, 4] in row-major order and `values` float32 [P].
    """
    around = np.zeros((3, 3, 1), np.float32)
    around[1, 1] = -np.inf
    filters = tf.broadcast_to(around, tf.stack([3, 3, tf.shape(imgs)[3]]))
    neighbours = tf.nn.dilation2d(imgs, filters, [1, 1, 1, 1], "SAME", "NHWC", [1, 1, 1, 1])
    indices = tf.where((imgs > neighbours) & (imgs > threshold))
    return tf.cast(indices, tf.float32), tf.gather_nd(imgs, indices)


def dense_smoothing(imgs: tf.Tensor, kernel_size: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """One 2-D pass with the outer product: float32 [N, H, W, C]."""
    grid = tf.cast(tf.range(kernel_size) - kernel_size // 2, tf.float64)
    exact = tf.cast(sigma, tf.float64)
    profile = tf.exp(-grid * grid / (2.0 * exact * exact))
    kernel = tf.cast(
        profile[:, None] * profile[None, :] / (2.0 * math.pi * exact * exact), tf.float32
    )
    sides = tf.stack([kernel_size, kernel_size, tf.shape(imgs, out_type=tf.int64)[3], 1])
    filters = tf.broadcast_to(kernel[:, :, None, None], sides)
    return tf.nn.depthwise_conv2d(imgs, filters, [1, 1, 1, 1], "SAME")


def scipy_local_peaks() -> Callable[[np.ndarray, float], np.ndarray] | None:
    """Local peaks by `scipy.ndimage.maximum_filter`, `None` where SciPy is not installed.

    Returns:
      A function of maps float32 [N, H, W, C] and a threshold to int64 [P, 4].
    """
    try:
        from scipy import ndimage
    except ImportError:
        return None
    around = np.ones((1, 3, 3, 1), bool)
    around[0, 1, 1, 0] = False

    def find(maps: np.ndarray, threshold: float) -> np.ndarray:
        neighbours = ndimage.maximum_filter(maps, footprint=around, mode="constant", cval=-np.inf)
        return np.argwhere((maps > neighbours) & (maps > threshold))

    return find


def scikit_image_local_peaks() -> Callable[[np.ndarray, float], np.ndarray] | None:
    """Local peaks by `skimage.feature.peak_local_max`, `None` where it is not installed.

    Returns:
      A function as that of `scipy_local_peaks`; the order of its rows is its own.
    """
    try:
        from skimage.feature import peak_local_max
    except ImportError:
        return None

    def find(maps: np.ndarray, threshold: float) -> np.ndarray:
        found: list[Any] = []
        for sample in range(maps.shape[0]):
            for channel in range(maps.shape[3]):
                pixels = peak_local_max(
                    maps[sample, :, :, channel],
                    min_distance=1,
                    threshold_abs=threshold,
                    exclude_border=False,
                )
                whole = np.full((len(pixels), 4), (sample, 0, 0, channel), np.int64)
                whole[:, 1:3] = pixels
                found.append(whole)
        return np.concatenate(found)

    return find
