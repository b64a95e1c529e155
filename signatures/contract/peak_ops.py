"""The contracts of the model family `peak_ops`: the reference functions in flat row form.

Legend of dimensions: `samples` N, `height` H, `width` W, `channels` C, `peaks` P.
Never batched: a batcher joins requests along axis 0 without understanding sample indices, so
one client's rows would index another client's images.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from signatures.contract.errors import InvalidInputError
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
    example=((((0,), (1,), (0,)), ((1,), (4,), (1,)), ((0,), (2,), (0,))),),
)
PEAKS = TensorContract(
    name="peaks",
    dtype="float32",
    shape=("peaks", 4),
    axes="one row per peak; columns sample, row, col, channel",
    units="indices and pixels, pixel centres at whole numbers",
    meaning="where to look; NaN or infinite row or col marks a missing peak",
    example=((0, 1, 1, 0),),
)
DELTA = TensorContract(
    name="delta",
    dtype="float32",
    shape=(),
    axes="scalar",
    units="pixels",
    meaning="length of the step towards the larger neighbour",
    default=0.25,
    example=0.25,
)


WIDEST_WINDOW = 1025


@dataclass(frozen=True)
class Bounds:
    """The limits that the guards keep; fixed at export.

    Attributes:
      max_window: Largest window and kernel size, after rounding up to odd; odd, 1 to 1025.
      max_crop_elements: Largest number of elements of one reply's crops.
      min_sigma: Smallest standard deviation, in pixels.
      max_sigma: Largest standard deviation, in pixels.

    Raises:
      InvalidInputError: A limit that no request could keep, or that the arithmetic cannot.
    """

    max_window: int = 129
    max_crop_elements: int = 2**26
    min_sigma: float = 1e-3
    max_sigma: float = 1e6

    def __post_init__(self) -> None:
        if not (1 <= self.max_window <= WIDEST_WINDOW and self.max_window % 2):
            raise InvalidInputError(
                f"max_window: expected an odd number within 1..{WIDEST_WINDOW}, "
                f"got {self.max_window}"
            )
        if not 1 <= self.max_crop_elements <= 2**31:
            raise InvalidInputError(
                f"max_crop_elements: expected 1..{2**31}, got {self.max_crop_elements}"
            )
        # Beyond these, 2 sigma^2 or its inverse leaves float32's exponents.
        if not 1e-6 <= self.min_sigma <= self.max_sigma <= 1e12:
            raise InvalidInputError(
                "min_sigma and max_sigma: expected 1e-6 <= min <= max <= 1e12, "
                f"got {self.min_sigma:g} and {self.max_sigma:g}"
            )


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
                        example=3,
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
                    Within("window_length", 1, bounds.max_window, rounded_up=True),
                    AtMostElements(
                        "crops",
                        "peaks",
                        "window_length",
                        bounds.max_window,
                        bounds.max_crop_elements,
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
