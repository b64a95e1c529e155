"""The contracts of the model family `peak_ops`: the functions in flat row form.

Never batched: a batcher joins requests along axis 0 without understanding sample indices, so
one client's rows would index another client's images.
"""

from __future__ import annotations

import dataclasses

from signatures.contract.peak_finding import peak_finding_signatures
from signatures.contract.rules import Finite, Odd, Within
from signatures.contract.shared import (
    DELTA,
    IMGS,
    PEAKS,
    WINDOW_LENGTH,
    Bounds,
    index_rules,
    map_rules,
    refined_peaks,
    row_rule,
    window_rules,
)
from signatures.contract.signature import ModelContract, SignatureContract, Tolerance
from signatures.contract.tensors import TensorContract


def peak_ops_contract(bounds: Bounds = Bounds()) -> ModelContract:
    """The family's contract under the given bounds."""
    sigma = TensorContract(
        name="sigma",
        dtype="float32",
        shape=(),
        axes="scalar",
        units="pixels",
        meaning="standard deviation of the Gaussian",
        example=1.0,
    )
    return ModelContract(
        name="peak_ops",
        default="refine_peaks_local_direction",
        options=tuple(dataclasses.asdict(bounds).items()),
        signatures=(
            SignatureContract(
                name="smooth_imgs",
                summary="Convolves every channel with a Gaussian kernel.",
                inputs=(
                    IMGS,
                    TensorContract(
                        name="kernel_size",
                        dtype="int64",
                        shape=(),
                        axes="scalar",
                        units="pixels",
                        meaning="side of the square kernel, odd",
                        default=5,
                        example=3,
                    ),
                    TensorContract(**{**vars(sigma), "default": 1.0}),
                ),
                outputs=(
                    TensorContract(
                        name="smoothed",
                        dtype="float32",
                        shape=("samples", "height", "width", "channels"),
                        axes="sample, row, column, channel",
                        units="confidence",
                        meaning="the maps after smoothing, zero padded, not renormalised",
                    ),
                ),
                rules=(
                    Within("kernel_size", 1, bounds.max_window),
                    Odd("kernel_size"),
                    Within("sigma", float(bounds.min_sigma), float(bounds.max_sigma)),
                    *map_rules(bounds),
                ),
                tolerance=Tolerance(
                    limit=8.0,
                    unit="ulps",
                    measured=3.5,
                    reason="every build stays within 4 ulps of the float64 sum, on either side of "
                    "it; CPU kernels with and without oneDNN differed by 3.5, the stock server "
                    "2.20.0 and eager 2.21.0 with the same kernels by 0",
                ),
            ),
            SignatureContract(
                name="crop_centered_boxes",
                summary="Cuts a square window around every peak, exactly, zeros outside.",
                inputs=(
                    IMGS,
                    PEAKS,
                    WINDOW_LENGTH,
                ),
                outputs=(
                    TensorContract(
                        name="crops",
                        dtype="float32",
                        shape=(
                            "peaks",
                            "ensure_odd(window_length)",
                            "ensure_odd(window_length)",
                            1,
                        ),
                        axes="peak, row, column, one channel",
                        units="confidence",
                        meaning="the window around each peak; zeros for a missing peak",
                    ),
                ),
                rules=window_rules(bounds, "crops"),
            ),
            SignatureContract(
                name="find_offsets_local_direction",
                summary="Steps from the centre of a 3x3 patch towards the larger neighbours.",
                inputs=(
                    TensorContract(
                        name="centered_patches",
                        dtype="float32",
                        shape=("peaks", 3, 3, 1),
                        axes="peak, row, column, one channel",
                        units="confidence",
                        meaning="the 3x3 window around each peak",
                        example=IMGS.example,
                    ),
                    DELTA,
                ),
                outputs=(
                    TensorContract(
                        name="offsets",
                        dtype="float32",
                        shape=("peaks", 2),
                        axes="one row per peak; columns dy, dx",
                        units="pixels",
                        meaning="the step from the patch's centre",
                    ),
                ),
                rules=(Finite("delta"), row_rule(bounds, "centered_patches")),
            ),
            SignatureContract(
                name="refine_peaks_local_direction",
                summary="Moves every peak a quarter pixel towards its larger neighbours.",
                inputs=(IMGS, PEAKS, DELTA),
                outputs=(refined_peaks("the given rows plus the offset; missing peaks unchanged"),),
                rules=(Finite("delta"), row_rule(bounds), *index_rules()),
            ),
            SignatureContract(
                name="make_gaussian_kernel",
                summary="A square Gaussian with peak 1.",
                inputs=(
                    TensorContract(
                        name="size",
                        dtype="int64",
                        shape=(),
                        axes="scalar",
                        units="pixels",
                        meaning="side of the kernel; even sizes are rounded up to odd",
                        example=3,
                    ),
                    sigma,
                ),
                outputs=(
                    TensorContract(
                        name="kernel",
                        dtype="float32",
                        shape=("ensure_odd(size)", "ensure_odd(size)"),
                        axes="row, column",
                        units="confidence",
                        meaning="exp(-(x^2 + y^2) / (2 sigma^2)), not normalised",
                    ),
                ),
                rules=(
                    Within("size", 1, bounds.max_window, rounded_up=True),
                    Within("sigma", float(bounds.min_sigma), float(bounds.max_sigma)),
                ),
                tolerance=Tolerance(
                    limit=1.0,
                    unit="ulps",
                    measured=0.0,
                    reason="float64 exp of another build or device may round differently, which "
                    "moves a float32 by at most one; the stock server 2.20.0 and eager 2.21.0 "
                    "differed by 0",
                ),
            ),
            *peak_finding_signatures(bounds),
        ),
    )


PEAK_OPS = peak_ops_contract()
