"""Integral and Gaussian refinement: inside the window for any input, exact on clean blobs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from signatures import PeakOps, refine_peaks_gaussian, refine_peaks_integral

REFINEMENTS = {"integral": refine_peaks_integral, "gaussian": refine_peaks_gaussian}
both = pytest.mark.parametrize("refine", REFINEMENTS.values(), ids=REFINEMENTS)
WILD = np.float32(
    [0, -0.0, 1, -1, 0.5, np.nan, np.inf, -np.inf, 1e-40, 3.4e38, -3.4e38, 2.0**-126, 1e20]
)


def blob(row, col, sigma=1.5, side=15, height=1.0):
    y, x = np.mgrid[:side, :side]
    values = height * np.exp(-((y - row) ** 2 + (x - col) ** 2) / (2 * sigma**2))
    return values.astype(np.float32)[None, :, :, None]


@both
@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kinds=st.integers(1, len(WILD)),
    window=st.integers(1, 9),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
def test_nothing_leaves_its_window(refine, seed, kinds, window, height, width):
    random = np.random.default_rng(seed)
    imgs = random.choice(random.permutation(WILD)[:kinds], (1, height, width, 1))
    peaks = np.zeros((20, 4), np.float32)
    peaks[:, 1] = random.integers(-2, height + 2, 20)
    peaks[:, 2] = random.integers(-2, width + 2, 20)
    refined = refine(imgs, peaks, window).numpy()
    assert np.isfinite(refined).all()
    assert (np.abs(refined - peaks)[:, 1:3] <= window // 2).all()
    np.testing.assert_array_equal(refined[:, [0, 3]], 0)


@pytest.mark.parametrize("height", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize(("row", "col"), [(7.0, 7.0), (7.3, 6.6), (7.49, 6.51), (6.8, 7.1)])
def test_gaussian_finds_clean_blobs(row, col, height):
    refined = refine_peaks_gaussian(blob(row, col, height=height), [[0, 7, 7, 0]], 7).numpy()
    np.testing.assert_allclose(refined[0, 1:3], (row, col), atol=1e-3)


@pytest.mark.parametrize(("row", "col"), [(0.2, 7.0), (14.3, 0.4), (0.0, 14.0)])
def test_gaussian_leaves_pixels_outside_out(row, col):
    peak = [[0, min(round(row), 14), min(round(col), 14), 0]]
    refined = refine_peaks_gaussian(blob(row, col), peak, 7).numpy()
    np.testing.assert_allclose(refined[0, 1:3], (row, col), atol=2e-3)


def test_gaussian_leaves_values_that_are_no_numbers_out():
    imgs = blob(7.3, 6.6)
    imgs[0, 6, 7, 0], imgs[0, 8, 8, 0] = np.nan, np.inf
    refined = refine_peaks_gaussian(imgs, [[0, 7, 7, 0]], 7).numpy()
    np.testing.assert_allclose(refined[0, 1:3], (7.3, 6.6), atol=2e-3)


@both
@pytest.mark.parametrize(
    "imgs", [np.zeros, lambda shape: -np.ones(shape)], ids=["zeros", "negative"]
)
def test_nothing_to_fit_gives_offset_zero(refine, imgs):
    refined = refine(imgs((1, 9, 9, 1)), [[0, 3.6, 4.2, 0]], 5).numpy()
    np.testing.assert_array_equal(refined, [[0, 4, 4, 0]])


def test_a_bowl_has_no_maximum():
    y, x = np.mgrid[:9, :9]
    bowl = (1.0 + (y - 4) ** 2 + (x - 4) ** 2)[None, :, :, None]
    refined = refine_peaks_gaussian(bowl, [[0, 4, 4, 0]], 5).numpy()
    np.testing.assert_array_equal(refined, [[0, 4, 4, 0]])


def test_integral_is_the_centre_of_mass_of_positive_values():
    imgs = np.zeros((1, 5, 5, 1), np.float32)
    imgs[0, 2, 2], imgs[0, 2, 3], imgs[0, 1, 2], imgs[0, 4, 4] = 2.0, 1.0, -5.0, np.inf
    refined = refine_peaks_integral(imgs, [[0, 2, 2, 0]], 5).numpy()
    np.testing.assert_allclose(refined, [[0, 2, 2 + 1 / 3, 0]], rtol=1e-6)


def test_integral_cannot_overflow():
    imgs = np.full((1, 9, 9, 1), 3e38, np.float32)
    refined = refine_peaks_integral(imgs, [[0, 4, 4, 0]], 9).numpy()
    np.testing.assert_allclose(refined, [[0, 4, 4, 0]], atol=1e-5)


@both
def test_missing_rows_come_back(refine):
    rows = np.float32([[0, np.nan, 1, 0], [-0.0, np.inf, 1, 0], [0, 1, -np.inf, 0]])
    refined = refine(blob(7, 7), rows, 5).numpy()
    assert refined.view(np.uint32).tolist() == rows.view(np.uint32).tolist()


@both
def test_a_window_of_one_pixel_rounds(refine):
    refined = refine(blob(7, 7), [[0, 6.6, 7.4, 0], [0, -0.5, 2.5, 0]], 1).numpy()
    np.testing.assert_array_equal(refined, [[0, 7, 7, 0], [0, -1, 3, 0]])


@pytest.mark.parametrize("name", ["refine_peaks_integral", "refine_peaks_gaussian"])
def test_traced_equals_eager_within_the_contract(name):
    module = PeakOps()
    limit = module.contract.signature(name).tolerance.limit
    imgs = np.random.default_rng(0).uniform(size=(2, 30, 30, 2)).astype(np.float32)
    peaks = np.random.default_rng(1).uniform(0, 29, (200, 4)).astype(np.float32)
    peaks[:, [0, 3]] = np.random.default_rng(2).integers(0, 2, (200, 2))
    eager = REFINEMENTS[name.removeprefix("refine_peaks_")](imgs, peaks, 7)
    traced = module.functions[name](imgs, peaks, tf.constant(7, tf.int64))["refined_peaks"]
    np.testing.assert_allclose(traced, eager, rtol=0, atol=limit)
