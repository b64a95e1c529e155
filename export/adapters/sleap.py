"""SLEAP's networks: Keras files of SLEAP 1.x, of which one output holds the maps."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.adapters.drawing import WINDOW, drawn
from export.adapters.facts import AdapterError, NetworkFacts
from export.adapters.saving import save_network
from export.adapters.sleap_config import OFFSETS, SleapModel
from export.backbone import keras_network


def adapt_sleap(model: SleapModel, out: Path) -> NetworkFacts:
    """Writes a network that takes images of any size, its values 0..1, and answers with maps.

    Where the network has learned offsets, the maps are drawn where SLEAP finds the landmarks;
    the centroid network's are left as they are, since it has several peaks in a map.

    Args:
      model: What its folder says.
      out: The folder to write, new or empty.

    Raises:
      AdapterError: The file has no such output.
      BackboneError: The file cannot be loaded.
    """
    network, legacy = keras_network(model.weights)
    network = _of_any_size(network, legacy)
    names = [str(name) for name in network.output_names]
    maps = _output(names, model.output)
    if maps is None:
        raise AdapterError(
            f"{model.weights}: expected an output {model.output}, as {model.kind} has it, got "
            f"{', '.join(names)}"
        )
    offsets = _output(names, OFFSETS) if model.kind != "centroid" else None

    def function(images: tf.Tensor) -> tf.Tensor:
        with warnings.catch_warnings():
            # About a list of one input, which a tensor stands for.
            warnings.simplefilter("ignore", UserWarning)
            outputs = tf.nest.flatten(network(images, training=False))
        return outputs[maps] if offsets is None else drawn(outputs[maps], outputs[offsets])

    (image,) = network.inputs
    _, height, width, channels = image.shape
    facts = model.facts(grayscale=channels == 1, window=None if offsets is None else WINDOW)
    save_network(
        function,
        out,
        facts,
        channels=channels,
        size=(height, width),
        parts=[variable if legacy else variable.value for variable in network.variables],
    )
    return facts


def _output(names: list[str], wanted: str) -> int | None:
    return next((number for number, name in enumerate(names) if wanted in name), None)


def _of_any_size(network: Any, legacy: bool) -> Any:
    """The same layers and weights on an input of free size: the file has the size of training."""
    if legacy:
        import tf_keras as keras
    else:
        import keras
    (image,) = network.inputs
    free = keras.Input((None, None, image.shape[-1]), name="image")
    # Keras 3 wants what the model has: a tensor, or a list of one.
    inputs = [free] if isinstance(network.input, list) else free
    resized = keras.models.clone_model(network, input_tensors=inputs)
    resized.set_weights(network.get_weights())
    return resized
