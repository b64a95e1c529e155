"""Crops and refinement at every image size: eager, traced with dynamic and static shapes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from signatures import PeakOps, crop_centered_boxes, refine_peaks_local_direction


def test_eager(sweep):
    wrong = {}
    for shape in sweep.shapes(sweep.SIZES):
        imgs, peaks = sweep.draw(shape)
        crops = {w: crop_centered_boxes(imgs, peaks, w).numpy() for w in sweep.WINDOWS}
        refined = refine_peaks_local_direction(imgs, peaks, sweep.DELTA).numpy()
        wrong[shape] = sweep.differences(peaks, sweep.sliced_crops(imgs, peaks), crops, refined)
    assert len(wrong) >= 600
    assert not {shape: count for shape, count in wrong.items() if count}


def test_traced_dynamic(sweep):
    functions = PeakOps().functions
    crop, refine = functions["crop_centered_boxes"], functions["refine_peaks_local_direction"]
    wrong = {}
    for shape in sweep.shapes(sweep.SIZES):
        imgs, peaks = sweep.draw(shape)
        crops = {
            w: crop(imgs, peaks, tf.constant(w, tf.int64))["crops"].numpy() for w in sweep.WINDOWS
        }
        refined = refine(imgs, peaks, tf.constant(sweep.DELTA))["refined_peaks"].numpy()
        wrong[shape] = sweep.differences(peaks, sweep.sliced_crops(imgs, peaks), crops, refined)
    assert not {shape: count for shape, count in wrong.items() if count}


@pytest.mark.parametrize("family", [0, 1], ids=["height", "width"])
def test_traced_static(sweep, family):
    wrong = {}
    for shape in list(sweep.shapes(sweep.STATIC_SIZES))[family::2]:
        imgs, peaks = sweep.draw(shape)

        # Without AutoGraph, as the product traces them; both at once, since tracing takes long.
        @tf.function(
            input_signature=[
                *(tf.TensorSpec(imgs.shape), tf.TensorSpec(peaks.shape)),
                tf.TensorSpec([], tf.int64),
            ],
            autograph=False,
        )
        def both(imgs, peaks, window):
            crops = crop_centered_boxes(imgs, peaks, window)
            return crops, refine_peaks_local_direction(imgs, peaks)

        named = {}
        for window in sweep.WINDOWS:
            crops, refined = both(imgs, peaks, tf.constant(window, tf.int64))
            named[window] = crops.numpy()
        expected = sweep.sliced_crops(imgs, peaks)
        wrong[shape] = sweep.differences(peaks, expected, named, refined.numpy())
    assert len(wrong) == len(sweep.STATIC_SIZES)
    assert not {shape: count for shape, count in wrong.items() if count}


def test_the_sweep_sees_a_wrong_pixel(sweep):
    imgs, peaks = sweep.draw((2, 8, 5, 2))
    expected = sweep.sliced_crops(imgs, peaks)
    crops = {window: values.copy() for window, values in expected.items()}
    crops[7][3, 6, 6] = np.nextafter(crops[7][3, 6, 6], np.inf)
    refined = sweep.stepped_peaks(peaks, expected[3])
    assert sweep.differences(peaks, expected, crops, refined) == 1
