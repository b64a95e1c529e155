"""MMPose's networks, converted to a SavedModel: normalisation and the order of axes around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from export.adapters.facts import AdapterError, NetworkFacts
from export.adapters.mmpose_config import MMPoseModel
from export.adapters.saving import save_network
from export.backbone import only_output, read_network


def adapt_mmpose(
    model: MMPoseModel, source: Path, out: Path, *, output: str | None = None
) -> NetworkFacts:
    """Writes a network that takes red, green, blue of 0..255, channels last, and answers with maps.

    Args:
      model: What its configuration says.
      source: The converted network, a SavedModel's folder, channels first or last.
      out: The folder to write, new or empty.
      output: Which output holds the maps, `None` for the only one.

    Raises:
      AdapterError: The network does not fit the configuration.
      BackboneError: It cannot be loaded.
    """
    network = read_network(source)
    name = only_output(source, network, output)
    first = _channels_first(model, source, network.shape)
    # Constants of their own would be divided by at run time, and multiplied with when optimised.
    mean = np.array(model.mean, np.float32)
    factor = (1 / np.array(model.std, np.float64)).astype(np.float32)

    def function(images: tf.Tensor) -> tf.Tensor:
        if model.blue_first:
            images = tf.stack(tf.unstack(images, num=3, axis=3)[::-1], axis=3)
        images = (images - mean) * factor
        if first:
            images = tf.transpose(images, [0, 3, 1, 2])
        maps = network.call(tf.cast(images, network.dtype))[name]
        return _channels_last(model, source, maps, first=first)

    # Before anything is written, what the network answers is looked at.
    function(tf.zeros([1, model.height, model.width, 3]))
    facts = model.facts()
    save_network(
        function, out, facts, channels=3, size=(model.height, model.width), parts=network.parts
    )
    return facts


def _channels_first(model: MMPoseModel, source: Path, shape: tuple[int | None, ...] | None) -> bool:
    """Whether the network's input is [N, 3, height, width]."""
    size = (model.height, model.width)
    for first, wanted in ((False, (*size, 3)), (True, (3, *size))):
        if shape is not None and len(shape) == 4 and _fits(shape[1:], wanted):
            if shape[0] is not None:
                raise AdapterError(
                    f"{source}: expected an input of any number of samples, got {shape[0]}; export "
                    "to ONNX with dynamic_axes={'input': {0: 'samples'}, 'output': {0: 'samples'}}"
                )
            return first
    raise AdapterError(
        f"{source}: expected an input [samples, {size[0]}, {size[1]}, 3] or [samples, 3, "
        f"{size[0]}, {size[1]}], as the configuration's input_size, got {_text(shape)}"
    )


def _channels_last(model: MMPoseModel, source: Path, maps: tf.Tensor, *, first: bool) -> tf.Tensor:
    """Maps [N, H, W, C], in whichever order the network has them."""
    size = (model.map_height, model.map_width)
    shape = tuple(maps.shape)
    fit_first = len(shape) == 4 and _fits(shape[2:], size)
    fit_last = len(shape) == 4 and _fits(shape[1:3], size)
    if not fit_first and not fit_last:
        raise AdapterError(
            f"{source}: expected maps of {size[0]} x {size[1]}, the configuration's heatmap_size, "
            f"got an output {_text(shape)}"
        )
    # A square map of as many channels: as the input is.
    if fit_first and (first or not fit_last):
        maps = tf.transpose(maps, [0, 2, 3, 1])
    return tf.ensure_shape(maps, [None, *size, None])


def _fits(shape: tuple[int | None, ...], wanted: tuple[int, ...]) -> bool:
    return all(size in (None, want) for size, want in zip(shape, wanted, strict=True))


def _text(shape: tuple[int | None, ...] | None) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape or ())}]"
