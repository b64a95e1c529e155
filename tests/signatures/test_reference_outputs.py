"""Outputs of an independent implementation, kept outside of the project."""

from __future__ import annotations

import re

import numpy as np
import pytest

from signatures import (
    crop_centered_boxes,
    find_offsets_local_direction,
    make_gaussian_kernel,
    refine_peaks_local_direction,
    smooth_imgs,
)


@pytest.fixture(scope="module")
def outputs(real_data):
    return np.load(real_data / "reference_outputs.npz")


def matching(outputs, pattern):
    found = [(key, match) for key in outputs.files if (match := re.fullmatch(pattern, key))]
    assert found, f"no key matches {pattern}"
    return [(outputs[key], match.groups()) for key, match in found]


def test_crops(outputs):
    for expected, (case, window) in matching(outputs, r"(case\d+)_crops_w(\d+)"):
        imgs, peaks = outputs[f"{case}_imgs"], outputs[f"{case}_inner_peaks"]
        np.testing.assert_array_equal(crop_centered_boxes(imgs, peaks, int(window)), expected)


def test_refined_peaks(outputs):
    for expected, (case, delta) in matching(outputs, r"(case\d+)_refined_d([\d.]+)"):
        imgs, peaks = outputs[f"{case}_imgs"], outputs[f"{case}_inner_peaks"]
        refined = refine_peaks_local_direction(imgs, peaks, float(delta))
        np.testing.assert_array_equal(refined, expected)


def test_offsets(outputs):
    for expected, (case, delta) in matching(outputs, r"(case\d+)_offsets_d([\d.]+)"):
        offsets = find_offsets_local_direction(outputs[f"{case}_crops_w3"], float(delta))
        np.testing.assert_array_equal(offsets, expected)
    np.testing.assert_array_equal(
        find_offsets_local_direction(outputs["doc_patch"]), outputs["doc_offsets"]
    )


def test_kernels(outputs):
    for expected, (size, sigma) in matching(outputs, r"kernel_(\d+)_([\d.]+)"):
        kernel = make_gaussian_kernel(int(size), float(sigma))
        # That implementation computes in float32: narrow kernels lose digits in their tails.
        np.testing.assert_allclose(kernel, expected, rtol=0, atol=6e-8)


def test_smoothing(outputs, reference):
    for expected, (case, size, sigma) in matching(outputs, r"(case\d+)_smooth_k(\d+)_s([\d.]+)"):
        smoothed = smooth_imgs(outputs[f"{case}_imgs"], int(size), float(sigma)).numpy()
        ulp = np.spacing(np.abs(expected).max())
        # Both lie within 4 ulps of float64.
        assert np.abs(smoothed - expected).max() <= 8 * ulp
