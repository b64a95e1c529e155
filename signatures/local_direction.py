"""Local-direction sub-pixel refinement: a quarter pixel towards the larger neighbours.

The rule of stacked hourglass networks (Newell, Yang and Deng, "Stacked Hourglass Networks for
Human Pose Estimation", ECCV 2016), written so that its result is the same to the last bit on
every device: exact reads, and comparisons that do not depend on how subnormals are treated.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from signatures.contract import PEAK_OPS
from signatures.contract.rules import SMALLEST_NORMAL
from signatures.gathering import gather_pixels, indices, nearest_pixels
from signatures.guard import flush_subnormals, guarded


def step_body(behind: tf.Tensor, ahead: tf.Tensor, delta: tf.Tensor) -> tf.Tensor:
    """The step (dy, dx) from neighbours.

    Few operations on all neighbours at once: of a hundred peaks, starting an operation takes
    longer than its work.

    Args:
      behind: float32 [P, 2], the neighbours above and to the left.
      ahead: float32 [P, 2], the neighbours below and to the right.
      delta: float32 [].

    Returns:
      float32 [P, 2].
    """
    # Two infinities of one sign give NaN here, and NaN is on neither side of a threshold.
    difference = flush_subnormals(ahead) - flush_subnormals(behind)
    direction = tf.cast(difference >= SMALLEST_NORMAL, tf.float32) - tf.cast(
        difference <= -SMALLEST_NORMAL, tf.float32
    )
    return flush_subnormals(delta) * direction


@guarded(PEAK_OPS.signature("find_offsets_local_direction"))
def find_offsets_local_direction(centered_patches: Any, delta: Any = 0.25) -> tf.Tensor:
    """Steps from the centre of 3x3 patches towards the larger neighbour of each axis.

    `dy = delta * ((below > above) - (below < above))`, and `dx` likewise from right and left.
    Subnormal values count as 0, and so does a difference below 2^-126; a NaN neighbour, or two
    equal infinities, give 0 on that axis.

    Args:
      centered_patches: [P, 3, 3, 1] windows (peak, row, col, one channel), any real dtype;
        computed in float32.
      delta: [] step in pixels, finite; a subnormal delta counts as 0.

    Returns:
      float32 [P, 2], columns (dy, dx) in pixels.

    Raises:
      InvalidInputError: Wrong shapes or dtypes; `delta` is NaN or infinite.

    >>> patch = [[0.0, 1.0, 0.0], [1.0, 3.0, 2.0], [0.0, 1.0, 0.0]]
    >>> import numpy as np
    >>> find_offsets_local_direction(np.reshape(patch, (1, 3, 3, 1))).numpy().tolist()
    [[0.0, 0.25]]
    """
    # Flat, a patch's neighbours above, left, right and below are its odd pixels.
    pixels = tf.reshape(centered_patches, tf.stack([tf.shape(centered_patches)[0], 9]))
    return step_body(pixels[:, 1:4:2], pixels[:, 7:4:-2], delta)


@guarded(PEAK_OPS.signature("refine_peaks_local_direction"))
def refine_peaks_local_direction(imgs: Any, peaks: Any, delta: Any = 0.25) -> tf.Tensor:
    """Moves every peak by `delta` towards its larger neighbours.

    The given row plus `[0, dy, dx, 0]`, the step being taken at the rounded pixel (halves away
    from zero) by the rule of `find_offsets_local_direction`, zeros outside the image. Rows
    whose row or col is NaN or infinite come back as they are. A subnormal or negative zero in
    any other row comes back as 0, so that devices that flush subnormals agree.

    Args:
      imgs: [N, H, W, C] confidence maps, any real dtype; computed in float32.
      peaks: [P, 4] rows `[sample, row, col, channel]` in pixels, pixel centres at whole
        numbers; any real dtype, converted to float32.
      delta: [] step in pixels, finite.

    Returns:
      float32 [P, 4], rows `[sample, row, col, channel]`.

    Raises:
      InvalidInputError: Wrong shapes or dtypes; `delta` not finite; a sample or channel index
        that is not a whole number in range.

    >>> import numpy as np
    >>> imgs = np.reshape([0.0, 3.0, 2.0], (1, 1, 3, 1))
    >>> refine_peaks_local_direction(imgs, [[0, 0, 1, 0]]).numpy().tolist()
    [[0.0, 0.0, 1.25, 0.0]]
    """
    samples, channels = indices(peaks)
    rows, cols, present = nearest_pixels(imgs, peaks, reach=tf.constant(1, tf.int64))
    has_place = tf.reshape(present, [-1, 1])
    # above, left, below, right
    neighbours = gather_pixels(
        imgs,
        tf.reshape(samples, [-1, 1]),
        tf.reshape(rows, [-1, 1]) + tf.constant([[-1, 0, 1, 0]], tf.int64),
        tf.reshape(cols, [-1, 1]) + tf.constant([[0, -1, 0, 1]], tf.int64),
        tf.reshape(channels, [-1, 1]),
        has_place,
    )
    behind, ahead = tf.split(neighbours, 2, axis=1)
    offsets = tf.pad(step_body(behind, ahead, delta), [[0, 0], [1, 1]])
    moved = flush_subnormals(flush_subnormals(peaks) + offsets)
    return tf.where(has_place, moved, peaks)
