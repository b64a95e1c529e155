"""What is found out from the two networks of a top-down model, without an export."""

from __future__ import annotations

import pytest
import tensorflow as tf

from export.backbone import BackboneError
from export.geometry import topdown_options_with
from signatures.network import Network, TwoNetworks

SIZE = {"image_height": 20, "image_width": 30, "crop_size": 12}


def halves_of_eights(images):
    """A centroid network of stride 2 that takes multiples of eight only."""
    fits = tf.debugging.assert_equal(tf.shape(images)[1:3] % 8, 0)
    with tf.control_dependencies([fits] if fits is not None else []):
        images = tf.identity(images)
    return images[:, ::2, ::2, :1]


def test_the_centroid_network_s_input_is_padded(networks):
    """To a multiple, before its stride is found out."""
    pair = TwoNetworks(Network(halves_of_eights, channels=3), networks.every_nth_pixel(2))
    options = topdown_options_with(pair, {**SIZE, "centroid_pad_to": 8})
    assert options.centroid_pad_to == 8
    assert (options.centroid_stride, options.instance_stride, options.channels) == (2, 2, 3)
    with pytest.raises(BackboneError, match="centroid network: .*--centroid-pad-to"):
        topdown_options_with(pair, SIZE)


@pytest.mark.parametrize("depth", [1, 3], ids=["grey networks", "networks of colours"])
def test_grey_images_go_to_networks_of_either_kind(depth):
    one = Network(lambda images: images[..., :1], channels=depth)
    options = topdown_options_with(TwoNetworks(one, one), {**SIZE, "grayscale": True})
    assert options.grayscale
    assert (options.image_channels, options.channels) == (1, 1)
