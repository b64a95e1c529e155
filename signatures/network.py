"""A pose network as a module: one image input, one output of confidence maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf


class Network(tf.Module):
    """A network that turns images into confidence maps.

    Attributes:
      channels: Channels of its input, 1 or 3.
      height: Rows of its input, `None` if it takes any.
      width: Columns of its input, `None` if it takes any.
      run: `tf.function`, float32 [N, height, width, channels] to float32 [N, H, W, C].
      parts: What holds the network's weights, so that they are saved with the module.
    """

    def __init__(
        self,
        function: Callable[[tf.Tensor], tf.Tensor],
        *,
        channels: int,
        height: int | None = None,
        width: int | None = None,
        parts: Sequence[Any] = (),
    ) -> None:
        """Wraps a function; nothing is traced before it is used.

        Args:
          function: The network, float32 in, any real dtype out.
          channels: Channels of its input.
          height: Rows of its input, `None` if it takes any.
          width: Columns of its input, `None` if it takes any.
          parts: Variables, or objects that own variables.
        """
        super().__init__(name="network")
        self.channels = channels
        self.height = height
        self.width = width
        self.parts = list(parts)

        def run(inputs: tf.Tensor) -> tf.Tensor:
            return tf.cast(function(inputs), tf.float32)

        spec = tf.TensorSpec([None, height, width, channels], tf.float32, name="inputs")
        self.run = tf.function(run, input_signature=[spec], autograph=False)


@dataclass(frozen=True)
class TwoNetworks:
    """What a `topdown` model is made of.

    Attributes:
      centroid: Images to one map of centroids.
      instance: Crops around centroids to one map for each node.
    """

    centroid: Network
    instance: Network


# What contracts of models with networks stand for.
Networks = Network | TwoNetworks
