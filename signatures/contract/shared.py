"""What several signatures share: common inputs, the bounds of guards, the rules of indices.

Legend of dimensions: `samples` N, `height` H, `width` W, `channels` C, `peaks` P.
"""

from __future__ import annotations

from dataclasses import dataclass

from signatures.contract.errors import InvalidInputError
from signatures.contract.rules import IndexInto, Rule, WholeNumbers, Within
from signatures.contract.size_rules import (
    AtMostElements,
    AtMostNumbers,
    AtMostSamples,
    PlausibleWhenEmpty,
)
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
LARGEST_MAPS = 2**26


@dataclass(frozen=True)
class Bounds:
    """The limits that the guards keep; fixed at export.

    Attributes:
      max_window: Largest window and kernel size, after rounding up to odd; odd, 1 to 1025.
      max_crop_elements: Largest number of elements of one reply's crops.
      min_sigma: Smallest standard deviation, in pixels.
      max_sigma: Largest standard deviation, in pixels.
      max_map_elements: Largest number of elements of one request's maps.
      max_rows: Most rows of `peaks`, or patches, of one request.

    Raises:
      InvalidInputError: A limit that no request could keep, or that the arithmetic cannot.
    """

    max_window: int = 129
    max_crop_elements: int = 2**26
    min_sigma: float = 1e-3
    max_sigma: float = 1e6
    max_map_elements: int = LARGEST_MAPS
    max_rows: int = 2**17

    def __post_init__(self) -> None:
        if not (1 <= self.max_window <= WIDEST_WINDOW and self.max_window % 2):
            raise InvalidInputError(
                f"max_window: expected an odd number within 1..{WIDEST_WINDOW}, "
                f"got {self.max_window}"
            )
        for name in ("max_crop_elements", "max_map_elements", "max_rows"):
            if not 1 <= getattr(self, name) <= 2**31:
                raise InvalidInputError(f"{name}: expected 1..{2**31}, got {getattr(self, name)}")
        # Beyond these, 2 sigma^2 or its inverse leaves float32's exponents.
        if not 1e-6 <= self.min_sigma <= self.max_sigma <= 1e12:
            raise InvalidInputError(
                "min_sigma and max_sigma: expected 1e-6 <= min <= max <= 1e12, "
                f"got {self.min_sigma:g} and {self.max_sigma:g}"
            )


def map_rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of maps where work follows their sizes, whether or not they hold anything."""
    return (AtMostNumbers("imgs", bounds.max_map_elements), PlausibleWhenEmpty("imgs"))


def row_rule(bounds: Bounds, tensor: str = "peaks") -> Rule:
    """The rule of an input with one row per peak."""
    return AtMostSamples(tensor, bounds.max_rows, "rows")


def index_rules() -> tuple[Rule, ...]:
    """The rules of a `peaks` input beside `imgs`: usable sample and channel indices."""
    return (
        WholeNumbers("peaks", 0, "sample"),
        IndexInto("peaks", 0, "sample", target="imgs", axis=0, axis_name="samples"),
        WholeNumbers("peaks", 3, "channel"),
        IndexInto("peaks", 3, "channel", target="imgs", axis=3, axis_name="channels"),
    )


WINDOW_LENGTH = TensorContract(
    name="window_length",
    dtype="int64",
    shape=(),
    axes="scalar",
    units="pixels",
    meaning="side of the window; even lengths are rounded up to odd",
    example=3,
)


def refined_peaks(meaning: str) -> TensorContract:
    """The output of a refinement."""
    return TensorContract(
        name="refined_peaks",
        dtype="float32",
        shape=("peaks", 4),
        axes="one row per peak; columns sample, row, col, channel",
        units="indices and pixels",
        meaning=meaning,
    )


def window_rules(bounds: Bounds, gathered: str) -> tuple[Rule, ...]:
    """The rules of signatures that gather a window around each peak.

    The window's rule stands before the product's, whose arithmetic may wrap.
    """
    return (
        Within("window_length", 1, bounds.max_window, rounded_up=True),
        row_rule(bounds),
        AtMostElements(
            gathered,
            "peaks",
            "window_length",
            bounds.max_window,
            bounds.max_crop_elements,
            bounds.max_rows,
        ),
        *index_rules(),
    )
