"""Accuracy of the refinements: at the noise limit on drawn maps, and on labelled real ones."""

from __future__ import annotations

import numpy as np
import pytest

from export.accuracy import NOISES, SIGMAS, mean_errors, measure


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("noise", NOISES)
def test_gaussian_reaches_the_bound(sigma, noise):
    accuracy = measure(sigma, noise)
    assert accuracy.errors["gaussian"] <= 1.05 * accuracy.bound
    assert 0.14 < accuracy.errors["local"] < 0.34
    assert 0.03 < accuracy.errors["integral"] < 0.34


@pytest.mark.parametrize("window", [5, 7, 9, 11, 13])
@pytest.mark.parametrize(
    "name", ["robot_single", "robot_single_shifted_maps", "centered_instance_jitter"]
)
def test_real_maps(real_data, name, window):
    data = np.load(real_data / f"{name}.npz")
    errors = mean_errors(data["confmaps"], data["gt_cm"], window)
    others = min(error for method, error in errors.items() if method != "gaussian")
    assert errors["gaussian"] <= 1.1 * others
    if name == "robot_single_shifted_maps" and window == 13:
        assert errors["local"] >= 2.5 * errors["gaussian"]
