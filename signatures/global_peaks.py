"""Global peaks: the one maximum of every channel, exactly.

Row-max and column-max taken apart return a pixel that is no maximum where maxima tie, as they do
on quantised maps. Here the first row that holds the maximum is found in the row maxima, and then
the first such pixel in that row: one read of the maps, and everything after it is small.

Legend: `N` samples, `H` height, `W` width, `C` channels.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from signatures.contract import PEAK_OPS
from signatures.gathering import gather_pixels
from signatures.guard import flush_subnormals, guarded

# Columns that are reduced side by side. The channels alone are too few neighbours in memory for
# vector instructions: of 13 channels the row maxima then take 1.5 times as long.
_MOST_FOLDED = 16


def _maxima_of_rows(imgs: tf.Tensor) -> tf.Tensor:
    """The largest value of each row: float32 [N, H, C]; of a row with NaN, NaN."""
    sizes = tf.shape(imgs, out_type=tf.int64)
    width = sizes[2]
    # The largest power of two that divides the width.
    power = tf.bitwise.bitwise_and(width, -width)
    folded = tf.clip_by_value(power, 1, _MOST_FOLDED)
    runs = tf.reshape(imgs, tf.stack([sizes[0], sizes[1], width // folded, folded * sizes[3]]))
    maxima = tf.reduce_max(runs, axis=2)
    shape = tf.stack([sizes[0], sizes[1], folded, sizes[3]])
    return tf.reduce_max(tf.reshape(maxima, shape), axis=2)


def _row_maxima(imgs: tf.Tensor) -> tf.Tensor:
    """The largest value of each row: float32 [N, H, C], NaN left out, subnormals as 0."""
    maxima = _maxima_of_rows(imgs)

    def without_nan() -> tf.Tensor:
        numbers = tf.where(tf.math.is_nan(imgs), tf.constant(float("-inf")), imgs)
        return _maxima_of_rows(numbers)

    # A NaN shows in its row's maximum: the small reduction is looked at, not the whole maps.
    any_nan = tf.reduce_any(tf.math.is_nan(maxima))
    # Flushing keeps order, so that the maximum of flushed values is the flushed maximum.
    return flush_subnormals(tf.cond(any_nan, without_nan, lambda: maxima))


def _first(condition: tf.Tensor, axis: int) -> tf.Tensor:
    """The index of the first true element along an axis, or the axis' size: int64."""
    size = tf.shape(condition, out_type=tf.int64)[axis]
    shape = [1] * condition.shape.rank
    shape[axis] = -1
    # In float64, which is exact here: minima of integers have no kernel on a GPU.
    indices = tf.reshape(tf.cast(tf.range(size, dtype=tf.int64), tf.float64), shape)
    firsts = tf.reduce_min(tf.where(condition, indices, tf.cast(size, tf.float64)), axis=axis)
    return tf.cast(firsts, tf.int64)


def global_maxima(imgs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where each channel's maximum is.

    Args:
      imgs: float32 [N, H, W, C].

    Returns:
      `rows` and `cols` int64 [N, C], `values` float32 [N, C] as stored, and `found` bool [N, C],
      false where no pixel is above minus infinity; the others mean nothing there.
    """
    sizes = tf.shape(imgs, out_type=tf.int64)
    samples = tf.reshape(tf.range(sizes[0], dtype=tf.int64), [-1, 1])
    channels = tf.range(sizes[3], dtype=tf.int64)
    maxima = _row_maxima(imgs)
    best = tf.reduce_max(maxima, axis=1)
    rows = _first(tf.equal(maxima, tf.expand_dims(best, axis=1)), axis=1)
    in_row = gather_pixels(
        imgs,
        tf.expand_dims(samples, axis=-1),
        tf.expand_dims(rows, axis=-1),
        tf.range(sizes[2], dtype=tf.int64),
        tf.reshape(channels, [-1, 1]),
    )
    cols = _first(tf.equal(flush_subnormals(in_row), tf.expand_dims(best, axis=-1)), axis=2)
    values = gather_pixels(imgs, samples, rows, cols, channels)
    return rows, cols, values, best > float("-inf")


@guarded(PEAK_OPS.signature("find_global_peaks"))
def find_global_peaks(imgs: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """The largest pixel of every channel of every sample.

    Ties go to the first pixel in row-major order, values being compared with subnormals counted
    as 0. NaN never wins, plus infinity does. A channel with no pixel above minus infinity gives
    NaN row, column and value.

    Args:
      imgs: [N, H, W, C] confidence maps, any real dtype; computed in float32.

    Returns:
      `peaks` float32 [N*C, 4], rows `[sample, row, col, channel]` in pixels, sample-major, and
      `values` float32 [N*C], as stored in the maps.

    Raises:
      InvalidInputError: Wrong shape or dtype.

    >>> import numpy as np
    >>> peaks, values = find_global_peaks(np.reshape([0.0, 3.0, 3.0], (1, 1, 3, 1)))
    >>> peaks.numpy().tolist(), values.numpy().tolist()
    ([[0.0, 0.0, 1.0, 0.0]], [3.0])
    """
    rows, cols, values, found = global_maxima(imgs)
    nan = tf.constant(float("nan"))
    shape = tf.shape(rows, out_type=tf.int64)
    samples = tf.broadcast_to(tf.range(shape[0], dtype=tf.int64)[:, None], shape)
    channels = tf.broadcast_to(tf.range(shape[1], dtype=tf.int64)[None, :], shape)
    columns = [
        tf.cast(samples, tf.float32),
        tf.where(found, tf.cast(rows, tf.float32), nan),
        tf.where(found, tf.cast(cols, tf.float32), nan),
        tf.cast(channels, tf.float32),
    ]
    peaks = tf.reshape(tf.stack(columns, axis=-1), [-1, 4])
    return peaks, tf.reshape(tf.where(found, values, nan), [-1])
