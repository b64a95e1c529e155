"""What the refinements that look at a whole window share.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks, `w` the odd window side.
"""

from __future__ import annotations

import tensorflow as tf

from signatures.contract import round_up_to_odd
from signatures.crops import crop_body
from signatures.gathering import nearest_pixels, round_half_away
from signatures.guard import flush_subnormals


def windows(
    imgs: tf.Tensor, peaks: tf.Tensor, window_length: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The window around every peak, flattened.

    Returns:
      `values` float32 [P, w*w], 0 outside the image, and `inside` bool [P, w*w], which pixels
      are in the image: those outside are left out, not counted as 0.
    """
    side = round_up_to_odd(window_length)
    reach = side // 2
    crops = crop_body(imgs, peaks, window_length)
    rows, cols, _ = nearest_pixels(imgs, peaks, reach)
    sizes = tf.shape(imgs, out_type=tf.int64)
    steps = tf.range(-reach, reach + 1, dtype=tf.int64)
    row = tf.reshape(rows, [-1, 1, 1]) + tf.reshape(steps, [-1, 1])
    col = tf.reshape(cols, [-1, 1, 1]) + steps
    inside = ((row >= 0) & (row < sizes[1])) & ((col >= 0) & (col < sizes[2]))
    # Both sizes are given: -1 has no meaning where there are no peaks.
    shape = tf.stack([tf.shape(peaks, out_type=tf.int64)[0], side * side])
    return tf.reshape(crops, shape), tf.reshape(inside, shape)


def offset_grid(window_length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Offsets of a window's pixels from its centre, in pixels.

    Returns:
      `dy` and `dx` float32 [w*w], and `reach` float32 [], half the window rounded down.
    """
    side = round_up_to_odd(window_length)
    steps = tf.cast(tf.range(side, dtype=tf.int64) - side // 2, tf.float32)
    dy, dx = tf.meshgrid(steps, steps, indexing="ij")
    return tf.reshape(dy, [-1]), tf.reshape(dx, [-1]), tf.cast(side // 2, tf.float32)


def moved(peaks: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """The rounded pixel plus an offset [P, 2] (dy, dx); missing rows as they are."""
    places = peaks[:, 1:3]
    present = tf.reduce_all(tf.math.is_finite(places), axis=1, keepdims=True)
    pixels = tf.cast(round_half_away(places), tf.float32)
    sample, _, channel = tf.split(flush_subnormals(peaks), [1, 2, 1], axis=1)
    refined = tf.concat([sample, flush_subnormals(pixels + offsets), channel], axis=1)
    return tf.where(present, refined, peaks)
