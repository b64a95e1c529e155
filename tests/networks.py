"""Small networks whose maps are known, and files of them."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from signatures.network import Network


def every_nth_pixel(stride: int, channels: int = 3) -> Network:
    """A network that takes every stride-th pixel: one map per colour."""
    return Network(lambda images: images[:, ::stride, ::stride], channels=channels)


def red_pixels(stride: int = 1) -> Network:
    """A centroid network: one map, every stride-th pixel of the first colour."""
    return Network(lambda images: images[:, ::stride, ::stride, :1], channels=3)


def save_every_nth_pixel(
    folder: Path,
    stride: int = 2,
    shape: tuple = (None, None, None, 3),
    dtype: str = "float32",
    maps: int = 3,
    gain: float = 1.0,
) -> Path:
    """Writes such a network, of the first colours, as a SavedModel with a variable."""
    module = tf.Module()
    module.gain = tf.Variable(gain)
    spec = tf.TensorSpec(shape, dtype, "image")
    scale = 255.0 if dtype == "uint8" else 1.0
    module.serve = tf.function(
        lambda image: {
            "confmaps": tf.cast(image[:, ::stride, ::stride, :maps], tf.float32)
            / scale
            * module.gain
        },
        input_signature=[spec],
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder
