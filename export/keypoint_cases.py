"""Cases of the model family `keypoints`: several batch sizes, and maps that nobody expects.

Legend: `N` samples, `H` height, `W` width, `C` channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from export.case import Case
from signatures.contract import ModelContract


def fitted_maps(maps: np.ndarray, contract: ModelContract) -> np.ndarray:
    """Maps [N, H, W, C] cut, or padded with zeros, to the inner shape that the contract fixes."""
    for axis, name in enumerate(("height", "width", "channels"), start=1):
        size = dict(contract.options)[name] or maps.shape[axis]
        maps = np.take(maps, range(min(size, maps.shape[axis])), axis=axis)
        missing = size - maps.shape[axis]
        maps = np.pad(maps, [(0, missing if a == axis else 0) for a in range(4)])
    return maps


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


def keypoint_cases(maps: np.ndarray, contract: ModelContract) -> Iterator[Case]:
    """Every signature on the given maps, on single samples, and on strange ones."""
    fitted = fitted_maps(maps, contract)
    beyond = int(dict(contract.options)["max_batch"]) + 1
    repeated = np.resize(fitted, (beyond, *fitted.shape[1:]))
    requests = {"maps": fitted, "beyond_max_batch": repeated, **mates(fitted)}
    for key in contract.signature_keys():
        (tensor,) = contract.signature(key).inputs
        for name, samples in requests.items():
            yield Case(key, name, {tensor.name: as_input(samples, tensor.dtype)})
