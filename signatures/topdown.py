"""The model family `topdown` as a `tf.Module`: images to the nodes of several instances.

The centroid network's peaks say where instances are, exact crops of the scaled image are cut
around them, and the instance network says where the nodes of each are.

Legend: `N` samples, `I` instances, `C` nodes, `P` crops, `S` side of a crop, `c` channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from signatures.batching import Outputs, in_runs
from signatures.contract import DEFAULT_SIGNATURE, TopdownOptions, topdown_contract
from signatures.contract.topdown import node_contract
from signatures.frames import Frames, Placement
from signatures.gathering import gather_pixels, indices, nearest_pixels
from signatures.network import Network, TwoNetworks
from signatures.pictures import decode_each, decode_one, decoded
from signatures.points import global_points, local_points
from signatures.stages import Stages, Tensors, of_one_picture, served


class Topdown(tf.Module):
    """The family's signatures, traced with the inputs of their contracts.

    Attributes:
      options: What was fixed.
      contract: What is promised about every signature.
      centroid_network: Images to one map of centroids.
      instance_network: Crops to one map for each node.
      stages: Signature name to how it works, as of `Keypoints`.
      functions: Signature key to traced function, `serving_default` included.
    """

    def __init__(self, options: TopdownOptions, networks: TwoNetworks) -> None:
        """Traces lazily.

        Args:
          options: What is fixed.
          networks: What the model is made of.
        """
        super().__init__(name="topdown")
        self.options = options
        self.contract = topdown_contract(options)
        self.centroid_network: Network = networks.centroid
        self.instance_network: Network = networks.instance
        self._centroid_frames = Frames(options.centroids, networks.centroid.channels)
        self._instance_frames = Frames(options.nodes, networks.instance.channels)
        joined: dict[str, Any] = {
            "most": options.max_batch,
            "batched": options.images_batched_in_graph,
        }
        pictures = self.contract.signature("encoded_images")
        self.stages = {
            "images": Stages(self._images, **joined),
            # Pictures of any size go through the networks one by one.
            "encoded_images": Stages(self._from_inputs, self._fitted_pictures, **joined)
            if options.has_fixed_images
            else Stages(of_one_picture(pictures, options, self._images), most=1),
        }
        functions: dict[str, Any] = {
            signature.name: served(signature, self.stages[signature.name], options.centroids)
            for signature in self.contract.signatures
        }
        functions[DEFAULT_SIGNATURE] = functions[self.contract.default]
        self.functions = functions

    def maps_of(self, signature: str, samples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The maps that one run looks at, to see how near its choices were to a tie.

        Args:
          signature: `images` or `encoded_images`.
          samples: The request, or a part of it: of pictures of any size one at a time. One that
            cannot be decoded counts as black.

        Returns:
          Maps of centroids float32 [N, H, W, 1], maps of nodes float32 [P, h, w, C], and the
          slot of each of those int64 [P], sample times I plus instance.
        """
        options = self.options
        if signature == "images":
            seen, scaled = self._inputs(samples)
        elif options.has_fixed_images:
            seen, scaled, *_ = self._fitted_pictures(samples)
        else:
            picture, _ = decode_one(samples, options.image_channels, options.max_pixels)
            seen, scaled = self._inputs(picture)
        centroids = self._centroid_maps(seen)
        present, peaks, _ = self._instances(centroids)
        slots = tf.where(present)[:, 0]
        # Networks are not asked about nothing: fused convolutions of an optimised graph refuse it.
        maps = tf.cond(
            tf.size(slots, out_type=tf.int64) > 0,
            lambda: self._maps(cut(scaled, tf.gather(peaks, slots), self.options.crop_size)),
            lambda: tf.zeros([0, 1, 1, self.options.channels or 0]),
        )
        return centroids, maps, slots

    def _inputs(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What the centroid network is given, and the scaled image that crops are cut from."""
        return self._centroid_frames.inputs(images)[0], self._instance_frames.inputs(images)[0]

    def _centroid_maps(self, inputs: tf.Tensor) -> tf.Tensor:
        """The map of centroids float32 [N, H, W, 1] of the network's input."""
        return tf.ensure_shape(self.centroid_network.run(inputs), [None, None, None, 1])

    def _maps(self, crops: tf.Tensor) -> tf.Tensor:
        """The maps of nodes float32 [P, h, w, C]."""
        shape = [None, None, None, self.options.channels]
        return tf.ensure_shape(self.instance_network.run(crops), shape)

    def _instances(self, maps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Where instances are.

        Args:
          maps: Of centroids, float32 [N, H, W, 1].

        Returns:
          Which slots hold one, bool [N*I]; rows `[sample, row, col, 0]` in pixels of the scaled
          image that crops are cut from, float32 [N*I, 4]; confidences float32 [N, I].
        """
        options = self.options
        factor = np.float32(options.image_stride * options.instance_scale)
        to_scaled = Placement(tf.fill([2], factor), tf.zeros([2]))
        points, confidences, _, count = local_points(maps, options.centroids, to_scaled)
        slots = tf.range(options.max_instances, dtype=tf.int64)
        present = slots[None, :] < count[:, None]
        numbers = tf.range(tf.shape(count, out_type=tf.int64)[0], dtype=tf.int64)
        samples = tf.cast(tf.broadcast_to(numbers[:, None], tf.shape(present)), tf.float32)
        columns = [samples, points[..., 1], points[..., 0], tf.zeros_like(samples)]
        peaks = tf.reshape(tf.stack(columns, axis=-1), [-1, 4])
        return tf.reshape(present, [-1]), peaks, confidences

    def _images(self, images: tf.Tensor) -> Outputs:
        """Images uint8 [N, Hi, Wi, c] to the outputs of the contract."""
        inputs, scaled = self._inputs(images)
        return self._found(scaled, *self._instances(self._centroid_maps(inputs)))

    def _fitted_pictures(self, encoded: tf.Tensor) -> Tensors:
        """Pictures string [N] to both networks' images, pixels of each per pixel, and good ones."""
        options = self.options

        def decode(picture: tf.Tensor) -> Tensors:
            pixels = decoded(picture, options.image_channels, options.max_pixels)
            fit = self._centroid_frames.fit(tf.shape(pixels, out_type=tf.int64)[:2])
            inputs, scaled = (
                frames.fitted(pixels)[0]
                for frames in (self._centroid_frames, self._instance_frames)
            )
            return inputs, scaled, tf.cast(1 / fit, tf.float32)

        def blank() -> Tensors:
            frames = self._centroid_frames, self._instance_frames
            return *(tf.zeros(one.input_shape) for one in frames), tf.zeros([])

        tensors, ok = decode_each(encoded, decode, blank)
        return *tensors, ok

    def _from_inputs(
        self, inputs: tf.Tensor, scaled: tf.Tensor, growth: tf.Tensor, ok: tf.Tensor
    ) -> Outputs:
        """Prepared pictures to the outputs of the contract, without instances where one was bad."""
        present, peaks, confidences = self._instances(self._centroid_maps(inputs))
        present &= tf.repeat(ok, self.options.max_instances)
        confidences = tf.where(ok[:, None], confidences, tf.zeros([]))
        points, *others = self._found(scaled, present, peaks, confidences)
        return points * growth[:, None, None, None], *others

    def _found(
        self, scaled: tf.Tensor, present: tf.Tensor, peaks: tf.Tensor, confidences: tf.Tensor
    ) -> Outputs:
        """The nodes of instances.

        Args:
          scaled: float32 [N, h, w, c], what crops are cut from.
          present: See `_instances`, as the others.
          peaks: Likewise.
          confidences: Likewise.
        """
        options = self.options
        # Only what holds an instance goes through the instance network.
        slots = tf.where(present)
        nodes = node_contract(options)

        def some() -> tf.Tensor:
            (found,) = in_runs(
                lambda part: (self._nodes(scaled, part),),
                tf.gather(peaks, slots[:, 0]),
                options.max_batch,
                (nodes,),
            )
            sizes = [tf.size(present, out_type=tf.int64)], tf.shape(found, out_type=tf.int64)[1:]
            return tf.scatter_nd(slots, found, tf.concat(sizes, axis=0))

        def none() -> tf.Tensor:
            return tf.zeros([tf.size(present), options.channels or 0, 4])

        placed = tf.cond(tf.size(slots, out_type=tf.int64) > 0, some, none)
        sizes = tf.shape(confidences, out_type=tf.int64), tf.shape(placed, out_type=tf.int64)[1:]
        placed = tf.reshape(placed, tf.concat(sizes, axis=0))
        return placed[..., :2], placed[..., 2], placed[..., 3] > 0, confidences

    def _nodes(self, scaled: tf.Tensor, peaks: tf.Tensor) -> tf.Tensor:
        """One run of the instance network.

        Args:
          scaled: float32 [N, h, w, c], images as the network wants their pixels.
          peaks: float32 [P, 4] in pixels of these.

        Returns:
          float32 [P, C, 4], columns x, y in pixels of the image that was sent, confidence, valid.
        """
        options = self.options
        side = options.crop_size
        # Integers are not reversed on a GPU. A product: a division by a constant becomes one when
        # the graph is optimised.
        corners = tf.reverse(tf.cast(_corners(scaled, peaks, side), tf.float64), axis=[1])
        shift = tf.cast(corners * (1 / options.instance_scale), tf.float32)
        factor = np.float32(options.nodes.image_stride)
        points, confidences, valid = global_points(
            self._maps(cut(scaled, peaks, side)),
            options.nodes,
            Placement(tf.fill([2], factor), shift),
        )
        more = tf.stack([confidences, tf.cast(valid, tf.float32)], axis=-1)
        return tf.concat([points, more], axis=-1)


def _corners(imgs: tf.Tensor, peaks: tf.Tensor, side: int) -> tf.Tensor:
    """The first row and column of each crop: int64 [P, 2]."""
    rows, cols, _ = nearest_pixels(imgs, peaks, tf.constant(side, tf.int64))
    return tf.stack([rows, cols], axis=1) - side // 2


def cut(imgs: tf.Tensor, peaks: tf.Tensor, side: int) -> tf.Tensor:
    """Cuts a square of all channels around every peak, zeros outside the image.

    Equal to slicing the zero-padded image from `side // 2` before the rounded coordinate (halves
    away from zero), so that an even side has one pixel more before it than behind it.

    Args:
      imgs: float32 [N, h, w, c].
      peaks: float32 [P, 4], rows `[sample, row, col, any]` in pixels, sample in range.
      side: S, in pixels.

    Returns:
      float32 [P, S, S, c]; bits of the images unchanged.
    """
    corners = _corners(imgs, peaks, side)
    samples, _ = indices(peaks)
    steps = tf.range(side, dtype=tf.int64)
    channels = tf.range(tf.shape(imgs, out_type=tf.int64)[3], dtype=tf.int64)
    crops = gather_pixels(
        imgs,
        samples[:, None, None, None],
        (corners[:, :1] + steps)[:, :, None, None],
        (corners[:, 1:] + steps)[:, None, :, None],
        channels,
    )
    return tf.ensure_shape(crops, [None, side, side, imgs.shape[3]])
