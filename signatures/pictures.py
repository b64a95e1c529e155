"""Decoding pictures inside the graph: a bad one spoils its own row only.

A decoding error would end the whole request. Each picture is therefore decoded by an element of
a `tf.data` pipeline that drops elements with errors; those that are missing are bad. A picture's
header is read before its pixels, so that a few bytes cannot ask for gigabytes.

Legend: `N` samples, `c` channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
# Where a PNG file keeps width and height, four bytes each, the most significant one first.
_PNG_SIZES = (16, 8)
# Pictures that are decoded at a time.
_PARALLEL = 2

Results = tuple[tf.Tensor, ...]


def decoded(encoded: tf.Tensor, channels: int, max_pixels: int) -> tf.Tensor:
    """Decodes one JPEG or PNG: uint8 [height, width, channels].

    JPEG with the accurate integer transform, as Pillow and OpenCV do; EXIF orientation is not
    applied, transparency is ignored.

    Args:
      encoded: string [].
      channels: 1 or 3; colours are reduced or repeated by the decoder.
      max_pixels: Most pixels that the header may announce.

    Raises:
      tf.errors.InvalidArgumentError: Neither format, damaged, or too large.
    """
    is_png = tf.equal(tf.strings.substr(encoded, 0, len(PNG_START)), PNG_START)
    is_jpeg = tf.equal(tf.strings.substr(encoded, 0, len(JPEG_START)), JPEG_START)
    # Other formats are refused here, whatever the decoders would take.
    with tf.control_dependencies([tf.debugging.Assert(is_png | is_jpeg, ["no JPEG or PNG"])]):
        encoded = tf.identity(encoded)

    def png_size() -> tf.Tensor:
        digits = tf.io.decode_raw(tf.strings.substr(encoded, *_PNG_SIZES), tf.uint8)
        powers = tf.constant([2**24, 2**16, 2**8, 1], tf.int64)
        return tf.reduce_sum(tf.reshape(tf.cast(digits, tf.int64), [2, 4]) * powers, axis=1)

    def jpeg_size() -> tf.Tensor:
        return tf.cast(tf.image.extract_jpeg_shape(encoded)[:2], tf.int64)

    size = tf.cond(is_png, png_size, jpeg_size)
    # Each side first: the product of two announced sides may wrap.
    fits = tf.reduce_all((size >= 1) & (size <= max_pixels)) & (size[0] * size[1] <= max_pixels)
    with tf.control_dependencies([tf.debugging.Assert(fits, ["too many pixels", size])]):
        encoded = tf.identity(encoded)
    picture = tf.cond(
        is_png,
        lambda: tf.io.decode_png(encoded, channels=channels),
        lambda: tf.io.decode_jpeg(encoded, channels=channels, dct_method="INTEGER_ACCURATE"),
    )
    return tf.ensure_shape(picture, [None, None, channels])


def decode_each(
    encoded: tf.Tensor, decode: Callable[[tf.Tensor], Results], blank: Callable[[], Results]
) -> tuple[Results, tf.Tensor]:
    """Decodes pictures to tensors of one shape.

    Args:
      encoded: string [N].
      decode: One picture, string [], to tensors of static shape.
      blank: Such tensors for a picture that cannot be decoded.

    Returns:
      Tensors with axis 0 of size N, and bool [N], which pictures were decoded.
    """
    count = tf.shape(encoded, out_type=tf.int64)[0]
    numbered = tf.data.Dataset.from_tensor_slices((tf.range(count, dtype=tf.int64), encoded))
    good = numbered.map(
        lambda number, picture: (number, *decode(picture)), num_parallel_calls=_PARALLEL
    ).ignore_errors()
    # One more element: a batch of nothing has no element to get.
    last = tf.data.Dataset.from_tensors((count, *blank()))
    numbers, *tensors = good.concatenate(last).batch(count + 1).get_single_element()

    def placed(values: tf.Tensor) -> tf.Tensor:
        shape = tf.concat([[count + 1], tf.shape(values, out_type=tf.int64)[1:]], axis=0)
        return tf.scatter_nd(numbers[:, None], values, shape)[:-1]

    ok = placed(tf.ones_like(numbers)) > 0
    return tuple(placed(values) for values in tensors), ok


def decode_one(encoded: tf.Tensor, channels: int, max_pixels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes one picture of any size.

    Args:
      encoded: string [1].
      channels: See `decoded`.
      max_pixels: See `decoded`.

    Returns:
      uint8 [1, height, width, channels] (a single pixel if it cannot be decoded), and bool [],
      whether it was decoded.
    """

    def decode(picture: tf.Tensor) -> tuple[Any, ...]:
        return decoded(picture, channels, max_pixels)[None], tf.constant(True)

    good = tf.data.Dataset.from_tensor_slices(encoded).map(decode).ignore_errors()
    blank = (tf.zeros([1, 1, 1, channels], tf.uint8), tf.constant(False))
    last = tf.data.Dataset.from_tensors(blank)
    picture, ok = good.concatenate(last).take(1).get_single_element()
    return tf.ensure_shape(picture, [1, None, None, channels]), ok
