"""How signatures work whose axis 0 is the sample: prepared alone, joined, and run in parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from signatures.batching import Outputs, batched, in_runs, no_samples
from signatures.contract import ImageOptions, KeypointOptions, SignatureContract
from signatures.pictures import decode_one
from signatures.tracing import traced

Tensors = tuple[tf.Tensor, ...]
# What stands before a batcher is in host memory: there it stays.
HOST = "/CPU:0"


@dataclass(frozen=True)
class Stages:
    """How a signature works: what each request does for itself, and what requests share.

    Attributes:
      body: Prepared tensors, axis 0 the sample, to outputs. A batcher stands before it.
      prepare: The request's tensor to the body's tensors, on the host.
      most: Samples of one run; `None` where a request of any size is one run.
      batched: Whether requests are joined.
    """

    body: Callable[..., Outputs]
    prepare: Callable[[tf.Tensor], Tensors] = lambda samples: (samples,)
    most: int | None = None
    batched: bool = False

    def whole(self, samples: tf.Tensor) -> Outputs:
        """One run, by itself."""
        with tf.device(HOST):
            prepared = self.prepare(samples)
        return self.body(*prepared)


def served(contract: SignatureContract, stages: Stages, options: KeypointOptions) -> Any:
    """A `tf.function` of the contract's input: guarded, batched, in runs.

    Args:
      contract: A signature of one input, whose axis 0 is the sample, as that of its outputs.
      stages: How it works.
      options: Batch size and timeout.
    """
    (tensor,) = contract.inputs

    def answer(samples: tf.Tensor) -> Outputs:
        if not stages.batched and stages.most is None:
            return stages.whole(samples)
        with tf.device(HOST):
            count = tf.shape(samples, out_type=tf.int64)[0]
        # No samples go round the batcher, which would answer with shape [0]; so do more than
        # a batch holds, which it would refuse.
        most = options.max_batch if stages.most is None else stages.most

        def together() -> Outputs:
            if not stages.batched:
                return stages.whole(samples)
            with tf.device(HOST):
                prepared = stages.prepare(samples)
            return batched(contract.name, stages.body, options)(*prepared)

        def apart() -> Outputs:
            if stages.most is None:
                return stages.whole(samples)
            return tf.cond(
                count > 0,
                lambda: in_runs(stages.whole, samples, most, contract.outputs),
                lambda: no_samples(contract.outputs),
            )

        return tuple(tf.cond((count > 0) & (count <= most), together, apart))

    def shaped(**inputs: tf.Tensor) -> Outputs:
        return tuple(
            tf.ensure_shape(result, output.static_shape)
            for output, result in zip(contract.outputs, answer(inputs[tensor.name]), strict=True)
        )

    return traced(contract, shaped, device=HOST)


def of_one_picture(
    contract: SignatureContract, options: ImageOptions, answer: Callable[[tf.Tensor], Outputs]
) -> Callable[[tf.Tensor], Outputs]:
    """Answers one picture string [1] of any size; a bad one does not reach the network.

    Args:
      contract: Of the signature, with outputs of fixed sizes.
      options: How pictures are decoded.
      answer: Images uint8 [1, any, any, c] to outputs.
    """

    def body(encoded: tf.Tensor) -> Outputs:
        with tf.device(HOST):
            picture, ok = decode_one(encoded, options.image_channels, options.max_pixels)

        def nothing() -> Outputs:
            return tuple(tf.zeros([1, *t.static_shape[1:]], t.dtype) for t in contract.outputs)

        return tuple(tf.cond(ok, lambda: answer(picture), nothing))

    return body
