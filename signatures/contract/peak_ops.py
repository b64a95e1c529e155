"""The contracts of the model family `peak_ops`: the reference functions in flat row form.

Legend of dimensions: `samples` N, `height` H, `width` W, `channels` C, `peaks` P.
Never batched: a batcher joins requests along axis 0 without understanding sample indices, so
one client's rows would index another client's images.
"""

from __future__ import annotations

from dataclasses import dataclass

from signatures.contract.rules import (
    AtMostElements,
    Finite,
    IndexInto,
    Odd,
    Rule,
    WholeNumbers,
    Within,
)
from signatures.contract.signature import ModelContract, SignatureContract, Tolerance
from signatures.contract.tensors import TensorContract

IMGS = TensorContract(
    name="imgs",
    dtype="float32",
    shape=("samples", "height", "width", "channels"),
    axes="sample, row, column, channel",
    units="confidence",
    meaning="confidence maps; outside the image every map is zero",
)
PEAKS = TensorContract(
    name="peaks",
    dtype="float32",
    shape=("peaks", 4),
    axes="one row per peak; columns sample, row, col, channel",
    units="indices and pixels, pixel centres at whole numbers",
    meaning="where to look; NaN or infinite row or col marks a missing peak",
)
DELTA = TensorContract(
    name="delta",
    dtype="float32",
    shape=(),
    axes="scalar",
    units="pixels",
    meaning="length of the step towards the larger neighbour",
    default=0.25,
)


@dataclass(frozen=True)
class Bounds:
    """The limits that the guards keep; fixed at export.

    Attributes:
      window: Largest window and kernel size, after rounding up to odd.
      crop_elements: Largest number of elements of one reply's crops.
      sigma: Smallest and largest standard deviation, in pixels.
    """

    window: int = 129
    crop_elements: int = 2**26
    sigma: tuple[float, float] = (1e-3, 1e6)


def _indices() -> tuple[Rule, ...]:
    """The rules of a `peaks` input beside `imgs`: usable sample and channel indices."""
    return (
        WholeNumbers("peaks", 0, "sample"),
        IndexInto("peaks", 0, "sample", target="imgs", axis=0, axis_name="samples"),
        WholeNumbers("peaks", 3, "channel"),
        IndexInto("peaks", 3, "channel", target="imgs", axis=3, axis_name="channels"),
    )


def peak_ops_contract(bounds: Bounds = Bounds()) -> ModelContract:
    """The family's contract under the given bounds."""
    sigma = TensorContract(
        name="sigma",
        dtype="float32",
        shape=(),
        axes="scalar",
        units="pixels",
        meaning="standard deviation of the Gaussian",
    )
    return ModelContract(
        name="peak_ops",
        default="refine_peaks_local_direction",
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
                    Within("kernel_size", 1, bounds.window),
                    Odd("kernel_size"),
                    Within("sigma", *bounds.sigma),
                ),
                tolerance=Tolerance(
                    ulps=8.0,
                    measured_ulps=3.5,
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
                    TensorContract(
                        name="window_length",
                        dtype="int64",
                        shape=(),
                        axes="scalar",
                        units="pixels",
                        meaning="side of the window; even lengths are rounded up to odd",
                    ),
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
                rules=(
                    Within("window_length", 1, bounds.window, rounded_up=True),
                    AtMostElements(
                        "crops", "peaks", "window_length", bounds.window, bounds.crop_elements
                    ),
                    *_indices(),
                ),
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
                rules=(Finite("delta"),),
            ),
            SignatureContract(
                name="refine_peaks_local_direction",
                summary="Moves every peak a quarter pixel towards its larger neighbours.",
                inputs=(IMGS, PEAKS, DELTA),
                outputs=(
                    TensorContract(
                        name="refined_peaks",
                        dtype="float32",
                        shape=("peaks", 4),
                        axes="one row per peak; columns sample, row, col, channel",
                        units="indices and pixels",
                        meaning="the given rows plus the offset; missing peaks unchanged",
                    ),
                ),
                rules=(Finite("delta"), *_indices()),
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
                    Within("size", 1, bounds.window, rounded_up=True),
                    Within("sigma", *bounds.sigma),
                ),
                tolerance=Tolerance(
                    ulps=1.0,
                    measured_ulps=0.0,
                    reason="float64 exp of another build or device may round differently, which "
                    "moves a float32 by at most one; the stock server 2.20.0 and eager 2.21.0 "
                    "differed by 0",
                ),
            ),
        ),
    )


PEAK_OPS = peak_ops_contract()
