"""Cases of models whose rows are samples: several batch sizes, and samples that nobody expects.

Legend: `N` samples, `H` height, `W` width, `C` channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from export.case import LARGEST_REFUSED, Case, bytes_of
from signatures.contract import (
    ImageOptions,
    KeypointOptions,
    ModelContract,
    SignatureContract,
    image_options,
)

# Images of one request, which JSON makes large.
SEVERAL = 4


def fitted_maps(maps: np.ndarray, options: KeypointOptions) -> np.ndarray:
    """Maps [N, H, W, C] cut, or padded with zeros, to the inner shape that the options fix."""
    sizes = (options.height, options.width, options.channels)
    for axis, fixed in enumerate(sizes, start=1):
        size = fixed or maps.shape[axis]
        maps = np.take(maps, range(min(size, maps.shape[axis])), axis=axis)
        missing = size - maps.shape[axis]
        maps = np.pad(maps, [(0, missing if a == axis else 0) for a in range(4)])
    return maps


def fitted_images(images: np.ndarray, options: ImageOptions) -> np.ndarray:
    """Images uint8 [N, Hi, Wi, 1 or 3] with the channels and the size that a model takes."""
    if images.shape[3] != options.image_channels:
        grey = np.rint(images.mean(axis=3, keepdims=True)).astype(np.uint8)
        images = np.repeat(grey, options.image_channels, axis=3)
    for axis, size in ((1, options.image_height), (2, options.image_width)):
        if size is None:
            continue
        images = np.take(images, range(min(size, images.shape[axis])), axis=axis)
        missing = size - images.shape[axis]
        images = np.pad(images, [(0, missing if a == axis else 0) for a in range(4)])
    return images


def mates(maps: np.ndarray) -> dict[str, np.ndarray]:
    """Requests of different sizes and kinds that may meet in one batch, by name."""
    one = maps[:1]
    strange = np.repeat(one, 3, axis=0)
    strange[0], strange[1] = np.nan, np.inf
    strange[2, ::2], strange[2, 1::2, ::2] = -np.inf, np.nan
    return {
        "one": one,
        "two": np.concatenate([maps[-1:], one]),
        "no_numbers": strange,
        "saturated": np.minimum(one * 3, np.float32(1)),
        "constant": np.full_like(one, 0.5),
        "zeros": np.zeros_like(one),
        "negative": -np.abs(one) - 1,
        "subnormal": np.full_like(one, 1e-40),
        "largest": np.full_like(one, np.finfo(np.float32).max),
        "zero_samples": maps[:0],
    }


def as_input(maps: np.ndarray, dtype: str) -> np.ndarray:
    """Maps in the dtype of an input; bytes are 0..255 for 0..1."""
    if dtype != "uint8":
        return maps.astype(dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.nan_to_num(maps * np.float32(255), nan=0.0, posinf=255.0, neginf=0.0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def requests_of(
    signature: SignatureContract,
    contract: ModelContract,
    maps: np.ndarray,
    images: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Requests of a signature that may meet in one batch, by name.

    Args:
      signature: Its contract.
      contract: The model family.
      maps: float32 [N, H, W, C].
      images: uint8 [N, Hi, Wi, 1 or 3]; drawn if left out.
    """
    options = image_options(contract)
    (tensor,) = signature.inputs
    if tensor.name == "confmaps" and isinstance(options, KeypointOptions):
        return {
            name: as_input(samples, tensor.dtype)
            for name, samples in mates(fitted_maps(maps, options)).items()
        }
    # Encoding pictures needs TensorFlow, which models without a network do not.
    from export.image_cases import draw_images, image_mates, picture_mates

    if images is None:
        images = draw_images(2, options)
    images = fitted_images(images, options)
    if tensor.name == "images":
        return image_mates(images)
    return picture_mates(images, options.max_pixels)


def keypoint_cases(
    maps: np.ndarray, contract: ModelContract, images: np.ndarray | None = None
) -> Iterator[Case]:
    """Every signature on the given samples, on single ones, on strange ones, and refused ones.

    Args:
      maps: float32 [N, H, W, C].
      contract: The model family.
      images: uint8 [N, Hi, Wi, 1 or 3], for models with a network; drawn if left out.
    """
    options = image_options(contract)
    for key in contract.signature_keys():
        signature = contract.signature(key)
        (tensor,) = signature.inputs
        requests = requests_of(signature, contract, maps, images)
        if tensor.name == "confmaps" and isinstance(options, KeypointOptions):
            requests["maps"] = as_input(fitted_maps(maps, options), tensor.dtype)
        elif tensor.name == "images" and images is not None:
            requests["several"] = fitted_images(images[:SEVERAL], options)
        if options.batching == "server":
            # The server's batcher has an empty request wait for others, and refuses what is
            # larger than a batch.
            del requests["zero_samples"]
        else:
            every = np.concatenate(list(requests.values()))
            requests["beyond_max_batch"] = np.resize(
                every, (options.max_batch + 1, *every.shape[1:])
            )
        for name, samples in requests.items():
            yield Case(key, name, {tensor.name: samples})
        for rule in signature.rules:
            for name, inputs in rule.violations({tensor.name: requests["one"]}):
                if bytes_of(inputs) <= LARGEST_REFUSED:
                    yield Case(key, f"refused_{name}", inputs, refused=True)
