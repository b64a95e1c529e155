"""From confidence maps to points: what the family `keypoints` answers, sample by sample.

Legend: `N` samples, `H` height, `W` width, `C` channels, `K` peaks per sample.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from signatures.contract import KeypointOptions
from signatures.gathering import gather_pixels
from signatures.gaussian import refine_peaks_gaussian
from signatures.global_peaks import global_maxima
from signatures.guard import body_of, flush_subnormals
from signatures.integral import refine_peaks_integral
from signatures.local_direction import refine_peaks_local_direction
from signatures.local_peaks import strict_mask

LARGEST_FLOAT = 3.4028234663852886e38

Outputs = tuple[tf.Tensor, ...]
# Points (x, y) in pixels of the map, [N, any, 2], to pixels of the image.
ToImage = Callable[[tf.Tensor], tf.Tensor]


def _refined(imgs: tf.Tensor, peaks: tf.Tensor, options: KeypointOptions) -> tf.Tensor:
    """Rows [P, 4] to points (x, y) [P, 2], in pixels of the map."""
    window = tf.constant(options.window, tf.int64)
    if options.refinement == "local":
        peaks = body_of(refine_peaks_local_direction)(imgs, peaks, tf.constant(0.25))
    elif options.refinement == "integral":
        peaks = body_of(refine_peaks_integral)(imgs, peaks, window)
    elif options.refinement == "gaussian":
        peaks = body_of(refine_peaks_gaussian)(imgs, peaks, window)
    return tf.reverse(peaks[:, 1:3], axis=[1])


def global_points(
    confmaps: tf.Tensor, options: KeypointOptions, to_image: ToImage, scale: float = 1.0
) -> Outputs:
    """The global peak of every channel.

    Args:
      confmaps: float32 [N, H, W, C].
      options: Refinement, window, threshold.
      to_image: Maps points to the output's pixels.
      scale: What a confidence of 1 is in the maps.

    Returns:
      `points` float32 [N, C, 2] (x, y), `confidences` float32 [N, C], `valid` bool [N, C].
    """
    rows, cols, values, found = global_maxima(confmaps)
    shape = tf.shape(rows, out_type=tf.int64)
    samples = tf.broadcast_to(tf.range(shape[0], dtype=tf.int64)[:, None], shape)
    channels = tf.broadcast_to(tf.range(shape[1], dtype=tf.int64)[None, :], shape)
    none = tf.zeros([], tf.int64)
    columns = [samples, tf.where(found, rows, none), tf.where(found, cols, none), channels]
    peaks = tf.cast(tf.reshape(tf.stack(columns, axis=-1), [-1, 4]), tf.float32)
    refined = _refined(confmaps, peaks, options)
    points = to_image(tf.reshape(refined, tf.concat([shape, [2]], axis=0)))
    confidences = flush_subnormals(values)
    if scale != 1.0:
        # In float64: the graph optimiser multiplies by the inverse instead, which in float32
        # differs from the eager division.
        confidences = tf.cast(tf.cast(confidences, tf.float64) / scale, tf.float32)
    valid = found & (confidences > options.threshold)
    return (
        tf.where(valid[..., None], points, tf.zeros([])),
        tf.where(valid, tf.minimum(confidences, LARGEST_FLOAT), tf.zeros([])),
        valid,
    )


def local_points(confmaps: tf.Tensor, options: KeypointOptions, to_image: ToImage) -> Outputs:
    """The strongest local peaks of each sample.

    Args:
      confmaps: float32 [N, H, W, C].
      options: Refinement, window, threshold, `max_peaks`.
      to_image: Maps points to the output's pixels.

    Returns:
      `points` float32 [N, K, 2], `confidences` float32 [N, K], `channels` int64 [N, K] and
      `count` int64 [N].
    """
    width = options.max_peaks
    sizes = tf.shape(confmaps, out_type=tf.int64)
    mask = strict_mask(confmaps, tf.constant(options.threshold, tf.float32))
    strength = tf.where(mask, flush_subnormals(confmaps), tf.constant(float("-inf")))
    pixels = sizes[1] * sizes[2] * sizes[3]
    flat = tf.reshape(strength, tf.stack([sizes[0], pixels]))
    # As many columns as asked for, even of maps with fewer pixels. Equal values keep their
    # order: the lower index comes first.
    missing = tf.maximum(tf.constant(width, tf.int64) - pixels, 0)
    flat = tf.pad(flat, [[0, 0], [0, missing]], constant_values=float("-inf"))
    strongest, index = tf.math.top_k(flat, k=width)
    real = strongest > float("-inf")
    index = tf.where(real, tf.cast(index, tf.int64), tf.zeros([], tf.int64))
    depth, columns = tf.maximum(sizes[3], 1), tf.maximum(sizes[2] * sizes[3], 1)
    samples = tf.broadcast_to(tf.range(sizes[0], dtype=tf.int64)[:, None], tf.shape(index))
    places = [samples, index // columns, index % columns // depth, index % depth]
    sample, row, col, channel = places
    values = gather_pixels(confmaps, sample, row, col, channel, present=real)
    peaks = tf.cast(tf.reshape(tf.stack(places, axis=-1), [-1, 4]), tf.float32)
    # Padded rows need an existing pixel to look at, and there is none in an empty map.
    points = tf.cond(
        tf.size(confmaps, out_type=tf.int64) > 0,
        lambda: _refined(confmaps, peaks, options),
        lambda: tf.zeros(tf.stack([tf.shape(peaks)[0], 2])),
    )
    points = to_image(tf.reshape(points, tf.stack([sizes[0], width, 2])))
    return (
        tf.where(real[..., None], points, tf.zeros([])),
        tf.where(real, tf.minimum(values, LARGEST_FLOAT), tf.zeros([])),
        tf.where(real, places[3], -tf.ones([], tf.int64)),
        tf.reduce_sum(tf.cast(real, tf.int64), axis=1),
    )
