"""The family `topdown` with networks that take pixels, against slices of the padded image.

The first colour of an image is its map of centroids, and a crop's colours are its maps of nodes.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from signatures.contract import InvalidInputError, contract_with
from signatures.network import Network, TwoNetworks
from signatures.topdown import Topdown, cut

from .instances import (
    HEIGHT,
    INSTANCES,
    WIDTH,
    ask,
    assert_equal,
    draw,
    expected_of,
    pixels,
    topdown,
    topdown_options,
    whole,
)


@pytest.fixture(scope="module")
def plain(networks):
    """Traced once for all: joined in the graph, every pixel of the maps."""
    return topdown(networks)


@pytest.mark.parametrize("instances", [1, 2, 12])
def test_points_are_those_of_slices(networks, plain, instances):
    """One instance, fewer than there are slots, more than there are slots; at borders as well."""
    images = draw(10, instances, seed=instances)
    assert_equal(ask(plain, images), images)
    strides = (2, 3)
    assert_equal(whole(topdown(networks, strides), images), images, strides=strides)


@pytest.mark.parametrize("scales", [(0.5, 1.0), (1.0, 0.5), (0.5, 0.5)])
def test_scales(networks, scales):
    module = topdown(networks, (1, 1), centroid_scale=scales[0], instance_scale=scales[1])
    images = draw(4, 24)
    if scales[0] == 0.5:
        # Two by two equal pixels are one, in half the size.
        images[..., 0] = np.kron(images[:, ::2, ::2, 0], np.ones((1, 2, 2), np.uint8))
    got = whole(module, images)
    assert got["instance_confidences"].all()
    assert_equal(got, images, scales=scales)


@pytest.mark.parametrize(("strides", "scale"), [((1, 1), 1.0), ((2, 2), 0.5)], ids=str)
def test_local_refinement_looks_at_the_crop(networks, reference, strides, scale):
    """Neighbours of a node at a crop's edge are zeros, whatever the image has there."""
    module = topdown(networks, strides, refinement="local", instance_scale=scale)
    images = draw(6, 2, seed=3)

    def refine(maps, rows):
        return reference.refine(maps, rows, 0.25)

    how = {"strides": strides, "scales": (1.0, scale)}
    plain, refined = ([expected_of(image, **how, refine=one)["points"] for image in images]
                      for one in (None, refine))  # fmt: skip
    moved = np.abs(np.subtract(refined, plain))
    assert set(np.unique(moved / (strides[1] / scale))) == {0, 0.25}
    assert_equal(whole(module, images), images, **how, refine=refine)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_gaussian_refinement_finds_blobs_in_crops(networks, stride, scale):
    """Where blobs were drawn, in pixels of the image, whatever crop they were seen in."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    sigma = 1.5 * stride / scale
    step = 1 / scale
    images, wanted = [], []
    # Not in the middle of two pixels, which would be equal, and no peak.
    for row, col in ((20.1, 24.2), (18.8, 21.1), (10.2, 33.9)):
        nodes = np.array([(col + dx * step, row + dy * step)
                          for dx, dy in ((0.0, 0.0), (1.3, 0.6), (-0.7, 1.2))])  # fmt: skip
        # Half sizes are means of two by two pixels, whose middle is between them.
        centres = nodes + (step - 1) / 2
        blobs = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in centres]
        image = np.rint(250 * np.stack(blobs, axis=-1))
        images.append(image)
        wanted.append(nodes)
    module = topdown(networks, (1, stride), refinement="gaussian", window=7, instance_scale=scale,
                     crop_size=24)  # fmt: skip
    got = whole(module, np.array(images, np.uint8))
    np.testing.assert_array_equal(got["valid"][:, 0], np.ones((3, 3), bool))
    np.testing.assert_allclose(got["points"][:, 0], wanted, atol=0.03 * stride / scale)


def test_padding_of_the_centroid_network_s_input_moves_nothing(networks):
    module = topdown(networks, centroid_pad_to=32)
    sizes = set()
    run = module.centroid_network.run

    def seen(inputs):
        sizes.add(tuple(inputs.shape[1:3]))
        assert not inputs[:, HEIGHT:].numpy().any()
        return run(inputs)

    module.centroid_network.run = seen
    images = draw(4, 2)
    images[0, HEIGHT - 1, WIDTH - 1, 0] = 250
    assert_equal(whole(module, images), images)
    assert sizes == {(64, 64)}


@pytest.mark.parametrize("depth", [1, 3], ids=["grey networks", "networks of colours"])
def test_grey_images(depth):
    """One channel, which networks of colours see three times."""
    one = Network(lambda images: images[..., :1], channels=depth)
    three = Network(lambda images: tf.concat([images[..., :1]] * 3, axis=3), channels=depth)
    options = topdown_options(grayscale=True)
    module = Topdown(options, TwoNetworks(one, three))
    assert module.contract.signature().inputs[0].static_shape == (None, HEIGHT, WIDTH, 1)
    images = draw(4, 3)
    assert_equal(whole(module, images[..., :1]), images[..., :1].repeat(3, axis=3))


def test_an_instance_is_never_one_of_confidence_0(networks):
    """At the lowest threshold that there may be: a slot without an instance is told by its 0."""
    module = topdown(networks, centroid_threshold=0.0)
    image = draw(1, 0)
    image[0, 5, 5, 0] = 1
    got = whole(module, image)
    np.testing.assert_array_equal(got["instance_confidences"], pixels(np.array([[1, 0, 0]])))


@pytest.mark.parametrize(
    ("row", "col"), [(0, 0), (0, WIDTH - 1), (HEIGHT - 1, 0), (HEIGHT - 1, WIDTH - 1), (20, 0)]
)
def test_crops_at_the_border(plain, row, col):
    image = draw(1, 0)
    image[0, row, col, 0] = 200
    got = ask(plain, image)
    assert_equal(got, image)
    assert got["valid"][0, 0].all()
    np.testing.assert_array_equal(got["points"][0, 0, 0], [col, row])


def test_nobody_and_nothing(plain):
    """No instance is zeros, and so is a slot without one; no samples have the right shapes."""
    for images in (draw(3, 0), np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)):
        for name, values in ask(plain, images).items():
            assert not values.any(), name
    shapes = {name: values.shape for name, values in ask(plain, draw(0, 0)).items()}
    assert shapes == {
        "points": (0, INSTANCES, 3, 2),
        "confidences": (0, INSTANCES, 3),
        "valid": (0, INSTANCES, 3),
        "instance_confidences": (0, INSTANCES),
    }


def test_networks_are_not_asked_about_nothing(networks):
    """Fused convolutions of an optimised graph refuse an empty batch."""

    def refuses(crops):
        with tf.control_dependencies([tf.debugging.assert_positive(tf.shape(crops)[0])]):
            return crops * 1.0

    instance = Network(refuses, channels=3)
    module = Topdown(topdown_options(), TwoNetworks(networks.red_pixels(), instance))
    dark = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    assert not whole(module, dark)["valid"].any()
    _, maps, slots = tf.function(module.maps_of)("images", tf.constant(dark))
    assert maps.shape == (0, 1, 1, 3)
    assert slots.shape == (0,)


def test_ties_are_in_row_major_order(plain):
    image = draw(1, 0)
    for row, col in ((30, 5), (10, 40), (10, 8), (35, 20)):
        image[0, row, col, 0] = 100
    got = ask(plain, image)
    np.testing.assert_array_equal(got["points"][0, :, 0], [[8, 10], [40, 10], [5, 30]])


def test_mates_do_not_matter(plain):
    """In one request and alone: the same bits."""
    images = np.concatenate([draw(3, 5), draw(2, 0), np.full((1, HEIGHT, WIDTH, 3), 255, np.uint8)])
    together = ask(plain, images)
    for index in range(len(images)):
        alone = ask(plain, images[index : index + 1])
        for name, values in alone.items():
            np.testing.assert_array_equal(values[0], together[name][index], name)


def test_images_of_any_size(networks):
    module = topdown(networks, image_height=None, image_width=None)
    assert not module.contract.signature().batched
    images = draw(5, 4)
    assert_equal(ask(module, images), images)
    got = ask(module, images[:, :7, :5])
    assert got["points"].shape == (5, INSTANCES, 3, 2)
    assert np.isfinite(got["points"]).all()
    assert ask(module, images[:0])["points"].shape == (0, INSTANCES, 3, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels each; got"):
        ask(module, images[:, :0])


def test_runs_of_the_instance_network_are_bounded(networks):
    """Of eager runs, which call the network each time, none has more crops than a batch."""
    module = topdown(networks)
    sizes = []
    run = module.instance_network.run

    def counted(crops):
        sizes.append(len(crops))
        return run(crops)

    module.instance_network.run = counted
    whole(module, draw(4, 12))
    assert sizes == [4, 4, 4]


@pytest.mark.parametrize("side", [1, 4, 5])
def test_crops_are_slices_of_the_padded_image(side):
    random = np.random.default_rng(side)
    imgs = random.normal(size=(2, 6, 7, 3)).astype(np.float32)
    places = random.uniform(-20, 20, (40, 2)).astype(np.float32)
    places[:3] = [[2.5, -0.5], [0, 0], [5, 6]]
    peaks = np.zeros((40, 4), np.float32)
    peaks[:, 0], peaks[:, 1:3] = np.arange(40) % 2, places
    padded = np.pad(imgs, ((0, 0), (30, 30), (30, 30), (0, 0)))
    nearest = (np.sign(places) * np.floor(np.abs(places) + 0.5)).astype(int)
    wanted = []
    for sample, (row, col) in zip(peaks[:, 0].astype(int), nearest, strict=True):
        top, left = 30 + row - side // 2, 30 + col - side // 2
        wanted.append(padded[sample, top : top + side, left : left + side])
    np.testing.assert_array_equal(cut(tf.constant(imgs), tf.constant(peaks), side), wanted)


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"max_instances": 0}, "max_instances: expected 1..1000, got 0"),
        ({"crop_size": 4096}, "crop_size: expected 1..2048, got 4096"),
        ({"centroid_scale": 0}, "centroid_scale: expected 0.001..1000, got 0"),
        ({"centroid_threshold": np.nan}, "centroid_threshold: expected 0..3e+38, got nan"),
        # An instance's confidence of 0 says that there is none.
        ({"centroid_threshold": -0.1}, "centroid_threshold: expected 0..3e+38, got -0.1"),
        ({"names": "a,a"}, "names: expected different names, such as nose,tail, got 'a,a'"),
        (
            {"crop_size": 2048},
            "crop_size: expected at most 67108864 numbers in the crops of one run (max_batch * "
            "crop_size * crop_size * 3), got 201326592, pass --max-batch 5",
        ),
        ({"instance_stride": 0.0}, "instance_stride: expected 0.001..1000, got 0.0"),
        ({"max_batch": 0}, "max_batch: expected 1..65536, got 0"),
        ({"image_height": 3}, "image_height and image_width: expected both or neither"),
        (
            {"batching": "server"},
            "batching: the server's batcher joins requests of one shape only, pass image_height "
            "and image_width",
        ),
    ],
)
def test_impossible_options(chosen, sentence):
    with pytest.raises(InvalidInputError) as refusal:
        contract_with("topdown", chosen)
    assert str(refusal.value) == sentence
