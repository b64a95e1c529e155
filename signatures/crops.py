"""Square windows around peaks, cut exactly.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks, `w` the odd window side.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from signatures.contract import PEAK_OPS, InvalidInputError, round_up_to_odd
from signatures.gathering import gather_pixels, indices, nearest_pixels
from signatures.guard import guarded


def ensure_odd(x: Any) -> tf.Tensor:
    """Rounds integers up to odd: `(x // 2) * 2 + 1`.

    Args:
      x: Integers of any shape and dtype.

    Returns:
      A tensor of the same shape and dtype.

    Raises:
      InvalidInputError: `x` does not hold integers.

    >>> ensure_odd([4, 5]).numpy().tolist()
    [5, 5]
    """
    tensor = tf.convert_to_tensor(x)
    if not tensor.dtype.is_integer:
        raise InvalidInputError(f"x: expected an integer dtype, got {tensor.dtype.name}")
    return round_up_to_odd(tensor)


def crop_body(imgs: tf.Tensor, peaks: tf.Tensor, window_length: tf.Tensor) -> tf.Tensor:
    """`crop_centered_boxes` without its guard, for bodies that need crops."""
    side = round_up_to_odd(window_length)
    reach = side // 2
    rows, cols, present = nearest_pixels(imgs, peaks, reach)
    samples, channels = indices(peaks)
    steps = tf.range(-reach, reach + 1, dtype=tf.int64)
    # Reshaped, not indexed with `None`: that makes four operations, and half of an eager call.
    each = [-1, 1, 1]
    crops = gather_pixels(
        imgs,
        tf.reshape(samples, each),
        tf.reshape(rows, each) + tf.reshape(steps, [-1, 1]),
        tf.reshape(cols, each) + steps,
        tf.reshape(channels, each),
        tf.reshape(present, each),
    )
    return tf.expand_dims(crops, axis=-1)


@guarded(PEAK_OPS.signature("crop_centered_boxes"))
def crop_centered_boxes(imgs: Any, peaks: Any, window_length: Any) -> tf.Tensor:
    """Cuts a square window of one channel around every peak, zeros outside the image.

    Bit-identical to slicing the zero-padded channel at the rounded coordinate (halves away
    from zero), at every border and image size. A row whose row or col is NaN or infinite gives
    zeros.

    Args:
      imgs: [N, H, W, C] confidence maps, any real dtype; computed in float32.
      peaks: [P, 4] rows `[sample, row, col, channel]` in pixels, pixel centres at whole
        numbers; any real dtype, converted to float32.
      window_length: [] integer, side of the window in pixels; even lengths are rounded up.

    Returns:
      float32 [P, w, w, 1] with `w = ensure_odd(window_length)`.

    Raises:
      InvalidInputError: Wrong shapes or dtypes; a window outside 1..129; more than 2^26
        elements of output; a sample or channel index that is not a whole number in range.

    >>> import numpy as np
    >>> imgs = np.arange(9, dtype="float32").reshape(1, 3, 3, 1)
    >>> crop_centered_boxes(imgs, [[0, 0, 0, 0]], 3)[0, :, :, 0].numpy().tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 3.0, 4.0]]
    """
    return crop_body(imgs, peaks, window_length)
