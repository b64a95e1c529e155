"""Writes an adapted network as a SavedModel with its facts beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.adapters.facts import AdapterError, NetworkFacts
from signatures.contract import DEFAULT_SIGNATURE

Size = tuple[int | None, int | None]


def check_new(folder: Path) -> None:
    """Refuses a folder in which something would be lost.

    Raises:
      AdapterError: It is there and not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise AdapterError(f"--out {folder}: expected a new or empty folder, got files in it")


def save_network(
    function: Callable[[tf.Tensor], tf.Tensor],
    folder: Path,
    facts: NetworkFacts,
    *,
    channels: int,
    size: Size = (None, None),
    parts: Sequence[Any] = (),
) -> None:
    """Writes a network.

    Args:
      function: Images float32 [N, height, width, channels] to maps float32 [N, H, W, C].
      folder: A new or empty folder.
      facts: About the network.
      channels: Channels of its input.
      size: Height and width of its input, `None` for any.
      parts: What owns its weights.

    Raises:
      AdapterError: It has another number of maps than landmarks have names.
    """
    module = tf.Module()
    module.parts = list(parts)
    spec = tf.TensorSpec([None, *size, channels], tf.float32, "image")

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"confmaps": tf.cast(function(image), tf.float32)}

    module.serve = tf.function(serve, input_signature=[spec], autograph=False)
    maps = module.serve.get_concrete_function().structured_outputs["confmaps"]
    _check_names(facts, maps.shape[-1])
    # Facts first: a network without them, after an interruption, would be exported without them.
    folder.mkdir(parents=True, exist_ok=True)
    facts.write(folder)
    tf.saved_model.save(module, str(folder), signatures={DEFAULT_SIGNATURE: module.serve})


def _check_names(facts: NetworkFacts, maps: int | None) -> None:
    names = facts.options.get("names")
    count = len(names.split(",")) if names else None
    if None not in (count, maps) and count != maps:
        raise AdapterError(
            f"{facts.framework}'s configuration: expected {maps} names, one for each map of the "
            f"network, got {count}: {names}; it is of another network"
        )
