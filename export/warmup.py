"""Warm-up requests: what a server runs on a version before it serves it.

The first request of a signature plans and optimises its graph, which takes far longer than any
later one. The server replays the records in `assets.extra/tf_serving_warmup_requests` before it
calls a version available; a record that fails keeps the version from loading, so the same
records are replayed before publishing.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from export.identity import WARMUP_FILE
from export.image_cases import draw_images, png
from export.maps import draw_maps
from serving_config import wire
from signatures.contract import (
    ImageOptions,
    InvalidInputError,
    ModelContract,
    SignatureContract,
    TensorContract,
    image_options,
)
from signatures.contract.keypoints import blank_png

# The server refuses to load a version with more.
MOST_RECORDS = 1000

Shape = tuple[int, int, int, int]


def default_shapes(contract: ModelContract) -> list[Shape]:
    """Maps of one sample, and of a full batch where requests are joined."""
    options = dict(contract.options)
    height, width = options.get("height") or 64, options.get("width") or 64
    channels = options.get("channels") or 1
    batches = {1}
    if any(signature.batched for signature in contract.signatures):
        batches.add(options["max_batch"])
    return [(count, height, width, channels) for count in sorted(batches)]


def check_shapes(shapes: list[Shape], contract: ModelContract) -> None:
    """Refuses shapes that the model's signatures would refuse.

    Raises:
      InvalidInputError: A size that the contract fixes, a batch that the server's batcher
        refuses, or more requests than a server replays.
    """
    options = dict(contract.options)
    for shape in shapes:
        for name, size in zip(("height", "width", "channels"), shape[1:], strict=True):
            if options.get(name) not in (None, size):
                raise InvalidInputError(
                    f"--warmup-shape {text_of(shape)}: expected {name} {options[name]}, got {size}"
                )
        if options.get("batching") == "server" and shape[0] > options["max_batch"]:
            raise InvalidInputError(
                f"--warmup-shape {text_of(shape)}: expected at most {options['max_batch']} samples "
                "(--max-batch), since the server's batcher refuses more"
            )
    records = len(shapes) * len(contract.signature_keys())
    if records > MOST_RECORDS:
        raise InvalidInputError(
            f"--warmup-shape: expected at most {MOST_RECORDS} requests, got {records}; "
            "name fewer shapes"
        )


def text_of(shape: Shape) -> str:
    """A shape as the option writes it."""
    return "x".join(map(str, shape))


def warmup_requests(
    contract: ModelContract, shapes: list[Shape]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Signature keys and inputs: every signature for every shape of its maps."""
    for shape in shapes:
        maps = draw_maps(*shape)[0]
        for key in contract.signature_keys():
            signature = contract.signature(key)
            yield key, _inputs(signature, maps, contract)


def write_warmup(directory: Path, contract: ModelContract, shapes: list[Shape]) -> int:
    """Writes the records into a version's directory.

    Returns:
      How many.
    """
    path = directory / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    count = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for key, inputs in warmup_requests(contract, shapes):
            query = wire.ModelQuery(contract.name, signature=key)
            log = prediction_log_pb2.PredictionLog()
            message = predict_pb2.PredictRequest.FromString(wire.predict_request(query, inputs))
            log.predict_log.request.CopyFrom(message)
            writer.write(log.SerializeToString(deterministic=True))
            count += 1
    return count


def read_warmup(directory: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Signature keys and inputs of a version's records; none if it has no such file."""
    path = directory / WARMUP_FILE
    if not path.exists():
        return
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {name: wire.array_of(tensor) for name, tensor in request.inputs.items()}
        yield request.model_spec.signature_name, inputs


def _inputs(
    signature: SignatureContract, maps: np.ndarray, contract: ModelContract
) -> dict[str, np.ndarray]:
    """Inputs that the signature accepts, for maps of one shape."""
    return {tensor.name: _input(tensor, maps, contract) for tensor in signature.inputs}


def _input(tensor: TensorContract, maps: np.ndarray, contract: ModelContract) -> np.ndarray:
    if tensor.is_scalar:
        value = tensor.example if tensor.default is None else tensor.default
        return np.asarray(value, tensor.dtype)
    samples, sizes = len(maps), [size or 1 for size in tensor.static_shape[1:]]
    if tensor.dtype == "string":
        pictures = np.empty(samples, object)
        options = image_options(contract)
        pictures[:] = [blank_png(*_image_size(maps, options))] * samples
        if contract.name == "topdown":
            # Without something to see, the second network would stay cold.
            pictures[:] = [png(image) for image in draw_images(samples, options)]
        return pictures
    if tensor.shape[0] == "peaks":
        rows = _peaks(maps)
        return rows if tensor.rank == 2 else np.zeros((len(rows), *sizes), np.float32)
    if tensor.name == "images":
        options = image_options(contract)
        if contract.name == "topdown":
            return draw_images(samples, options)
        return np.full((samples, *_image_size(maps, options), sizes[-1]), 128, np.uint8)
    if tensor.dtype == "uint8":
        return np.clip(np.rint(maps * 255), 0, 255).astype(np.uint8)
    return maps


def _image_size(maps: np.ndarray, options: ImageOptions) -> tuple[int, int]:
    """The fixed size of images, or the size from which the network makes such maps."""
    if options.image_height and options.image_width:
        return options.image_height, options.image_width
    stride = options.image_stride
    return max(1, round(maps.shape[1] * stride)), max(1, round(maps.shape[2] * stride))


def _peaks(maps: np.ndarray) -> np.ndarray:
    """One row per sample and channel at its maximum: float32 [P, 4]."""
    samples, _, width, channels = maps.shape
    places = maps.reshape(samples, -1, channels).argmax(axis=1)
    sample, channel = np.indices(places.shape)
    rows = np.stack([sample, places // width, places % width, channel], axis=-1)
    return rows.reshape(-1, 4).astype(np.float32)
