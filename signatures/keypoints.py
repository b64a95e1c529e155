"""The model family `keypoints` as a `tf.Module`: confidence maps to points, safe to batch.

Legend: `N` samples, `H` height, `W` width, `C` channels, `K` peaks per sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from signatures.contract import DEFAULT_SIGNATURE
from signatures.contract.keypoints import KeypointOptions, keypoints_contract
from signatures.contract.signature import SignatureContract
from signatures.gathering import gather_pixels
from signatures.gaussian import refine_peaks_gaussian
from signatures.global_peaks import global_maxima
from signatures.guard import body_of, flush_subnormals
from signatures.integral import refine_peaks_integral
from signatures.local_direction import refine_peaks_local_direction
from signatures.local_peaks import strict_mask
from signatures.tracing import tensor_spec

LARGEST_FLOAT = 3.4028234663852886e38
BATCH_THREADS = 4
# Requests wait in memory; beyond this the server answers UNAVAILABLE.
MOST_BATCHES = 100

Outputs = tuple[tf.Tensor, ...]


class Keypoints(tf.Module):
    """Every signature of the family, traced with the inputs of its contract.

    Attributes:
      options: What was fixed.
      contract: What is promised about every signature.
      bodies: Signature name to unbatched function: what eager results come from.
      functions: Signature key to traced function, `serving_default` included.
    """

    def __init__(self, options: KeypointOptions = KeypointOptions()) -> None:
        super().__init__(name="keypoints")
        self.options = options
        self.contract = keypoints_contract(options)
        self.bodies: dict[str, Callable[[tf.Tensor], Outputs]] = {
            "keypoints": self._keypoints,
            "quantized": self._quantized,
            "local_peaks": self._local_peaks,
        }
        functions: dict[str, Any] = {
            signature.name: self._traced(signature, self.bodies[signature.name])
            for signature in self.contract.signatures
        }
        functions[DEFAULT_SIGNATURE] = functions[self.contract.default]
        self.functions = functions

    def _refined(self, imgs: tf.Tensor, peaks: tf.Tensor) -> tf.Tensor:
        """Rows [P, 4] to points (x, y) [P, 2] in the output's pixels."""
        window = tf.constant(self.options.window, tf.int64)
        if self.options.refinement == "local":
            peaks = body_of(refine_peaks_local_direction)(imgs, peaks, tf.constant(0.25))
        elif self.options.refinement == "integral":
            peaks = body_of(refine_peaks_integral)(imgs, peaks, window)
        elif self.options.refinement == "gaussian":
            peaks = body_of(refine_peaks_gaussian)(imgs, peaks, window)
        points = tf.reverse(peaks[:, 1:3], axis=[1])
        return points * tf.constant(self.options.output_stride, tf.float32)

    def _keypoints(self, confmaps: tf.Tensor, scale: float = 1.0) -> Outputs:
        """`points` [N, C, 2], `confidences` [N, C], `valid` [N, C]."""
        rows, cols, values, found = global_maxima(confmaps)
        shape = tf.shape(rows, out_type=tf.int64)
        samples = tf.broadcast_to(tf.range(shape[0], dtype=tf.int64)[:, None], shape)
        channels = tf.broadcast_to(tf.range(shape[1], dtype=tf.int64)[None, :], shape)
        none = tf.zeros([], tf.int64)
        columns = [samples, tf.where(found, rows, none), tf.where(found, cols, none), channels]
        peaks = tf.cast(tf.reshape(tf.stack(columns, axis=-1), [-1, 4]), tf.float32)
        points = tf.reshape(self._refined(confmaps, peaks), tf.concat([shape, [2]], axis=0))
        confidences = flush_subnormals(values)
        if scale != 1.0:
            # In float64: the graph optimiser multiplies by the inverse instead, which in float32
            # differs from the eager division.
            confidences = tf.cast(tf.cast(confidences, tf.float64) / scale, tf.float32)
        valid = found & (confidences > self.options.threshold)
        return (
            tf.where(valid[..., None], points, tf.zeros([])),
            tf.where(valid, tf.minimum(confidences, LARGEST_FLOAT), tf.zeros([])),
            valid,
        )

    def _quantized(self, confmaps: tf.Tensor) -> Outputs:
        """One cast, no more: the small results are scaled, not the maps."""
        return self._keypoints(tf.cast(confmaps, tf.float32), scale=255.0)

    def _local_peaks(self, confmaps: tf.Tensor) -> Outputs:
        """`points` [N, K, 2], `confidences` [N, K], `channels` [N, K], `count` [N]."""
        width = self.options.max_peaks
        sizes = tf.shape(confmaps, out_type=tf.int64)
        mask = strict_mask(confmaps, tf.constant(self.options.threshold, tf.float32))
        strength = tf.where(mask, flush_subnormals(confmaps), tf.constant(float("-inf")))
        pixels = sizes[1] * sizes[2] * sizes[3]
        flat = tf.reshape(strength, tf.stack([sizes[0], pixels]))
        # As many columns as asked for, even of maps with fewer pixels. Equal values keep their
        # order: the lower index comes first.
        missing = tf.maximum(tf.constant(width, tf.int64) - pixels, 0)
        flat = tf.pad(flat, [[0, 0], [0, missing]], constant_values=float("-inf"))
        strongest, index = tf.math.top_k(flat, k=width)
        real = strongest > float("-inf")
        index = tf.where(real, tf.cast(index, tf.int64), tf.zeros([], tf.int64))
        depth, columns = tf.maximum(sizes[3], 1), tf.maximum(sizes[2] * sizes[3], 1)
        samples = tf.broadcast_to(tf.range(sizes[0], dtype=tf.int64)[:, None], tf.shape(index))
        places = [samples, index // columns, index % columns // depth, index % depth]
        sample, row, col, channel = places
        values = gather_pixels(confmaps, sample, row, col, channel, present=real)
        peaks = tf.cast(tf.reshape(tf.stack(places, axis=-1), [-1, 4]), tf.float32)
        # Padded rows need an existing pixel to look at, and there is none in an empty map.
        points = tf.cond(
            tf.size(confmaps, out_type=tf.int64) > 0,
            lambda: self._refined(confmaps, peaks),
            lambda: tf.zeros(tf.stack([tf.shape(peaks)[0], 2])),
        )
        points = tf.reshape(points, tf.stack([sizes[0], width, 2]))
        return (
            tf.where(real[..., None], points, tf.zeros([])),
            tf.where(real, tf.minimum(values, LARGEST_FLOAT), tf.zeros([])),
            tf.where(real, places[3], -tf.ones([], tf.int64)),
            tf.reduce_sum(tf.cast(real, tf.int64), axis=1),
        )

    def _traced(self, contract: SignatureContract, body: Callable[[tf.Tensor], Outputs]) -> Any:
        """A `tf.function` of the contract's input, batched in the graph if the options say so."""
        (tensor,) = contract.inputs

        def signature(confmaps: tf.Tensor) -> dict[str, tf.Tensor]:
            # What stands before a batcher is in host memory: there it stays.
            with tf.device("/CPU:0"):
                maps = tf.ensure_shape(confmaps, tensor.static_shape)
                samples = tf.shape(maps, out_type=tf.int64)[0]
            if self.options.batched_in_graph:
                # No samples go round the batcher, which would answer with shape [0]; so do more
                # than a batch holds, which it would refuse.
                joined = (samples > 0) & (samples <= self.options.max_batch)
                results = tf.cond(
                    joined, lambda: self._batched(contract, body)(maps), lambda: body(maps)
                )
            else:
                results = body(maps)
            return {
                output.name: tf.ensure_shape(result, output.static_shape)
                for output, result in zip(contract.outputs, results, strict=True)
            }

        signature.__name__ = contract.name
        signature.__doc__ = contract.summary
        return tf.function(signature, input_signature=[tensor_spec(tensor)], autograph=False)

    def _batched(
        self, contract: SignatureContract, body: Callable[[tf.Tensor], Outputs]
    ) -> Callable[[tf.Tensor], Outputs]:
        """The body behind a batcher of its own."""

        def call(maps: tf.Tensor) -> Outputs:
            # The queue is shared by name, which is the scope's: two signatures with one name
            # would answer each other's requests.
            with tf.name_scope(f"batch_{contract.name}"):
                batched = tf.nondifferentiable_batch_function(
                    num_batch_threads=BATCH_THREADS,
                    max_batch_size=self.options.max_batch,
                    batch_timeout_micros=int(self.options.batch_timeout * 1000),
                    max_enqueued_batches=MOST_BATCHES,
                    autograph=False,
                )(body)
                return tuple(batched(maps))

        return call
