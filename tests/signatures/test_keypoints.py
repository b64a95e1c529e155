"""The family `keypoints`: what points, confidences and validity mean, and batching in the graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from export.keypoint_cases import as_input, mates
from signatures.contract import InvalidInputError, KeypointOptions
from signatures.keypoints import Keypoints

KEYS = ("keypoints", "quantized", "local_peaks")


def blobs(*places, height=20, width=24, sigma=1.5):
    """One map per place (x, y): [1, H, W, C]."""
    y, x = np.mgrid[:height, :width]
    maps = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in places]
    return np.stack(maps, axis=-1)[None].astype(np.float32)


def run(module, key, maps):
    names = [tensor.name for tensor in module.contract.signature(key).outputs]
    return dict(
        zip(names, [r.numpy() for r in module.stages[key].whole(tf.constant(maps))], strict=True)
    )


@pytest.mark.parametrize(
    ("refinement", "error"), [("none", 0.5), ("local", 0.3), ("integral", 0.1), ("gaussian", 1e-3)]
)
def test_points_are_x_and_y_in_pixels_of_the_image(refinement, error):
    module = Keypoints(KeypointOptions(refinement=refinement, output_stride=4))
    points = run(module, "keypoints", blobs((7.3, 11.6), (15.2, 4.4)))["points"]
    np.testing.assert_allclose(points, [[[29.2, 46.4], [60.8, 17.6]]], atol=4 * error)


def test_what_is_not_above_the_threshold_is_zero():
    module = Keypoints(KeypointOptions(threshold=0.5))
    outputs = run(module, "keypoints", blobs((7, 11), (15, 4)) * np.float32([0.4, 0.9]))
    assert outputs["valid"].tolist() == [[False, True]]
    assert outputs["points"][0, 0].tolist() == [0, 0]
    assert outputs["confidences"][0, 0] == 0
    assert outputs["confidences"][0, 1] == pytest.approx(0.9)


@pytest.mark.parametrize("refinement", ["none", "local", "integral", "gaussian"])
@pytest.mark.parametrize("key", KEYS)
def test_outputs_are_finite_whatever_comes(key, refinement):
    module = Keypoints(KeypointOptions(refinement=refinement, threshold=-1e30))
    (tensor,) = module.contract.signature(key).inputs
    for name, maps in mates(blobs((7.3, 11.6), (15.2, 4.4))).items():
        outputs = run(module, key, as_input(maps, tensor.dtype))
        for output, values in outputs.items():
            assert np.isfinite(values).all(), (name, output)
            assert len(values) == len(maps)


def test_an_infinite_confidence_is_the_largest_float():
    maps = blobs((7, 11))
    maps[0, 11, 7, 0] = np.inf
    outputs = run(Keypoints(), "keypoints", maps)
    assert outputs["confidences"][0, 0] == np.finfo(np.float32).max
    assert outputs["valid"][0, 0]


def test_bytes_are_divided_by_255_exactly():
    module = Keypoints(KeypointOptions(threshold=-1.0, refinement="none"))
    maps = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    confidences = module.functions["quantized"](maps)["confidences"].numpy()
    np.testing.assert_array_equal(confidences[:, 0], np.float32(np.arange(256) / 255))


def test_local_peaks_come_strongest_first_and_padded():
    maps = blobs((4, 4), (15, 4)) + 0.5 * blobs((4, 14), (18, 15))
    module = Keypoints(KeypointOptions(max_peaks=6, threshold=0.3, refinement="none"))
    outputs = run(module, "local_peaks", maps)
    assert outputs["count"].tolist() == [4]
    assert outputs["points"][0].tolist() == [[4, 4], [15, 4], [4, 14], [18, 15], [0, 0], [0, 0]]
    assert outputs["channels"][0].tolist() == [0, 1, 0, 1, -1, -1]
    assert (np.diff(outputs["confidences"][0]) <= 0).all()
    few = Keypoints(KeypointOptions(max_peaks=2, threshold=0.3, refinement="none"))
    assert run(few, "local_peaks", maps)["count"].tolist() == [2]


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (2, 0, 4, 3), (0, 4, 4, 3)], ids=str)
@pytest.mark.parametrize("key", KEYS)
def test_maps_with_few_pixels_or_none(key, shape):
    module = Keypoints()
    (tensor,) = module.contract.signature(key).inputs
    outputs = run(module, key, np.ones(shape, tensor.dtype))
    assert all(len(values) == shape[0] for values in outputs.values())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"refinement": "cubic"}, "refinement: expected one of none, local, integral, gaussian"),
        ({"batching": "often"}, "batching: expected one of in-graph, server, none, got 'often'"),
        ({"window": 0, "max_peaks": 0}, "window: expected 1..1025, got 0; max_peaks: expected"),
        ({"height": -1}, "height: expected 1.."),
        ({"threshold": float("nan")}, "threshold: expected"),
        (
            {"coordinates": "pixel"},
            "coordinates: expected one of scaled, half-pixel, cells, corners, got 'pixel'",
        ),
        ({"image_height": 4}, "image_height and image_width: expected both or neither"),
        ({"batching": "server"}, "pass height, width and channels"),
        (
            {"batching": "server", "backbone": True, "height": 4, "width": 4, "channels": 1},
            "pass image_height and image_width",
        ),
        (
            {"image_height": 9, "image_width": 9, "max_pixels": 80},
            "max_pixels: expected at least 81, got 80",
        ),
        ({"channels": 2, "names": "nose"}, "names: expected 2, one for each channel, got 1"),
        ({"names": "nose,nose"}, "names: expected different names, such as nose,tail, got 'nose,n"),
        ({"names": "nose,"}, "names: expected different names"),
    ],
)
def test_unknown_options_are_refused(options, text):
    with pytest.raises(InvalidInputError) as error:
        KeypointOptions(**options)
    assert text in str(error.value)


def batch_nodes(module):
    graph = module.functions["keypoints"].get_concrete_function().graph.as_graph_def()
    return [
        node.attr["shared_name"].s or node.attr["batching_queue"].s
        for function in graph.library.function
        for node in function.node_def
        if node.op == "BatchFunction"
    ]


def test_only_fixed_maps_are_batched():
    fixed = {"height": 4, "width": 5, "channels": 2}
    assert len(batch_nodes(Keypoints(KeypointOptions(**fixed)))) == 1
    assert not batch_nodes(Keypoints(KeypointOptions()))
    assert not batch_nodes(Keypoints(KeypointOptions(**fixed, batching="none")))
