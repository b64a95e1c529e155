"""Cases of the model family `peak_ops`: every kind of place, value and refusal.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from export.case import LARGEST_REFUSED, Case, Inputs, bytes_of
from signatures.contract import (
    DEFAULT_SIGNATURE,
    PEAK_OPS,
    InvalidInputError,
    ModelContract,
    SignatureContract,
)

WINDOWS = (1, 3, 4, 7)
FIT_WINDOWS = (5, 11)
KERNEL_SIZES = (1, 3, 5, 11, 129)
DELTAS = (0.25, 0.5, -0.25, 0.0)
SIGMAS = (1e-3, 0.3, 1.0, 5.0, 1e6)


def peak_rows(maps: np.ndarray) -> np.ndarray:
    """Rows that try every kind of place, for every sample and channel.

    The maximum (NumPy's first), the corners, the maximum's projections onto the borders,
    halves, places outside, and missing coordinates.

    Args:
      maps: float32 [N, H, W, C].

    Returns:
      float32 [P, 4], rows `[sample, row, col, channel]`.
    """
    samples, height, width, channels = maps.shape
    rows = []
    for sample in range(samples):
        for channel in range(channels):
            channel_map = maps[sample, :, :, channel]
            row, col = np.unravel_index(np.argmax(channel_map), channel_map.shape)
            bottom, right = height - 1, width - 1
            corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
            borders = [(0, col), (bottom, col), (row, 0), (row, right)]
            halves = [
                (row + 0.5, col - 0.5),
                (-0.5, col),
                (row, -0.5),
                (bottom + 0.5, col + 0.5),
                (row - 0.5, right + 0.5),
            ]
            outside = [(-1, col), (height, col), (row, -1), (row, width), (-1e30, 1e30)]
            missing = [(np.nan, col), (row, np.nan), (np.inf, col), (-np.inf, -np.inf)]
            for place in [(row, col), *corners, *borders, *halves, *outside, *missing]:
                rows.append((sample, *place, channel))
    return np.array(rows, np.float32).reshape(-1, 4)


def accepted_cases(maps: np.ndarray) -> Iterator[Case]:
    """Cases of `peak_ops` that have an answer.

    Args:
      maps: float32 [N, H, W, C] with at least one pixel.
    """
    peaks = peak_rows(maps)
    no_peaks = peaks[:0]
    no_samples = maps[:0]

    for size, sigma in zip(KERNEL_SIZES, SIGMAS, strict=True):
        inputs = {"imgs": maps, "kernel_size": np.int64(size), "sigma": np.float32(1 + size / 5)}
        yield _case("smooth_imgs", f"kernel_{size}", inputs)
        narrow = {"imgs": maps[:1], "kernel_size": np.int64(size), "sigma": np.float32(sigma)}
        yield _case("smooth_imgs", f"kernel_{size}_sigma_{sigma:g}", narrow)
    yield _case("smooth_imgs", "defaults", {"imgs": maps})
    yield _case("smooth_imgs", "zero_samples", {"imgs": no_samples})

    for window in WINDOWS:
        inputs = {"imgs": maps, "peaks": peaks, "window_length": np.int64(window)}
        yield _case("crop_centered_boxes", f"window_{window}", inputs)
    inputs = {"imgs": maps, "peaks": no_peaks, "window_length": np.int64(4)}
    yield _case("crop_centered_boxes", "zero_peaks", inputs)
    yield _case("crop_centered_boxes", "zero_samples", {**inputs, "imgs": no_samples})
    one_pixel = {**inputs, "peaks": peaks[:1], "window_length": np.int64(1)}
    yield _case("crop_centered_boxes", "one_pixel", one_pixel)

    patches = _patches(maps, peaks)
    for delta in DELTAS:
        inputs = {"centered_patches": patches, "delta": np.float32(delta)}
        yield _case("find_offsets_local_direction", f"delta_{delta:g}", inputs)
    yield _case("find_offsets_local_direction", "defaults", {"centered_patches": patches})
    yield _case("find_offsets_local_direction", "zero_peaks", {"centered_patches": patches[:0]})

    for signature in ("refine_peaks_local_direction", DEFAULT_SIGNATURE):
        for delta in DELTAS:
            inputs = {"imgs": maps, "peaks": peaks, "delta": np.float32(delta)}
            yield _case(signature, f"delta_{delta:g}", inputs)
        yield _case(signature, "defaults", {"imgs": maps, "peaks": peaks})
        yield _case(signature, "zero_peaks", {"imgs": maps, "peaks": no_peaks})
        yield _case(signature, "zero_samples", {"imgs": no_samples, "peaks": no_peaks})

    yield from _peak_finding_cases(maps, peaks)

    for size in (*KERNEL_SIZES, 4):
        for sigma in SIGMAS:
            inputs = {"size": np.int64(size), "sigma": np.float32(sigma)}
            yield _case("make_gaussian_kernel", f"size_{size}_sigma_{sigma:g}", inputs)


def _peak_finding_cases(maps: np.ndarray, peaks: np.ndarray) -> Iterator[Case]:
    """Global and local peaks, on maps with ties and values that are no numbers; refinements."""
    largest = float(np.nanmax(maps))
    with np.errstate(over="ignore", invalid="ignore"):
        tied = np.round(maps[:1] * 8) / 8
    strange = tied.copy()
    strange[:, ::3, ::2], strange[:, -1, -1], strange[:, 0, 0, 0] = np.nan, -np.inf, np.inf
    strange[..., -1] = np.nan if strange.shape[-1] > 1 else strange[..., -1]
    zoo = {"maps": maps, "tied": tied, "strange": strange, "zero_samples": maps[:0]}
    for name, imgs in zoo.items():
        yield _case("find_global_peaks", name, {"imgs": imgs})
    thresholds = {"": 0.3 * largest, "_all_pixels": -1e30, "_none": 2 * abs(largest)}
    for signature in ("find_local_peaks", "find_local_peaks_first"):
        for name, imgs in zoo.items():
            for which, threshold in thresholds.items():
                inputs = {"imgs": imgs, "threshold": np.float32(threshold)}
                yield _case(signature, f"{name}{which}", inputs)
    for signature in ("refine_peaks_integral", "refine_peaks_gaussian"):
        for window in WINDOWS[:1] + FIT_WINDOWS:
            inputs = {"imgs": maps, "peaks": peaks, "window_length": np.int64(window)}
            yield _case(signature, f"window_{window}", inputs)
        inputs = {"imgs": maps, "peaks": peaks[:0], "window_length": np.int64(5)}
        yield _case(signature, "zero_peaks", inputs)
        yield _case(signature, "zero_samples", {**inputs, "imgs": maps[:0]})
        one_pixel = {**inputs, "peaks": peaks[:1], "window_length": np.int64(1)}
        yield _case(signature, "one_pixel", one_pixel)


def refused_cases(candidates: list[Case], contract: ModelContract = PEAK_OPS) -> Iterator[Case]:
    """One case for every way to break a rule, made from a small one that keeps all rules.

    Raises:
      InvalidInputError: The bounds leave no such case.
    """
    for key in contract.signature_keys():
        signature = contract.signature(key)
        small = (
            signature.with_defaults(_small(signature, case.inputs))
            for case in candidates
            if case.signature == key
        )
        base = next(
            (
                inputs
                for inputs in small
                if signature.refusal(inputs) is None and all(a.size for a in inputs.values())
            ),
            None,
        )
        if base is None:
            raise InvalidInputError(
                f"{key}: the bounds {dict(contract.options)} leave no request that is accepted; "
                "widen them"
            )
        for rule in signature.rules:
            for name, inputs in rule.violations(base):
                if bytes_of(inputs) > LARGEST_REFUSED:
                    continue
                yield Case(key, f"refused_{name}", inputs, refused=True)


def peak_ops_cases(maps: np.ndarray, contract: ModelContract = PEAK_OPS) -> list[Case]:
    """All cases of `peak_ops` on the given maps float32 [N, H, W, C]."""
    candidates = list(accepted_cases(maps))
    accepted = [case for case in candidates if _keeps_bounds(case, contract)]
    return [*accepted, *refused_cases(candidates, contract)]


def _keeps_bounds(case: Case, contract: ModelContract) -> bool:
    """Whether the model's bounds, which may be narrower than usual, accept the case."""
    signature = contract.signature(case.signature)
    return signature.refusal(signature.with_defaults(case.inputs)) is None


def _case(signature: str, name: str, inputs: dict[str, np.ndarray | np.generic]) -> Case:
    return Case(signature, name, {key: np.asarray(value) for key, value in inputs.items()})


def _patches(maps: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """3x3 patches float32 [P, 3, 3, 1] around the rows that have coordinates, NaN in one."""
    padded = np.pad(maps, ((0, 0), (2, 2), (2, 2), (0, 0)))
    present = peaks[np.isfinite(peaks).all(axis=1)]
    limits = np.array(maps.shape[1:3])
    centres = np.clip(np.rint(present[:, 1:3]), -1, limits).astype(int)
    patches = np.stack(
        [
            padded[int(sample), row + 1 : row + 4, col + 1 : col + 4, int(channel)]
            for (sample, _, _, channel), (row, col) in zip(present, centres, strict=True)
        ]
    )[..., None]
    unusual = np.full((3, 3, 3, 1), 0.5, np.float32)
    unusual[0, 0, 1], unusual[1, :, 2], unusual[2, 2, 1] = np.nan, np.inf, 1e-40
    return np.concatenate([patches, unusual])


def _small(signature: SignatureContract, inputs: Inputs) -> Inputs:
    """At most one 8x8 sample and two rows: refusals need no more."""
    small = dict(inputs)
    if "imgs" in small:
        small["imgs"] = small["imgs"][:1, :8, :8]
    for tensor in signature.inputs:
        if tensor.shape[:1] == ("peaks",):
            rows = small[tensor.name]
            # Rows of the first sample and channel, so that they fit the smaller images.
            small[tensor.name] = rows[:2].copy()
    return small
