"""Crops and refinement against the loop reference: borders, halves, missing, odd inputs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from signatures import (
    InvalidInputError,
    crop_centered_boxes,
    ensure_odd,
    refine_peaks_local_direction,
)

TINY = 2.0**-126


def maps_and_peaks(seed, samples, height, width, channels, count):
    """Few distinct values, so that ties are common; peaks on and around every border."""
    random = np.random.default_rng(seed)
    values = np.array([-1.0, 0.0, -0.0, 0.5, 1.0, np.nan, np.inf, 1e-40, TINY], np.float32)
    imgs = random.choice(values, (samples, height, width, channels))
    rows = random.choice([-1.5, -1, -0.5, 0, 0.5, height - 1, height - 0.5, height, np.nan], count)
    cols = random.choice([-1.5, -1, -0.5, 0, 0.5, width - 1, width - 0.5, width, np.inf], count)
    which = random.integers(0, samples, count), random.integers(0, channels, count)
    peaks = np.stack([which[0], rows, cols, which[1]], axis=1).astype(np.float32)
    return imgs, peaks.reshape(-1, 4)


SIZES = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(0, 12),
)


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, window=st.integers(0, 12))
def test_crops_equal_slicing(reference, sizes, window):
    imgs, peaks = maps_and_peaks(*sizes)
    crops = crop_centered_boxes(imgs, peaks, window).numpy()
    assert reference.same_bits(reference.crop(imgs, peaks, window), crops)


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, delta=st.sampled_from([0.25, 0.5, -0.25, 0.0, 1e-40, 3.0]))
def test_refinement_equals_loops(reference, sizes, delta):
    imgs, peaks = maps_and_peaks(*sizes)
    refined = refine_peaks_local_direction(imgs, peaks, delta).numpy()
    assert reference.same_bits(reference.refine(imgs, peaks, delta), refined)


@settings(max_examples=30, deadline=None)
@given(
    sizes=SIZES,
    image_dtype=st.sampled_from(["float16", "float32", "float64"]),
    peak_dtype=st.sampled_from(
        ["int8", "uint8", "int32", "int64", "float16", "float32", "float64"]
    ),
)
def test_dtypes_are_converted_to_float32(reference, sizes, image_dtype, peak_dtype):
    imgs, peaks = maps_and_peaks(*sizes)
    imgs = imgs.astype(image_dtype)
    if np.dtype(peak_dtype).kind in "iu":
        peaks = np.clip(np.nan_to_num(peaks, posinf=1), 0, 100)
    peaks = peaks.astype(peak_dtype)
    expected = reference.crop(imgs.astype(np.float32), peaks, 3)
    crops = crop_centered_boxes(imgs, peaks, 3).numpy()
    assert reference.same_bits(expected, crops)


@pytest.mark.parametrize(
    ("coordinate", "pixel"),
    [(0.5, 1), (1.5, 2), (2.5, 3), (0.49999997, 0), (-0.5, -1), (-0.49999997, 0), (3.4999998, 3)],
)
def test_halves_round_away_from_zero(coordinate, pixel):
    imgs = np.arange(1, 8, dtype=np.float32).reshape(1, 7, 1, 1)
    value = crop_centered_boxes(imgs, [[0, coordinate, 0, 0]], 1).numpy().item()
    assert value == (pixel + 1 if 0 <= pixel < 7 else 0)


def test_float64_peaks_are_rounded_to_float32_first():
    imgs = np.arange(1, 8, dtype=np.float32).reshape(1, 7, 1, 1)
    almost_half = np.nextafter(0.5, 0)  # 0.5 as a float32
    assert crop_centered_boxes(imgs, [[0, almost_half, 0, 0]], 1).numpy().item() == 2


@pytest.mark.parametrize("far", [1e6, 1e18, 1e30, 3e38])
def test_far_outside_gives_zeros(far):
    imgs = np.ones((1, 5, 5, 1), np.float32)
    for row, col in [(far, 2), (-far, 2), (2, far), (2, -far), (far, -far)]:
        assert not crop_centered_boxes(imgs, [[0, row, col, 0]], 129).numpy().any()


@pytest.mark.parametrize("shape", [(1, 0, 5, 2), (2, 5, 0, 2), (1, 0, 0, 1)], ids=str)
def test_images_without_pixels(shape):
    imgs = np.zeros(shape, np.float32)
    peaks = np.array([[0, 1, 2.5, 0]], np.float32)
    assert crop_centered_boxes(imgs, peaks, 3).numpy().tolist() == np.zeros((1, 3, 3, 1)).tolist()
    np.testing.assert_array_equal(refine_peaks_local_direction(imgs, peaks), peaks)


@pytest.mark.parametrize("shape", [(0, 4, 4, 2), (2, 4, 4, 0), (0, 0, 0, 0), (2, 4, 4, 2)], ids=str)
def test_zero_peaks(shape):
    imgs, peaks = np.zeros(shape, np.float32), np.zeros((0, 4), np.float32)
    assert crop_centered_boxes(imgs, peaks, 4).shape == (0, 5, 5, 1)
    assert refine_peaks_local_direction(imgs, peaks).shape == (0, 4)


def test_a_channel_index_into_zero_channels_is_refused():
    with pytest.raises(
        InvalidInputError, match="channel index outside imgs; row 0 got 0 channels 0"
    ):
        refine_peaks_local_direction(np.zeros((1, 4, 4, 0), np.float32), [[0, 0, 0, 0]])


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
def test_traced_equals_eager(reference, static):
    imgs, peaks = maps_and_peaks(5, 2, 8, 14, 3, 200)
    specs = [
        tf.TensorSpec(array.shape if static else [None] * array.ndim, tf.float32)
        for array in (imgs, peaks)
    ]

    @tf.function(input_signature=specs)
    def both(imgs, peaks):
        return crop_centered_boxes(imgs, peaks, 5), refine_peaks_local_direction(imgs, peaks)

    crops, refined = both(imgs, peaks)
    assert reference.same_bits(reference.crop(imgs, peaks, 5), crops.numpy())
    assert reference.same_bits(reference.refine(imgs, peaks, 0.25), refined.numpy())


def test_unknown_rank_is_checked_when_it_runs():
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def refine(peaks):
        return refine_peaks_local_direction(tf.zeros([1, 4, 4, 1]), peaks)

    assert refine(tf.zeros([3, 4])).shape == (3, 4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible"):
        refine(tf.zeros([3, 3]))


def test_crops_keep_bits():
    payload = np.array([0x7FC12345, 0x80000000, 0x00000001, 0x807FFFFF], np.uint32)
    imgs = payload.view(np.float32).reshape(1, 2, 2, 1)
    crops = crop_centered_boxes(imgs, [[0, r, c, 0] for r in (0, 1) for c in (0, 1)], 1).numpy()
    assert crops.ravel().view(np.uint32).tolist() == payload.tolist()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_ensure_odd(dtype):
    values = np.array([0, 1, 4, 5, 126], dtype)
    odd = ensure_odd(values)
    assert odd.dtype.name == dtype
    assert odd.numpy().tolist() == [1, 1, 5, 5, 127]


def test_ensure_odd_of_floats_is_refused():
    with pytest.raises(InvalidInputError, match="expected an integer dtype, got float32"):
        ensure_odd(4.0)
