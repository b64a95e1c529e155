"""The contestants return what ours return, where both are defined: the comparison is honest."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from export.benchmark import WORKS, baselines
from export.benchmark.in_graph import (
    QUICK,
    TRIALS,
    draw_peaks,
    maps_of,
    quantised,
    served,
    threshold_for,
)
from export.benchmark.result import AXES

SHAPE = (2, 32, 48, 3)
# One candidate in a hundred is looked at alone, one in five in the dense form.
PERCENT = [1.0, 20.0, 100.0]


def test_resampling_refines_the_same_away_from_borders():
    maps = maps_of(SHAPE)
    peaks = draw_peaks(SHAPE, 200).numpy()
    peaks[:, 1:3] = peaks[:, 1:3].clip(2, np.array(SHAPE[1:3]) - 3)
    delta = tf.constant(0.25)
    ours = served("refine_peaks_local_direction")(maps, peaks, delta)["refined_peaks"]
    np.testing.assert_array_equal(baselines.resampled_local_direction(maps, peaks, delta), ours)


def test_argmax_apart_finds_the_same_where_nothing_ties():
    maps = maps_of(SHAPE)
    ours = served("find_global_peaks")(maps)
    peaks, values = baselines.separable_global_peaks(maps)
    np.testing.assert_array_equal(peaks, ours["peaks"])
    np.testing.assert_array_equal(values, ours["values"])
    assert baselines.read(maps) == tf.reduce_max(values)


@pytest.mark.parametrize("percent", PERCENT)
@pytest.mark.parametrize("change", [tf.identity, quantised], ids=["drawn", "uint8"])
def test_dilation_finds_the_same(percent, change):
    maps, threshold = change(maps_of(SHAPE)), threshold_for(maps_of(SHAPE), percent)
    ours = served("find_local_peaks")(maps, threshold)
    peaks, values = baselines.dilated_local_peaks(maps, threshold)
    assert len(peaks)
    np.testing.assert_array_equal(peaks, ours["peaks"])
    np.testing.assert_array_equal(values, ours["values"])


@pytest.mark.parametrize("percent", PERCENT)
@pytest.mark.parametrize("peer", ["scipy", "scikit_image"])
def test_outside_peers_find_the_same(peer, percent):
    find = getattr(baselines, f"{peer}_local_peaks")()
    if find is None:
        pytest.skip(f"{peer} is not installed: pip install 'peakserve[peers]'")
    maps = maps_of(SHAPE)
    threshold = threshold_for(maps, percent)
    ours = served("find_local_peaks")(maps, threshold)["peaks"].numpy()
    rows = find(maps.numpy(), float(threshold))
    np.testing.assert_array_equal(rows[np.lexsort(rows.T[::-1])], ours)


@pytest.mark.parametrize("side", [3, 11])
def test_a_dense_pass_smooths_the_same(side):
    inputs = maps_of(SHAPE), tf.constant(side, tf.int64), tf.constant(side / 4, tf.float32)
    ours = served("smooth_imgs")(*inputs)["smoothed"].numpy()
    dense = baselines.dense_smoothing(*inputs).numpy()
    np.testing.assert_allclose(dense, ours, rtol=0, atol=8 * np.spacing(np.abs(ours).max()))


def test_every_work_has_trials_with_points_on_known_axes():
    assert tuple(TRIALS) == WORKS
    for work, trials in TRIALS.items():
        for trial in trials(QUICK):
            assert trial.work == work
            assert trial.axis in ("", *AXES)


@pytest.mark.parametrize("percent", [0.1, 5.0, 50.0])
def test_a_threshold_leaves_as_many_candidates_as_asked_for(percent):
    maps = maps_of(SHAPE).numpy()
    share = np.mean(maps > threshold_for(maps_of(SHAPE), percent).numpy())
    assert share == pytest.approx(percent / 100, abs=1 / maps.size)
