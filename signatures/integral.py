"""Integral refinement: the centre of mass of a window, kept inside it.

The expectation of integral regression (Sun, Xiao, Wei, Liang and Wei, "Integral Human Pose
Regression", ECCV 2018), over a window around the peak instead of the whole map.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks, `w` the odd window side.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from signatures.contract import PEAK_OPS
from signatures.guard import flush_subnormals, guarded
from signatures.windowed import moved, offset_grid, windows


@guarded(PEAK_OPS.signature("refine_peaks_integral"))
def refine_peaks_integral(imgs: Any, peaks: Any, window_length: Any) -> tf.Tensor:
    """Moves every peak to the centre of mass of its window.

    The rounded pixel (halves away from zero) plus the mean offset of the window's pixels,
    weighted by their values. Negative and non-finite values count as 0, pixels outside the
    image are left out, and a window whose sum is 0 gives offset 0. Rows whose row or col is NaN
    or infinite come back as they are.

    Args:
      imgs: [N, H, W, C] confidence maps, any real dtype; computed in float32.
      peaks: [P, 4] rows `[sample, row, col, channel]` in pixels; any real dtype.
      window_length: [] integer, side of the window in pixels; even lengths are rounded up.

    Returns:
      float32 [P, 4], rows `[sample, row, col, channel]`, inside their windows.

    Raises:
      InvalidInputError: Wrong shapes or dtypes; a window or a total of P*w*w out of bounds; a
        sample or channel index that is not a whole number in range.

    >>> import numpy as np
    >>> imgs = np.reshape([0.0, 1.0, 1.0], (1, 1, 3, 1))
    >>> refine_peaks_integral(imgs, [[0, 0, 1, 0]], 3).numpy().tolist()
    [[0.0, 0.0, 1.5, 0.0]]
    """
    values, _ = windows(imgs, peaks, window_length)
    dy, dx, reach = offset_grid(window_length)
    usable = tf.math.is_finite(values) & (values > 0)
    mass = flush_subnormals(tf.where(usable, values, tf.zeros([])))
    # Scaled by the largest first, so that the sum cannot overflow.
    largest = tf.reduce_max(mass, axis=1, keepdims=True)
    empty = largest <= 0
    mass = mass / tf.where(empty, tf.ones([]), largest)
    total = tf.reduce_sum(mass, axis=1)
    safe = tf.where(empty[:, 0], tf.ones([]), total)
    centre = tf.stack(
        [tf.reduce_sum(mass * dy, axis=1) / safe, tf.reduce_sum(mass * dx, axis=1) / safe], axis=1
    )
    return moved(peaks, tf.clip_by_value(centre, -reach, reach))
