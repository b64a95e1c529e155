"""The direction rule on single patches: subnormals, NaN, infinities, the sign of zero."""

from __future__ import annotations

import numpy as np
import pytest

from signatures import find_offsets_local_direction, refine_peaks_local_direction

TINY = 2.0**-126


def patch(above=0.0, below=0.0, left=0.0, right=0.0):
    values = np.zeros((1, 3, 3, 1), np.float32)
    values[0, 0, 1], values[0, 2, 1], values[0, 1, 0], values[0, 1, 2] = above, below, left, right
    return values


@pytest.mark.parametrize(
    ("larger", "smaller", "direction"),
    [
        (1.0, 0.0, 1),
        (0.0, 1.0, -1),
        (1.0, 1.0, 0),
        (1e-40, 0.0, 0),
        (1.5e-38, 1.4e-38, 0),
        (TINY, 0.0, 1),
        (TINY, 1e-40, 1),
        (0.0, TINY, -1),
        (np.inf, np.inf, 0),
        (-np.inf, -np.inf, 0),
        (np.inf, -np.inf, 1),
        (np.inf, 3e38, 1),
        (3e38, -3e38, 1),
        (np.nan, 1.0, 0),
        (1.0, np.nan, 0),
    ],
)
def test_direction(larger, smaller, direction):
    offsets = find_offsets_local_direction(patch(above=smaller, below=larger)).numpy()
    assert offsets.tolist() == [[0.25 * direction, 0.0]]
    offsets = find_offsets_local_direction(patch(left=smaller, right=larger)).numpy()
    assert offsets.tolist() == [[0.0, 0.25 * direction]]


def test_a_nan_neighbour_silences_one_axis_only():
    offsets = find_offsets_local_direction(patch(above=np.nan, below=1, left=1, right=2)).numpy()
    assert offsets.tolist() == [[0.0, 0.25]]


@pytest.mark.parametrize("delta", [0.25, -0.5, 0.0, 1e-40, 3e38])
def test_offsets_equal_loops(reference, delta):
    random = np.random.default_rng(1)
    values = np.float32([0.0, -0.0, 1.0, 2.0, np.nan, np.inf, -np.inf, 1e-40, TINY])
    patches = random.choice(values, (500, 3, 3, 1))
    offsets = find_offsets_local_direction(patches, delta).numpy()
    assert reference.same_bits(reference.offsets(patches, delta), offsets)


def test_missing_peaks_come_back_unchanged():
    imgs = np.random.default_rng(0).normal(size=(1, 4, 4, 1)).astype(np.float32)
    rows = [[-0.0, np.nan, -0.0, 0.0], [0.0, 1e-40, np.inf, -0.0], [0.0, -np.inf, np.nan, 0.0]]
    peaks = np.array(rows, np.float32)
    refined = refine_peaks_local_direction(imgs, peaks).numpy()
    assert refined.view(np.uint32).tolist() == peaks.view(np.uint32).tolist()


def test_the_step_is_added_to_the_given_row_not_to_the_rounded_one():
    imgs = np.zeros((1, 5, 5, 1), np.float32)
    imgs[0, 3, 2, 0] = 1.0
    refined = refine_peaks_local_direction(imgs, [[0, 1.6, 2.4, 0]], delta=0.5).numpy()
    np.testing.assert_array_equal(refined, np.float32([[0, np.float32(1.6) + 0.5, 2.4, 0]]))
