"""Joining requests inside the graph, and cutting large ones into runs.

Each batch function has a name scope of its own: the queue is shared by name, and two signatures
with one name would answer each other's requests, with status OK.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from signatures.contract import KeypointOptions, TensorContract

# One batch runs while the next one fills: with four of them on two cores batches stay small, and 16
# clients got 0.98 of what they get unbatched instead of 1.02 to 1.09.
BATCH_THREADS = 2
# The scheduler looks for batches whose time is over once in this time.
_LOOKS_MICROS = 1000
# Requests wait in memory; beyond this the server answers UNAVAILABLE.
MOST_BATCHES = 100

Outputs = tuple[tf.Tensor, ...]
Body = Callable[..., Outputs]


def batched(name: str, body: Body, options: KeypointOptions) -> Body:
    """The body behind a batcher of its own.

    Args:
      name: Unique in the SavedModel.
      body: Tensors whose axis 0 is the sample, to outputs of the same kind.
      options: Batch size and timeout.
    """

    def call(*tensors: tf.Tensor) -> Outputs:
        with tf.name_scope(f"batch_{name}"):
            function = tf.nondifferentiable_batch_function(
                num_batch_threads=BATCH_THREADS,
                max_batch_size=options.max_batch,
                batch_timeout_micros=timeout_micros(options),
                max_enqueued_batches=MOST_BATCHES,
                autograph=False,
            )(body)
            return tuple(function(*tensors))

    return call


def timeout_micros(options: KeypointOptions) -> int:
    """What a scheduler is told, so that no request waits longer than `batch_timeout`.

    A batch whose time is over is found at the scheduler's next look: told 1 ms, a single client
    waited 2.0 ms more than unbatched, and told 0, when batches fill only while others run, 0.3 ms.

    >>> timeout_micros(KeypointOptions(batch_timeout=2.5))
    1500
    >>> timeout_micros(KeypointOptions(batch_timeout=1.0))
    0
    """
    return max(0, int(options.batch_timeout * 1000) - _LOOKS_MICROS)


def in_runs(
    body: Body, samples: tf.Tensor, most: int, outputs: tuple[TensorContract, ...]
) -> Outputs:
    """Runs the body on at most `most` samples at a time, one run after the other.

    What a run needs in between is then bounded by its size, however many samples a request has.

    Args:
      body: One tensor whose axis 0 is the sample, to outputs of the same kind.
      samples: All of them.
      most: Samples of one run.
      outputs: The contracts of the outputs.
    """
    count = tf.shape(samples, out_type=tf.int64)[0]
    runs = (count + most - 1) // most

    def run(index: tf.Tensor, *arrays: tf.TensorArray) -> tuple:
        # Requests are in host memory; not every dtype can be cut elsewhere.
        with tf.device("/CPU:0"):
            part = samples[index * most : (index + 1) * most]
        results = body(part)
        place = tf.cast(index, tf.int32)
        return index + 1, *(
            array.write(place, tf.ensure_shape(result, output.static_shape))
            for array, result, output in zip(arrays, results, outputs, strict=True)
        )

    arrays = [
        tf.TensorArray(
            output.dtype,
            size=tf.cast(runs, tf.int32),
            infer_shape=False,
            element_shape=output.static_shape,
        )
        for output in outputs
    ]
    _, *filled = tf.while_loop(
        lambda index, *_: index < runs,
        run,
        (tf.zeros([], tf.int64), *arrays),
        parallel_iterations=1,
    )
    return tuple(array.concat() for array in filled)


def no_samples(outputs: tuple[TensorContract, ...]) -> Outputs:
    """What zero samples give; every other dimension is fixed by the contract."""
    return tuple(
        tf.zeros([0, *(size or 0 for size in output.static_shape[1:])], output.dtype)
        for output in outputs
    )
