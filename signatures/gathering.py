"""Exact reads of confidence maps at whole pixels.

Resampling (`tf.image.crop_and_resize`) is not exact at the border, and differs between eager,
traced and GPU execution; integer gathers are exact on every device and touch only the pixels
that they return.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks.
"""

from __future__ import annotations

import tensorflow as tf


def round_half_away(coordinates: tf.Tensor) -> tf.Tensor:
    """The nearest whole numbers, halves away from zero, as float64.

    In float64 `x + 0.5` is exact for every float32 up to 2^52.
    """
    exact = tf.cast(coordinates, tf.float64)
    return tf.sign(exact) * tf.floor(tf.abs(exact) + 0.5)


def nearest_pixels(
    imgs: tf.Tensor, peaks: tf.Tensor, reach: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The pixel under each peak, clamped to just outside of what a window can see.

    Args:
      imgs: float32 [N, H, W, C].
      peaks: float32 [P, 4], rows `[sample, row, col, channel]`.
      reach: int64 [], how far a window extends from its centre, in pixels.

    Returns:
      `rows` int64 [P] and `cols` int64 [P], in `[-reach - 1, size + reach]`, and `present`
      bool [P], false where row or col is NaN or infinite.
    """
    coordinates = peaks[:, 1:3]
    finite = tf.math.is_finite(coordinates)
    # Casts of NaN, infinities and huge values to int64 differ by device: none reaches the cast.
    nearest = round_half_away(tf.where(finite, coordinates, tf.zeros_like(coordinates)))
    sizes = tf.shape(imgs, out_type=tf.int64)[1:3]
    lowest = tf.cast(-reach - 1, tf.float64)
    highest = tf.cast(sizes + reach, tf.float64)
    pixels = tf.cast(tf.clip_by_value(nearest, lowest, highest), tf.int64)
    rows, cols = tf.unstack(pixels, num=2, axis=1)
    return rows, cols, tf.reduce_all(finite, axis=1)


def gather_pixels(
    imgs: tf.Tensor,
    samples: tf.Tensor,
    rows: tf.Tensor,
    cols: tf.Tensor,
    channels: tf.Tensor,
    present: tf.Tensor | bool = True,
    outside: float = 0.0,
) -> tf.Tensor:
    """Reads `imgs[sample, row, col, channel]`, and `outside` beyond it or where not present.

    Args:
      imgs: float32 [N, H, W, C].
      samples: int64, in range; all shapes broadcast to one another.
      rows: int64, anywhere.
      cols: int64, anywhere.
      channels: int64, in range.
      present: bool.
      outside: What is read outside of the image.

    Returns:
      float32, of the broadcast shape; bits of the maps unchanged.
    """
    sizes = tf.shape(imgs, out_type=tf.int64)
    # Sliced, not unstacked: on a GPU each part of what is unstacked in host memory is copied alone.
    height, width, depth = sizes[1], sizes[2], sizes[3]
    # What depends on rows and what depends on columns is joined last, in one operation of the
    # full shape each: broadcasting is most of the time that a gather takes.
    inside = (present & (rows >= 0) & (rows < height)) & ((cols >= 0) & (cols < width))
    nothing = tf.constant(outside, imgs.dtype)

    def read() -> tf.Tensor:
        row = tf.clip_by_value(rows, 0, height - 1)
        col = tf.clip_by_value(cols, 0, width - 1)
        # int64: on a GPU int32 kernels of index arithmetic live in host memory.
        index = ((samples * height + row) * (width * depth) + channels) + col * depth
        values = tf.gather(tf.reshape(imgs, [-1]), index)
        return tf.where(inside, values, nothing)

    # Nothing can be gathered from an empty tensor, not even under a mask.
    return tf.cond(
        tf.size(imgs, out_type=tf.int64) > 0, read, lambda: tf.fill(tf.shape(inside), nothing)
    )


def indices(peaks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sample and channel indices of checked rows: two int64 [P]."""
    samples, _, _, channels = tf.unstack(peaks, num=4, axis=1)
    return tf.cast(samples, tf.int64), tf.cast(channels, tf.int64)
