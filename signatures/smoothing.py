"""Gaussian kernels and smoothing.

Legend: `N` samples, `H` height, `W` width, `C` channels, `k` the kernel's side.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from signatures.contract import PEAK_OPS, round_up_to_odd
from signatures.guard import guarded

# Up to this side one dense pass is as fast as two 1-D passes, and its filter is still small.
LARGEST_DENSE_SIDE = 5
# Beyond this side a sum in float32 strays from the exact one: 129 equal terms by 34 ulps.
LARGEST_FLOAT32_SIDE = 21


def _squares(side: tf.Tensor) -> tf.Tensor:
    """`x*x` on the integer grid centred at 0: float64 [side].

    A product, not a power: the graph optimiser rewrites powers, and served kernels would
    differ from eager ones.
    """
    grid = tf.cast(tf.range(side, dtype=tf.int64) - side // 2, tf.float64)
    return grid * grid


def _gaussian(squares: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """`exp(-squares / (2 sigma^2))` in float64."""
    return tf.exp(-squares / (2.0 * sigma * sigma))


def _rounded(values: tf.Tensor) -> tf.Tensor:
    """float64 to float32, once, subnormals to 0."""
    normal = tf.abs(values) >= 2.0**-126
    return tf.cast(tf.where(normal, values, tf.zeros([], tf.float64)), tf.float32)


@guarded(PEAK_OPS.signature("make_gaussian_kernel"))
def make_gaussian_kernel(size: Any, sigma: Any) -> tf.Tensor:
    """A square Gaussian `exp(-(x^2 + y^2) / (2 sigma^2))` with peak 1, not normalised.

    Args:
      size: [] integer, side in pixels; even sizes are rounded up to odd.
      sigma: [] standard deviation in pixels, 1e-3..1e6.

    Returns:
      float32 [k, k] with `k = ensure_odd(size)`, rows then columns. Computed in float64 and
      rounded once; values below 2^-126 are 0.

    Raises:
      InvalidInputError: `size` outside 1..129 or `sigma` outside its bounds.

    >>> make_gaussian_kernel(3, 1.0).numpy().round(3).tolist()[1]
    [0.6069999933242798, 1.0, 0.6069999933242798]
    """
    squares = _squares(round_up_to_odd(size))
    return _rounded(_gaussian(squares[:, None] + squares[None, :], tf.cast(sigma, tf.float64)))


@guarded(PEAK_OPS.signature("smooth_imgs"))
def smooth_imgs(imgs: Any, kernel_size: Any = 5, sigma: Any = 1.0) -> tf.Tensor:
    """Convolves every channel with `make_gaussian_kernel` divided by `2 pi sigma^2`.

    Zero padding, same shape. The kernel is *not* renormalised to sum 1: `kernel_size=3,
    sigma=1` sums to 0.779, `kernel_size=5, sigma=0.3` to 1.796.

    Args:
      imgs: [N, H, W, C] confidence maps, any real dtype; computed in float32.
      kernel_size: [] odd integer, side of the kernel in pixels, 1..129.
      sigma: [] standard deviation in pixels, 1e-3..1e6.

    Returns:
      float32 [N, H, W, C].

    Raises:
      InvalidInputError: Wrong shapes or dtypes; `kernel_size` even or out of bounds; `sigma`
        out of bounds.

    >>> import numpy as np
    >>> smooth_imgs(np.ones((1, 1, 1, 1)), kernel_size=1).numpy().item()
    0.15915493667125702
    """
    squares = _squares(kernel_size)
    exact_sigma = tf.cast(sigma, tf.float64)
    channels = tf.shape(imgs, out_type=tf.int64)[3]

    def dense() -> tf.Tensor:
        area = 2.0 * math.pi * exact_sigma * exact_sigma
        kernel = _rounded(_gaussian(squares[:, None] + squares[None, :], exact_sigma) / area)
        return _convolve(imgs, kernel, channels)

    def separable(dtype: tf.DType) -> tf.Tensor:
        # Two 1-D passes, whose filters take O(k C) memory.
        length = math.sqrt(2.0 * math.pi) * exact_sigma
        profile = tf.cast(_rounded(_gaussian(squares, exact_sigma) / length), dtype)
        rows = _convolve(tf.cast(imgs, dtype), profile[:, None], channels)
        return tf.cast(_convolve(rows, profile[None, :], channels), tf.float32)

    def smooth() -> tf.Tensor:
        return tf.case(
            [
                (kernel_size <= LARGEST_DENSE_SIDE, dense),
                (kernel_size <= LARGEST_FLOAT32_SIDE, lambda: separable(tf.float32)),
            ],
            default=lambda: separable(tf.float64),
        )

    # A filter for zero channels is refused by the convolution.
    return tf.cond(tf.size(imgs, out_type=tf.int64) > 0, smooth, lambda: imgs)


def _convolve(imgs: tf.Tensor, kernel: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
    """One zero-padded pass of the same kernel [rows, cols] over every channel."""
    sides = tf.shape(kernel, out_type=tf.int64)
    filters = tf.broadcast_to(
        kernel[:, :, None, None], tf.stack([sides[0], sides[1], channels, tf.ones([], tf.int64)])
    )
    return tf.nn.depthwise_conv2d(imgs, filters, strides=[1, 1, 1, 1], padding="SAME")
