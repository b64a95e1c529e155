"""`encoded_images` of top-down models: as `images` of the decoded pixels, a bad picture alone."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from export.image_cases import jpeg, picture_mates, png
from signatures.network import Network, TwoNetworks
from signatures.topdown import Topdown

from .instances import (
    HEIGHT,
    INSTANCES,
    WIDTH,
    ask,
    assert_equal,
    draw,
    expected_of,
    topdown,
    topdown_options,
    whole,
)

PICTURES = "encoded_images"
FREE = {"image_height": None, "image_width": None}


@pytest.fixture(scope="module")
def fixed(networks):
    """Joined in the graph, pictures fitted to one size."""
    return topdown(networks)


@pytest.fixture(scope="module")
def free(networks):
    """Pictures of any size, one by one."""
    return topdown(networks, **FREE)


@pytest.fixture(params=["fixed", "free"])
def module(request):
    return request.getfixturevalue(request.param)


def test_they_are_images_of_the_decoded_pixels(module):
    """As many as a run holds, and more: to the last bit, for JPEG those of what is decoded."""
    images = draw(6, 3)
    lossy = [jpeg(image) for image in images]
    seen = np.stack([tf.io.decode_jpeg(one, dct_method="INTEGER_ACCURATE") for one in lossy])
    for files, pixels in (([png(image) for image in images], images), (lossy, seen)):
        for count in (2, 6):
            got = ask(module, files[:count], PICTURES)
            assert got["valid"].any()
            assert_equal(got, pixels[:count])
            for name, values in ask(module, pixels[:count]).items():
                np.testing.assert_array_equal(got[name], values, name)


def test_a_bad_picture_has_no_instances_and_costs_nobody_anything(module):
    """Whatever is bad about it; its neighbours answer the bits that they answer alone."""
    images = draw(2, 3)
    bad = picture_mates(images, module.options.max_pixels)
    bad = [*bad["no_pictures"], *bad["too_large"], b""]
    mixed = [png(images[0]), *bad, png(images[1])]
    got = ask(module, mixed, PICTURES)
    assert_equal({name: values[[0, -1]] for name, values in got.items()}, images)
    for name, values in got.items():
        assert not values[1:-1].any(), name
    # In one run with good ones, where they are joined, and in a request of its own.
    for request in ([b"", png(images[0])], [b""]):
        for name, values in ask(module, request, PICTURES).items():
            assert not values[0].any(), name
    assert ask(module, tf.zeros([0], tf.string), PICTURES)["points"].shape == (0, INSTANCES, 3, 2)


@pytest.mark.parametrize("options", [{}, FREE], ids=["fixed", "free"])
def test_a_bad_picture_has_no_instances_whatever_black_is_to_the_networks(options):
    """Networks that see something in nothing are not believed about what was not decoded."""
    centroid = Network(lambda images: 1 - images[..., :1] - 0.01 * places_of(images), channels=3)
    instance = Network(lambda crops: 1 - crops - 0.01 * places_of(crops), channels=3)
    module = Topdown(topdown_options(**options), TwoNetworks(centroid, instance))
    black = png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    got = ask(module, [black, b"no picture"], PICTURES)
    assert got["valid"][0, 0].all()
    for name, values in got.items():
        assert not values[1].any(), name


def places_of(images):
    """0 at the first pixel of each image, more elsewhere: float32 [N, h, w, 1]."""
    sizes = tf.shape(images)
    numbers = tf.reshape(tf.range(sizes[1] * sizes[2]), [1, sizes[1], sizes[2], 1])
    return tf.cast(numbers > 0, tf.float32) * tf.ones_like(images[..., :1])


@pytest.mark.parametrize("strides", [(1, 1), (2, 3)], ids=str)
def test_pictures_of_other_sizes_are_fitted(networks, strides):
    """Twice as large: the same instances, twice as far apart; narrower: black on the right."""
    module = topdown(networks, strides)
    images = draw(3, 12, seed=4)
    doubled = images.repeat(2, axis=1).repeat(2, axis=2)
    got = whole(module, [png(image) for image in doubled], PICTURES)
    assert got["valid"].any()
    assert_equal({**got, "points": got["points"] / 2}, images, strides=strides)

    narrow = np.ascontiguousarray(images[:, :, : WIDTH // 2])
    padded = np.pad(narrow, ((0, 0), (0, 0), (0, WIDTH - WIDTH // 2), (0, 0)))
    got = whole(module, [png(image) for image in narrow], PICTURES)
    assert_equal(got, padded, strides=strides)


@pytest.mark.parametrize("scales", [(0.5, 1.0), (1.0, 0.5)], ids=str)
def test_scales_of_fitted_pictures(networks, scales):
    """In one resizing from the file's size: points are pixels of the file."""
    module = topdown(networks, centroid_scale=scales[0], instance_scale=scales[1])
    images = draw(4, 24)
    if scales[0] == 0.5:
        # Two by two equal pixels are one, in half the size.
        images[..., 0] = np.kron(images[:, ::2, ::2, 0], np.ones((1, 2, 2), np.uint8))
    for times in (1, 2):
        larger = images.repeat(times, axis=1).repeat(times, axis=2)
        got = whole(module, [png(image) for image in larger], PICTURES)
        assert got["instance_confidences"].all()
        assert_equal({**got, "points": got["points"] / times}, images, scales=scales)


def test_pictures_of_any_size_are_answered_in_their_own_pixels(free):
    """In one request: no size is the others'."""
    image = draw(1, 12)[0]
    parts = [image, image[:17, :9], image[5:, 8:]]
    files = [png(np.ascontiguousarray(part)) for part in parts]
    got = ask(free, files, PICTURES)
    for index, part in enumerate(parts):
        for name, values in expected_of(part).items():
            np.testing.assert_array_equal(got[name][index], values, name)


def test_pictures_of_one_channel(networks):
    one = Network(lambda images: images[..., :1], channels=1)
    three = Network(lambda images: tf.concat([images] * 3, axis=3), channels=1)
    module = Topdown(topdown_options(grayscale=True), TwoNetworks(one, three))
    images = draw(2, 3)[..., :1]
    got = whole(module, [png(image) for image in images], PICTURES)
    assert_equal(got, images.repeat(3, axis=3))


@pytest.mark.parametrize("signature", ["images", PICTURES])
def test_margins_look_at_the_maps_that_answered(module, signature):
    """The maps of crops are at the slots that hold an instance; a bad picture is black."""
    image = draw(1, 2)[0]
    samples = [png(image)] if signature == PICTURES else image[None]
    centroids, maps, slots = module.maps_of(signature, tf.constant(samples))
    got = whole(module, samples, signature)
    np.testing.assert_array_equal(slots, np.flatnonzero(got["instance_confidences"]))
    np.testing.assert_array_equal(np.max(maps, axis=(1, 2)), got["confidences"][0, slots])
    assert np.max(centroids) == got["instance_confidences"].max()
    if signature == PICTURES:
        dark, _, slots = module.maps_of(signature, tf.constant([b"no picture"]))
        assert not np.any(dark)
        assert not len(slots)
