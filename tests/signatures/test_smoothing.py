"""Kernels and smoothing against float64 references."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from signatures import make_gaussian_kernel, smooth_imgs
from signatures.contract import PEAK_OPS

# Of the largest output; the contract's tolerance is twice this, one for either side.
LIMIT = PEAK_OPS.signature("smooth_imgs").tolerance.limit / 2


@pytest.mark.parametrize("size", [1, 3, 4, 5, 11, 128, 129])
@pytest.mark.parametrize("sigma", [1e-3, 0.3, 1.0, 2.5, 1e6])
def test_kernel_is_the_float64_one_rounded_once(reference, size, sigma):
    kernel = make_gaussian_kernel(size, sigma).numpy()
    exact = reference.kernel(size // 2 * 2 + 1, sigma)
    rounded = np.where(exact < 2.0**-126, 0, exact).astype(np.float32)
    assert kernel.shape == rounded.shape
    # exp may differ by one float64 ulp, which rarely moves a float32.
    np.testing.assert_array_max_ulp(kernel, rounded, maxulp=1)
    assert kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] == 1


@pytest.mark.parametrize("size", [1, 3, 5, 7, 11, 21, 23, 51, 129])
@pytest.mark.parametrize("kind", ["normal", "ones", "one_pixel", "wide"])
def test_smoothing_stays_within_its_ulps_of_float64(reference, size, kind):
    random = np.random.default_rng(size)
    imgs = {
        "normal": random.normal(size=(2, 19, 23, 3)),
        "ones": np.ones((1, 40, 40, 1)),
        "one_pixel": np.ones((1, 1, 1, 2)),
        "wide": random.uniform(size=(1, 3, 200, 1)),
    }[kind].astype(np.float32)
    for sigma in (1.0, size / 4, 1e6):
        exact = reference.smooth(imgs, size, sigma)
        smoothed = smooth_imgs(imgs, size, sigma).numpy()
        ulps = np.abs(smoothed - exact).max() / np.spacing(np.float32(np.abs(exact).max()))
        assert ulps <= LIMIT


@pytest.mark.parametrize(
    ("size", "sigma", "total"), [(3, 1.0, 0.779), (5, 0.3, 1.796)], ids=["k3", "k5"]
)
def test_smoothing_is_not_renormalised(size, sigma, total):
    imgs = np.ones((1, 9, 9, 1), np.float32)
    assert smooth_imgs(imgs, size, sigma).numpy()[0, 4, 4, 0] == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize("shape", [(0, 4, 4, 2), (1, 0, 4, 2), (1, 4, 0, 2), (1, 4, 4, 0)], ids=str)
@pytest.mark.parametrize("size", [3, 11, 129])
def test_smoothing_nothing(shape, size):
    assert smooth_imgs(np.zeros(shape, np.float32), size).shape == shape


def test_half_precision_images_are_computed_in_float32():
    imgs = np.random.default_rng(0).normal(size=(1, 5, 5, 1)).astype(np.float16)
    smoothed = smooth_imgs(imgs)
    assert smoothed.dtype == tf.float32
    np.testing.assert_array_equal(smoothed, smooth_imgs(imgs.astype(np.float32)))


@pytest.mark.parametrize("size", [1, 3, 5, 11, 129])
def test_traced_equals_eager(size):
    imgs = np.random.default_rng(0).normal(size=(2, 17, 19, 3)).astype(np.float32)
    spec = tf.TensorSpec([None] * 4, tf.float32)
    traced = tf.function(smooth_imgs, input_signature=[spec, tf.TensorSpec([], tf.int64)])
    np.testing.assert_array_equal(traced(imgs, size), smooth_imgs(imgs, size))
