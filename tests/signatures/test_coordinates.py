"""Coordinates of other frameworks: cells of the input, and corners that lie on one another."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from signatures.contract import InvalidInputError, KeypointOptions
from signatures.frames import nominal_placement
from signatures.keypoints import Keypoints

CORNERS = {
    "coordinates": "corners",
    "height": 16,
    "width": 12,
    "image_height": 64,
    "image_width": 48,
    "input_height": 64,
    "input_width": 48,
}


def one_pixel(row, col, height=64, width=48):
    images = np.zeros((1, height, width, 3), np.uint8)
    images[0, row, col] = 255
    return images


def ask(module, key, samples):
    return module.stages[key].whole(tf.constant(samples))[0].numpy()


def module_with(networks, stride=4, **chosen):
    options = KeypointOptions(
        channels=3,
        output_stride=float(stride),
        refinement="none",
        batching="none",
        backbone=True,
        **chosen,
    )
    return Keypoints(options, networks.every_nth_pixel(stride))


@pytest.mark.parametrize("fixed", [{}, {"image_height": 64, "image_width": 48}], ids=len)
def test_cells_are_answered_by_their_middle(networks, fixed):
    module = module_with(networks, coordinates="cells", input_scale=0.5, **fixed)
    # Networks' input (8, 12), map (2, 3).
    images = np.zeros((1, 64, 48, 3), np.uint8)
    images[0, 24:26, 16:18] = 255
    wanted = np.full((1, 3, 2), [2.5 * 8, 3.5 * 8], np.float32)
    np.testing.assert_array_equal(ask(module, "images", images), wanted)
    maps = module.maps_of("images", tf.constant(images))
    np.testing.assert_array_equal(ask(module, "keypoints", maps), wanted)
    picture = [tf.io.encode_png(images[0]).numpy()]
    np.testing.assert_array_equal(ask(module, "encoded_images", picture), wanted)


@pytest.mark.parametrize(
    ("row", "col"), [(0, 0), (60, 44), (12, 20)], ids=["first", "last", "inner"]
)
def test_corners_lie_on_one_another(networks, row, col):
    module = module_with(networks, **CORNERS)
    strides = np.float32([47 / 11, 63 / 15])
    wanted = np.broadcast_to(np.float32([col // 4, row // 4]) * strides, (1, 3, 2))
    images = one_pixel(row, col)
    np.testing.assert_array_equal(ask(module, "images", images), wanted)
    maps = module.maps_of("images", tf.constant(images))
    np.testing.assert_array_equal(ask(module, "keypoints", maps), wanted)
    picture = [tf.io.encode_png(images[0]).numpy()]
    np.testing.assert_array_equal(ask(module, "encoded_images", picture), wanted)
    if row == 60:
        np.testing.assert_array_max_ulp(wanted[0, 0], np.float32([47, 63]))


def test_corners_of_scaled_images_are_geometric(networks):
    """The middle of the pixel that the network's input shows of a picture of twice the size."""
    module = module_with(networks, **{**CORNERS, "image_height": 128, "image_width": 96},
                         input_scale=0.5)  # fmt: skip
    images = np.zeros((1, 128, 96, 3), np.uint8)
    images[0, 24:26, 40:42] = 255
    inner = np.float32([5 * 47 / 11, 3 * 63 / 15])
    np.testing.assert_allclose(ask(module, "images", images)[0, 0], inner * 2 + 0.5, atol=1e-5)


def test_corners_of_maps_alone():
    options = KeypointOptions(
        height=16, width=12, channels=3, output_stride=4.0, coordinates="corners"
    )
    points = nominal_placement(options)(tf.constant([[[11.0, 15.0]]]))
    np.testing.assert_array_max_ulp(points.numpy(), np.float32([[[47, 63]]]))


@pytest.mark.parametrize("size", [{}, {"height": 1, "width": 12}], ids=["free", "one_row"])
def test_corners_need_a_size(size):
    options = KeypointOptions(coordinates="corners", channels=1, batching="none", **size)
    with pytest.raises(InvalidInputError, match="corners needs maps of a fixed size"):
        Keypoints(options)
