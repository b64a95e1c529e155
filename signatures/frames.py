"""From images to a network's input, and from its map's pixels back to the image's.

An image is scaled (bilinear, without anti-aliasing, as pose networks are trained), its values
are brought to the network's range, and zeros are added at the bottom and on the right. Pixel
centres are at whole numbers throughout, on both sides of the resizing.

Legend: `N` samples, `Hi` and `Wi` the image's size, `h` and `w` the size of the network's
input, `c` channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from signatures.contract import KeypointOptions
from signatures.contract.keypoint_options import padded_size, scaled_size

# Luma of ITU-R BT.601, as decoders of pictures weigh red, green and blue.
_LUMA = (0.299, 0.587, 0.114)
_WHITE = 255.0


class Placement:
    """Where points of the map lie in the image: `point * factor + shift`, per axis (x, y).

    Attributes:
      factor: float32, [2] or [N, 2].
      shift: float32, of the same shape.
    """

    def __init__(self, factor: tf.Tensor, shift: tf.Tensor) -> None:
        self.factor = factor
        self.shift = shift

    def __call__(self, points: tf.Tensor) -> tf.Tensor:
        """Points float32 [N, any, 2] in pixels of the map to pixels of the image."""
        return points * self.factor[..., None, :] + self.shift[..., None, :]


def nominal_placement(options: KeypointOptions) -> Placement:
    """Where points lie if the image was scaled by exactly `input_scale`.

    Raises:
      InvalidInputError: The coordinates depend on a size that is not fixed.
    """
    factors, shift = options.placement
    return Placement(tf.constant(factors, tf.float32), tf.fill([2], np.float32(shift)))


def placement(
    options: KeypointOptions, sizes: Any, scaled: Any, scale: Any | None = None
) -> Placement:
    """Where points lie in an image of which the sizes before and after scaling are known.

    Under `scaled` x is multiplied by stride / scale, whatever the rounding of the scaled size,
    and under `cells` x + 1/2; under `half-pixel` and `corners` the ratio is that of the sizes, as
    in the resizing itself.

    Args:
      options: Stride, scale, coordinates.
      sizes: [..., 2] height and width of the image.
      scaled: [..., 2] height and width after scaling.
      scale: [..., 1] the scale, if not `input_scale`.

    Raises:
      InvalidInputError: The coordinates depend on a size that is not fixed.
    """
    stride = tf.constant(options.strides, tf.float64)
    half = tf.constant(0.5, tf.float64)
    if options.coordinates in ("scaled", "cells"):
        if scale is None:
            return nominal_placement(options)
        factor = stride / tf.cast(scale, tf.float64)
        shift = half * factor if options.coordinates == "cells" else tf.zeros_like(factor)
        return Placement(tf.cast(factor, tf.float32), tf.cast(shift, tf.float32))
    # Columns (height, width) become (x, y).
    before = tf.reverse(tf.cast(sizes, tf.float64), axis=[-1])
    after = tf.reverse(tf.cast(scaled, tf.float64), axis=[-1])
    ratio = before / after
    return Placement(tf.cast(stride * ratio, tf.float32), tf.cast(half * ratio - half, tf.float32))


def scaled_sizes(sizes: tf.Tensor, scale: tf.Tensor | float) -> tf.Tensor:
    """`scaled_size` on a tensor: int64, at least 1."""
    exact = tf.cast(sizes, tf.float64) * tf.cast(scale, tf.float64) + 1e-6
    return tf.maximum(tf.cast(tf.floor(exact), tf.int64), 1)


class Frames:
    """Preprocessing under the options of a model.

    Attributes:
      content: (rows, columns) of a scaled image of the fixed size, `None` without one.
      input_shape: [h, w, channels] of the network's input, `None` where it follows the image.
    """

    def __init__(self, options: KeypointOptions, channels: int) -> None:
        """Names what is fixed.

        Args:
          options: Image size, scale, padding, range.
          channels: Channels of the network's input.
        """
        self._options = options
        self._channels = channels
        self.content: tuple[int, int] | None = None
        if options.image_height and options.image_width:
            self.content = (
                scaled_size(options.image_height, options.input_scale),
                scaled_size(options.image_width, options.input_scale),
            )
        size: tuple[int | None, int | None] = (options.input_height, options.input_width)
        if None in size and self.content:
            height, width = self.content
            size = (padded_size(height, options.pad_to), padded_size(width, options.pad_to))
        self.input_shape: list[int | None] = [*size, channels]

    def inputs(self, images: tf.Tensor) -> tuple[tf.Tensor, Placement]:
        """The network's input for images of one size.

        Args:
          images: uint8 [N, Hi, Wi, c].

        Returns:
          float32 [N, h, w, channels], and where the map's points lie in the images.
        """
        options = self._options
        pixels = tf.cast(images, tf.float32)
        sizes = tf.shape(images, out_type=tf.int64)[1:3]
        if self.content:
            scaled = tf.constant(self.content, tf.int64)
        else:
            scaled = scaled_sizes(sizes, options.input_scale)
        if options.input_scale != 1.0:
            pixels = tf.image.resize(pixels, tf.cast(scaled, tf.int32))
        return self._finished(pixels, scaled), placement(options, sizes, scaled)

    def fitted(self, picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The network's input for one picture of any size, fitted to the model's image size.

        The picture is scaled to fit with its aspect ratio kept, and to the network's scale, in
        one resizing.

        Args:
          picture: uint8 [Hi, Wi, c], of a model with a fixed image size.

        Returns:
          float32 [h, w, channels]; `factor` and `shift` float32 [2] of its `Placement`.
        """
        options = self._options
        assert self.content
        content = tf.constant(self.content, tf.int64)
        sizes = tf.shape(picture, out_type=tf.int64)[:2]
        scale = self.fit(sizes) * tf.constant(options.input_scale, tf.float64)
        scaled = tf.minimum(scaled_sizes(sizes, scale), content)
        resized = tf.image.resize(picture[None], tf.cast(scaled, tf.int32))
        place = placement(options, sizes, scaled, scale[None])
        return self._finished(resized, scaled)[0], place.factor, place.shift

    def fit(self, sizes: tf.Tensor) -> tf.Tensor:
        """By what a picture of any size int64 [2] is scaled to fit the image size: float64 []."""
        fixed = tf.constant([self._options.image_height, self._options.image_width], tf.float64)
        return tf.reduce_min(fixed / tf.cast(sizes, tf.float64))

    def _finished(self, pixels: tf.Tensor, scaled: tf.Tensor) -> tf.Tensor:
        """Scaled pixels 0..255 with the network's channels, range and size."""
        options = self._options
        pixels = self._coloured(pixels)
        if options.input_max != _WHITE:
            # A product: the graph optimiser replaces a division by it, which is another number.
            pixels *= np.float32(options.input_max / _WHITE)
        wanted = self._input_size(scaled)
        missing = wanted - scaled
        # Put together by hand: padding integers has no kernel on a GPU.
        none = tf.zeros([], tf.int64)
        paddings = tf.stack([none, none, none, missing[0], none, missing[1], none, none])
        paddings = tf.reshape(paddings, [4, 2])
        padded = tf.pad(pixels, paddings)
        return tf.ensure_shape(padded, [None, *self.input_shape])

    def _input_size(self, scaled: tf.Tensor) -> tf.Tensor:
        if None not in self.input_shape:
            return tf.constant(self.input_shape[:2], tf.int64)
        padded: tf.Tensor = padded_size(scaled, self._options.pad_to)
        return padded

    def _coloured(self, pixels: tf.Tensor) -> tf.Tensor:
        """Pixels [N, h, w, c] with as many channels as the network takes."""
        sent = self._options.image_channels
        if sent == self._channels:
            return pixels
        if sent == 1:
            return tf.repeat(pixels, self._channels, axis=3)
        red, green, blue = (pixels[..., i : i + 1] * _LUMA[i] for i in range(3))
        return red + green + blue
