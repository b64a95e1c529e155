"""How many bytes a frame takes on its way to the server, by what is sent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from export.benchmark.result import WireSizes, size_of
from export.keypoint_cases import as_input
from serving_config import wire
from serving_config.rest_json import predict_body

MAPS = "float32 maps"
_JPEG_QUALITY = 95
_ENCODERS: dict[str, Callable[[np.ndarray], tf.Tensor]] = {
    f"JPEG {_JPEG_QUALITY}": lambda image: tf.io.encode_jpeg(image, quality=_JPEG_QUALITY),
    "PNG": tf.io.encode_png,
}


def wire_sizes(maps: np.ndarray, images: np.ndarray | None = None) -> WireSizes:
    """The requests for one frame, mean of all frames.

    Args:
      maps: float32 [N, H, W, C].
      images: uint8 [N, Hi, Wi, c] that the maps belong to, if known.
    """
    sizes = {
        MAPS: _mean("keypoints", "confmaps", maps),
        "float32 maps over REST": len(predict_body("keypoints", {"confmaps": maps})) // len(maps),
        "quantized": _mean("quantized", "confmaps", as_input(maps, "uint8")),
    }
    frame = f"maps {size_of(maps.shape[1:])}"
    if images is not None:
        frame += f", images {size_of(images.shape[1:])}"
        sizes["images"] = _mean("images", "images", images)
        for kind, encode in _ENCODERS.items():
            pictures = np.array([encode(image).numpy() for image in images], object)
            sizes[f"encoded_images, {kind}"] = _mean("encoded_images", "encoded_images", pictures)
    return WireSizes(frame, sizes)


def _mean(signature: str, name: str, frames: np.ndarray) -> int:
    """Bytes of a gRPC request for one frame."""
    query = wire.ModelQuery("keypoints", signature=signature)
    ones = (frames[index : index + 1] for index in range(len(frames)))
    return round(float(np.mean([len(wire.predict_request(query, {name: one})) for one in ones])))
