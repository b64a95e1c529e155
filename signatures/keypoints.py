"""The model family `keypoints` as a `tf.Module`: maps or images to points, safe to batch.

Legend: `N` samples, `H` height, `W` width, `C` channels, `K` peaks per sample.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from signatures.batching import Outputs
from signatures.contract import (
    DEFAULT_SIGNATURE,
    InvalidInputError,
    KeypointOptions,
    keypoints_contract,
)
from signatures.frames import Frames, Placement, nominal_placement
from signatures.network import Network
from signatures.pictures import decode_each, decode_one, decoded
from signatures.points import global_points, local_points
from signatures.stages import Stages, Tensors, of_one_picture, served


class Keypoints(tf.Module):
    """Every signature of the family, traced with the inputs of its contract.

    Attributes:
      options: What was fixed.
      contract: What is promised about every signature.
      network: What turns images into maps, `None` without one.
      stages: Signature name to how it works; `stages[name].whole` is unbatched, and what eager
        results come from.
      functions: Signature key to traced function, `serving_default` included.
    """

    def __init__(
        self, options: KeypointOptions = KeypointOptions(), network: Network | None = None
    ) -> None:
        """Traces lazily.

        Raises:
          InvalidInputError: The options promise signatures of images, and there is no network;
            or the other way round.
        """
        super().__init__(name="keypoints")
        if options.backbone != (network is not None):
            raise InvalidInputError(
                f"backbone: expected a network exactly where the options have one, got {network}"
            )
        # Coordinates that depend on a size which is not fixed are refused here.
        _ = options.strides
        self.options = options
        self.contract = keypoints_contract(options)
        self.network = network
        maps_batched = options.batched_in_graph
        self.stages = {
            "keypoints": Stages(self._keypoints, batched=maps_batched),
            "quantized": Stages(self._quantized, batched=maps_batched),
            "local_peaks": Stages(self._local_peaks, batched=maps_batched),
        }
        if network is not None:
            self._frames = Frames(options, network.channels)
            images_batched = options.images_batched_in_graph
            self.stages["images"] = Stages(
                self._images, most=options.max_batch, batched=images_batched
            )
            # Pictures of any size go through the network one by one.
            self.stages["encoded_images"] = (
                Stages(
                    self._from_inputs,
                    self._fitted_pictures,
                    most=options.max_batch,
                    batched=images_batched,
                )
                if options.has_fixed_images
                else Stages(
                    of_one_picture(
                        self.contract.signature("encoded_images"), options, self._images
                    ),
                    most=1,
                )
            )
            if options.with_maps:
                self.stages["images_with_maps"] = Stages(
                    self._images_with_maps, most=options.max_batch, batched=images_batched
                )
        functions: dict[str, Any] = {
            signature.name: served(signature, self.stages[signature.name], options)
            for signature in self.contract.signatures
        }
        functions[DEFAULT_SIGNATURE] = functions[self.contract.default]
        self.functions = functions

    def _keypoints(self, confmaps: tf.Tensor) -> Outputs:
        """`points` [N, C, 2], `confidences` [N, C], `valid` [N, C]."""
        return global_points(confmaps, self.options, nominal_placement(self.options))

    def _quantized(self, confmaps: tf.Tensor) -> Outputs:
        """One cast, no more: the small results are scaled, not the maps."""
        # Behind a shape check: the graph optimiser would swap the cast with each reshaping of its
        # result, and cast once for each.
        maps = tf.ensure_shape(tf.cast(confmaps, tf.float32), [None] * 4)
        return global_points(maps, self.options, nominal_placement(self.options), scale=255.0)

    def _local_peaks(self, confmaps: tf.Tensor) -> Outputs:
        """`points` [N, K, 2], `confidences` [N, K], `channels` [N, K], `count` [N]."""
        return local_points(confmaps, self.options, nominal_placement(self.options))

    def maps(self, inputs: tf.Tensor) -> tf.Tensor:
        """The network's maps float32 [N, H, W, C] of its input."""
        assert self.network is not None
        return tf.ensure_shape(self.network.run(inputs), [None, None, None, self.options.channels])

    def maps_of(self, signature: str, samples: tf.Tensor) -> tf.Tensor:
        """The maps float32 [n, H, W, C] that one run of a signature of images looks at.

        Args:
          signature: One of those of images.
          samples: The request, or a part of it: of pictures of any size one at a time. One that
            cannot be decoded counts as black.
        """
        if signature == "encoded_images":
            if self.options.has_fixed_images:
                inputs, *_ = self._fitted_pictures(samples)
                return self.maps(inputs)
            options = self.options
            samples, _ = decode_one(samples, options.image_channels, options.max_pixels)
        inputs, _ = self._frames.inputs(samples)
        return self.maps(inputs)

    def _images(self, images: tf.Tensor) -> Outputs:
        """Images uint8 [N, Hi, Wi, c] to points in their pixels."""
        inputs, place = self._frames.inputs(images)
        return global_points(self.maps(inputs), self.options, place)

    def _images_with_maps(self, images: tf.Tensor) -> Outputs:
        """The same, `confmaps` [N, H, W, C], and `placement` [N, 4]."""
        inputs, place = self._frames.inputs(images)
        maps = self.maps(inputs)
        rows = tf.concat([tf.shape(images, out_type=tf.int64)[:1], [4]], axis=0)
        return (
            *global_points(maps, self.options, place),
            tf.where(tf.math.is_finite(maps), maps, tf.zeros([])),
            tf.broadcast_to(tf.concat([place.factor, place.shift], axis=0), rows),
        )

    def _fitted_pictures(self, encoded: tf.Tensor) -> Tensors:
        """Pictures string [N] to the network's input, its placement, and which are good."""
        options = self.options

        def decode(picture: tf.Tensor) -> Tensors:
            pixels = decoded(picture, options.image_channels, options.max_pixels)
            return self._frames.fitted(pixels)

        def blank() -> Tensors:
            return tf.zeros(self._frames.input_shape), tf.zeros([2]), tf.zeros([2])

        tensors, ok = decode_each(encoded, decode, blank)
        return *tensors, ok

    def _from_inputs(
        self, inputs: tf.Tensor, factor: tf.Tensor, shift: tf.Tensor, ok: tf.Tensor
    ) -> Outputs:
        """Prepared pictures to points, nothing valid where a picture was bad."""
        points, confidences, valid = global_points(
            self.maps(inputs), self.options, Placement(factor, shift)
        )
        valid &= ok[:, None]
        return (
            tf.where(valid[..., None], points, tf.zeros([])),
            tf.where(valid, confidences, tf.zeros([])),
            valid,
        )
