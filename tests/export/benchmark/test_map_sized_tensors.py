"""What a request costs in memory: no tensor of the maps' size beside finite maps themselves."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from export.maps import draw_maps
from signatures.contract import KeypointOptions
from signatures.keypoints import Keypoints
from signatures.peak_ops import PeakOps

SHAPE = (2, 64, 48, 13)
# They hand on the memory that they get.
VIEWS = ("Reshape", "Identity", "EnsureShape", "Placeholder", "_Arg", "_Recv", "Switch", "Merge")


def map_sized(functions, name, maps):
    """The ops that ran, of the optimised graph, and made a tensor of the maps' size."""
    metadata = tf.compat.v1.RunMetadata()
    trace = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        given = tf.compat.v1.placeholder(maps.dtype, [None] * 4)
        outputs = functions()[name](given)
        session.run(outputs, {given: maps}, options=trace, run_metadata=metadata)
    ran = [node for device in metadata.step_stats.dev_stats for node in device.node_stats]
    assert len(ran) > 50
    found = []
    for node in ran:
        # `name = Op(inputs)`
        op = node.timeline_label.partition(" = ")[2].partition("(")[0]
        for output in node.output:
            sizes = [dim.size for dim in output.tensor_description.shape.dim]
            if sizes and np.prod(sizes) >= np.prod(SHAPE) and op not in VIEWS:
                found.append(op)
    return found


def keypoints():
    return Keypoints(KeypointOptions()).functions


def peak_ops():
    return PeakOps().functions


@pytest.fixture(scope="module")
def maps():
    return draw_maps(*SHAPE)[0]


@pytest.mark.parametrize(
    ("functions", "name"),
    [
        (keypoints, "serving_default"),
        (peak_ops, "find_global_peaks"),
    ],
    ids=["keypoints", "find_global_peaks"],
)
def test_finite_maps_are_not_copied(functions, name, maps):
    assert map_sized(functions, name, maps) == []


def test_quantized_maps_are_cast_once(maps):
    numbers = (maps.clip(0, 1) * 255).astype(np.uint8)
    assert map_sized(keypoints, "quantized", numbers) == ["Cast"]


def test_what_does_copy_is_seen(maps):
    maps = maps.copy()
    maps[0, 0, 0, 0] = np.nan
    assert "SelectV2" in map_sized(peak_ops, "find_global_peaks", maps)
