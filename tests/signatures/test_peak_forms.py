"""Local and global peaks of maps with few candidates, which are read in another form than full ones."""

from __future__ import annotations

import numpy as np
import pytest

from signatures import find_global_peaks, find_local_peaks

# Sizes that runs of 16 rows, and of 16 columns, divide, divide in part, and do not divide.
SHAPES = [(2, 16, 32, 2), (1, 15, 31, 3), (3, 10, 12, 1), (1, 1, 64, 1), (2, 48, 1, 2)]
RARE = np.float32([np.nan, np.inf, 2, 2, 1, 1e-40, -1e-40, 2.0**-126, -0.0, 3])


def draw(shape, background, share, seed):
    """Maps of one value with rare other ones, subnormals and NaN among them."""
    random = np.random.default_rng(seed)
    maps = np.full(shape, background, np.float32)
    rare = random.uniform(size=shape) < share
    maps[rare] = random.choice(RARE, int(rare.sum()))
    return maps


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("background", [0.0, -1.0, 1e-40], ids=["zero", "negative", "subnormal"])
@pytest.mark.parametrize("share", [0.01, 0.1])
def test_rare_candidates_give_the_same_peaks_as_loops(reference, shape, background, share):
    for seed, threshold in enumerate((0.0, -0.5, 0.5, -(2.0**-126), 2.0**-126, 1e-40)):
        maps = draw(shape, background, share, seed)
        peaks, values = find_local_peaks(maps, threshold)
        expected = reference.local_peaks(maps, threshold, "strict")
        np.testing.assert_array_equal(peaks, expected)
        assert reference.same_bits(maps[tuple(expected.astype(int).T)], values.numpy())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_global_peaks_of_folded_rows_equal_loops(reference, shape):
    for seed, background in enumerate((0.0, -1.0, -np.inf, np.nan)):
        maps = draw(shape, background, 0.02, seed)
        peaks, values = find_global_peaks(maps)
        expected_peaks, expected_values = reference.global_peaks(maps)
        assert reference.same_bits(expected_peaks, peaks.numpy())
        assert reference.same_bits(expected_values, values.numpy())
