"""Learned offsets as maps: a Gaussian drawn where a framework's own decoding finds a landmark.

A network with offsets answers two things: scores, and how far the landmark is from each pixel.
Frameworks take the pixel of the largest score and add its offset. A map with one Gaussian there
says the same to whoever finds peaks in maps: its Gaussian fit gives the place back to 2e-6 pixels
of the map, and its largest value is the score.

Legend: `N` samples, `H` and `W` the map's size, `C` channels.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from signatures.gathering import gather_pixels
from signatures.global_peaks import global_maxima

SIGMA = 1.5  # pixels of the map
WINDOW = 5  # of the fit that gives the place back
# Beyond the outermost pixels; farther away a fit of what is inside the map loses it.
_FARTHEST = 1.5


def drawn(scores: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Draws each channel's landmark.

    Args:
      scores: float32 [N, H, W, C].
      offsets: float32 [N, H, W, 2 C], (dx, dy) of each channel in pixels of the map.

    Returns:
      float32 [N, H, W, C].
    """
    rows, cols, values, found = global_maxima(scores)
    zero = tf.zeros([], tf.int64)
    rows, cols = tf.where(found, rows, zero), tf.where(found, cols, zero)
    shape = tf.shape(rows, out_type=tf.int64)
    samples = tf.broadcast_to(tf.range(shape[0], dtype=tf.int64)[:, None], shape)
    channels = tf.broadcast_to(tf.range(shape[1], dtype=tf.int64)[None, :], shape)
    size = tf.shape(scores)
    x = _placed(cols, gather_pixels(offsets, samples, rows, cols, 2 * channels), size[2])
    y = _placed(rows, gather_pixels(offsets, samples, rows, cols, 2 * channels + 1), size[1])
    # The exponent is 0 at the pixel nearest to the place: its value is the score, to the bit.
    exponent = _distances(y, size[1])[:, :, None] + _distances(x, size[2])[:, None, :]
    maps = values[:, None, None] * tf.exp(exponent * np.float32(-0.5 / SIGMA**2))
    return tf.ensure_shape(maps, scores.shape)


def _placed(pixels: tf.Tensor, offset: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    last = tf.cast(size - 1, tf.float32)
    return tf.clip_by_value(tf.cast(pixels, tf.float32) + offset, -_FARTHEST, last + _FARTHEST)


def _distances(place: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Squared distances [N, size, C] of pixels from a place [N, C], less the smallest."""
    pixels = tf.cast(tf.range(size), tf.float32)
    squares = tf.square(pixels[None, :, None] - place[:, None, :])
    return squares - tf.reduce_min(squares, axis=1, keepdims=True)
