"""Global and local peaks against loops: ties, plateaus, values that are no numbers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from signatures import InvalidInputError, PeakOps, find_global_peaks, find_local_peaks
from signatures.local_peaks import _is_first_of_plateau

VALUES = np.float32([0, -0.0, 1, 2, 3, -1, np.nan, np.inf, -np.inf, 1e-40, -1e-40])

SHAPES = st.tuples(*(st.integers(1, size) for size in (2, 8, 8, 3)))


def draw(seed, shape, kinds):
    return np.random.default_rng(seed).choice(VALUES[:kinds], shape)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=SHAPES, kinds=st.integers(2, len(VALUES)))
def test_global_peaks_equal_loops(reference, seed, shape, kinds):
    imgs = draw(seed, shape, kinds)
    peaks, values = find_global_peaks(imgs)
    expected_peaks, expected_values = reference.global_peaks(imgs)
    assert reference.same_bits(expected_peaks, peaks.numpy())
    assert reference.same_bits(expected_values, values.numpy())


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=SHAPES,
    kinds=st.integers(2, len(VALUES)),
    threshold=st.sampled_from([-1e30, 0.0, 0.5, 1.5, 1e-40]),
    plateau=st.sampled_from(["strict", "first"]),
)
def test_local_peaks_equal_loops(reference, seed, shape, kinds, threshold, plateau):
    imgs = draw(seed, shape, kinds)
    peaks, values = find_local_peaks(imgs, threshold, plateau)
    expected = reference.local_peaks(imgs, threshold, plateau)
    np.testing.assert_array_equal(peaks, expected)
    at = tuple(expected.astype(int).T)
    assert reference.same_bits(imgs[at], values.numpy())


@pytest.mark.parametrize("density", [0.001, 0.2], ids=["sparse", "dense"])
def test_few_and_many_candidates_give_the_same_peaks(reference, density):
    imgs = np.random.default_rng(0).uniform(size=(1, 40, 50, 2)).astype(np.float32)
    threshold = float(np.quantile(imgs, 1 - density))
    peaks, _ = find_local_peaks(imgs, threshold)
    np.testing.assert_array_equal(peaks, reference.local_peaks(imgs, threshold, "strict"))


def snake(side):
    """A plateau of one winding path, the worst case for spreading labels."""
    imgs = np.zeros((1, side, side, 1), np.float32)
    imgs[0, ::2, :, 0] = 1
    imgs[0, 1::4, -1, 0] = imgs[0, 3::4, 0, 0] = 1
    return imgs


@pytest.mark.parametrize("flip", [1, -1], ids=["forward", "backward"])
def test_a_winding_plateau_has_one_peak(flip):
    peaks, _ = find_local_peaks(snake(61)[:, ::flip, ::flip], 0.5, plateau="first")
    assert len(peaks) == 1
    assert peaks.numpy()[0, 1] == 0


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("maps", [snake(129), np.ones((1, 129, 129, 1))], ids=["winding", "flat"])
def test_a_plateau_takes_few_rounds(monkeypatch, maps, flip):
    """Their number grows with the logarithm of the path: a megabyte must not take minutes."""
    rounds = []
    loop = tf.while_loop

    def counted(condition, body, *args, **kwargs):
        return loop(condition, lambda *values: rounds.append(1) or body(*values), *args, **kwargs)

    monkeypatch.setattr(tf, "while_loop", counted)
    maps = maps[:, ::flip, ::flip]
    is_first = _is_first_of_plateau(tf.constant(maps, tf.float32), tf.constant(maps > 0.5))
    first = np.argwhere(maps > 0.5)[0]
    assert np.argwhere(is_first.numpy()).tolist() == [first.tolist()]
    assert len(rounds) < 20


def test_a_plateau_with_one_higher_neighbour_has_none():
    imgs = snake(21)
    imgs[0, 20, 20, 0] = 2
    peaks, _ = find_local_peaks(imgs, 0.5, plateau="first")
    assert peaks.numpy().tolist() == [[0, 20, 20, 0]]


@pytest.mark.parametrize("shape", [(0, 4, 4, 2), (2, 0, 4, 2), (2, 4, 0, 2), (2, 4, 4, 0)], ids=str)
def test_maps_without_pixels(shape):
    peaks, values = find_global_peaks(np.zeros(shape, np.float32))
    assert peaks.shape == (shape[0] * shape[3], 4)
    assert np.isnan(values).all()
    for plateau in ("strict", "first"):
        assert find_local_peaks(np.zeros(shape, np.float32), 0.5, plateau)[0].shape == (0, 4)


def test_an_unknown_plateau_rule_is_refused():
    with pytest.raises(InvalidInputError, match="expected 'strict' or 'first', got 'none'"):
        find_local_peaks(np.zeros((1, 2, 2, 1)), 0.5, plateau="none")


def test_traced_equals_eager():
    functions = PeakOps().functions
    imgs = draw(3, (2, 30, 20, 3), len(VALUES))
    for name, eager in (
        ("find_global_peaks", find_global_peaks(imgs)),
        ("find_local_peaks", find_local_peaks(imgs, 0.5)),
        ("find_local_peaks_first", find_local_peaks(imgs, 0.5, "first")),
    ):
        inputs = {} if name == "find_global_peaks" else {"threshold": tf.constant(0.5)}
        served = functions[name](imgs=tf.constant(imgs), **inputs)
        np.testing.assert_array_equal(served["peaks"], eager[0])
        np.testing.assert_array_equal(served["values"], eager[1])


@pytest.mark.parametrize("name", ["robot_single", "centered_instance_jitter", "bottomup"])
def test_ties_on_quantised_real_maps(real_data, name):
    """Every global peak is the first of its channel's largest pixels."""
    maps = np.load(real_data / f"{name}.npz")["confmaps"]
    quantised = np.clip(np.rint(maps * 255), 0, 255).astype(np.uint8)
    peaks, values = find_global_peaks(quantised)
    samples, _, width, channels = maps.shape
    flat = np.moveaxis(quantised, 3, 1).reshape(samples * channels, -1)
    np.testing.assert_array_equal(values, flat.max(axis=1))
    first = flat.argmax(axis=1)
    np.testing.assert_array_equal(peaks.numpy()[:, 1] * width + peaks.numpy()[:, 2], first)


def test_reference_outputs(real_data):
    outputs = np.load(real_data / "reference_outputs.npz")
    for case in ("case0", "case1", "case2"):
        imgs = outputs[f"{case}_imgs"]
        peaks, values = find_global_peaks(imgs)
        np.testing.assert_array_equal(peaks, outputs[f"{case}_global_peaks"])
        np.testing.assert_array_equal(values, outputs[f"{case}_global_vals"])
        peaks, values = find_local_peaks(imgs, 0.3)
        np.testing.assert_array_equal(peaks, outputs[f"{case}_local_peaks"])
        np.testing.assert_array_equal(values, outputs[f"{case}_local_vals"])
