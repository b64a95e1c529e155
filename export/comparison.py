"""How served outputs are held against eager ones.

Bits are compared, so that -0.0 differs from 0.0; NaN equals NaN. Where the contract has a
tolerance and the server is another build or device, the difference is measured in units in the
last place (ulps) of the largest expected magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signatures.contract import Tolerance

_BITS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


@dataclass(frozen=True)
class Mismatch:
    """One output that differs.

    Attributes:
      signature: The signature's key.
      transport: `"gRPC"` or `"REST"`.
      case: The case's name.
      output: The output's name, or `""` where the whole reply is at fault.
      index: Where the difference is largest.
      expected: The eager value there, or what was expected of the reply.
      got: The served value there, or what came.
      ulps: Their distance in representable numbers; NaN where that has no meaning.
    """

    signature: str
    transport: str
    case: str
    output: str
    index: tuple[int, ...]
    expected: str
    got: str
    ulps: float

    def __str__(self) -> str:
        """One line with every field."""
        where = f" at {list(self.index)}" if self.index else ""
        output = f" output {self.output}{where}" if self.output else ""
        ulps = "" if np.isnan(self.ulps) else f" ({self.ulps:g} ulps)"
        return (
            f"{self.signature} over {self.transport}, case {self.case}:{output} "
            f"expected {self.expected}, got {self.got}{ulps}"
        )


@dataclass(frozen=True)
class Comparison:
    """One output held against its expectation.

    Attributes:
      elements: How many numbers were compared.
      difference: The largest absolute difference, over numbers that are finite in both.
      ulps: That difference in ulps of the largest expected magnitude.
      index: Where the worst difference is; `None` if the output is equal or tolerated.
      fault: What was expected and what came, where dtype or shape differ.
    """

    elements: int
    difference: float = 0.0
    ulps: float = 0.0
    index: tuple[int, ...] | None = None
    fault: tuple[str, str] | None = None

    @property
    def matches(self) -> bool:
        """Whether the output passes."""
        return self.index is None and self.fault is None


def equal_bits(expected: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Elementwise: the same bits, or both NaN.

    >>> equal_bits(np.float32([0.0, np.nan]), np.float32([-0.0, -np.nan])).tolist()
    [False, True]
    """
    if expected.dtype.kind != "f":
        return np.asarray(expected == got)
    bits = _BITS[expected.dtype.itemsize]
    same = np.ascontiguousarray(expected).view(bits) == np.ascontiguousarray(got).view(bits)
    return np.asarray(same | (np.isnan(expected) & np.isnan(got)))


def ulps_between(expected: float | np.floating, got: float | np.floating) -> float:
    """How many float32 steps lie between two numbers.

    >>> ulps_between(1.0, np.nextafter(np.float32(1.0), np.float32(2.0))), ulps_between(-0.0, 0.0)
    (1.0, 1.0)
    """
    pair = np.array([expected, got], np.float32)
    if np.isnan(pair).any():
        return float("nan")
    bits = pair.view(np.int32).astype(np.int64)
    ordered = np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits)
    return float(abs(ordered[1] - ordered[0]))


def _spacing(magnitude: np.floating) -> float:
    """One ulp of a magnitude, the largest float included."""
    return float(magnitude - np.nextafter(magnitude, magnitude.dtype.type(0))) or float(
        np.finfo(magnitude.dtype).smallest_subnormal
    )


def compare(
    expected: np.ndarray, got: np.ndarray, tolerance: Tolerance | None = None
) -> Comparison:
    """Holds a served output against the eager one.

    Args:
      expected: The eager output.
      got: The served output.
      tolerance: `None` asks for the same bits.
    """
    if expected.dtype != got.dtype or expected.shape != got.shape:
        return Comparison(
            elements=0,
            fault=(
                f"{expected.dtype} {list(expected.shape)}",
                f"{got.dtype} {list(got.shape)}",
            ),
        )
    equal = equal_bits(expected, got)
    if equal.all():
        return Comparison(elements=expected.size)

    if expected.dtype.kind != "f":
        place = np.unravel_index(int(np.argmin(equal)), equal.shape)
        return Comparison(expected.size, index=tuple(int(i) for i in place))

    finite = np.isfinite(expected) & np.isfinite(got)
    with np.errstate(all="ignore"):
        distance = np.abs(expected.astype(np.float64) - got.astype(np.float64))
    difference = float(distance[finite].max(initial=0.0))
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    ulps = difference / _spacing(largest)
    # A difference that is no number (NaN against 1, one infinity) is worse than any number.
    rank = np.where(equal, -1.0, np.where(finite, distance, np.inf))
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(rank)), rank.shape))
    tolerated = False
    if tolerance is not None and bool((finite | equal).all()):
        measured = ulps if tolerance.unit == "ulps" else difference
        tolerated = measured <= tolerance.limit
    return Comparison(expected.size, difference, ulps, None if tolerated else worst)


def excuse(
    expected: np.ndarray, got: np.ndarray, undecided: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Takes the expectation's side where a choice was undecided.

    Args:
      expected: The eager output.
      got: The served output.
      undecided: bool, of the outputs' leading axes; of an output with fewer axes than it, what is
        undecided along all of the others.

    Returns:
      The served output with the expected values where undecided, and the places where that
      changed something.
    """
    if expected.shape != got.shape or not undecided.any():
        return got, []
    undecided = np.asarray(undecided.all(axis=tuple(range(expected.ndim, undecided.ndim))))
    mask = undecided.reshape(undecided.shape + (1,) * (expected.ndim - undecided.ndim))
    changed = mask & ~equal_bits(expected, got)
    places = np.argwhere(changed.reshape(*undecided.shape, -1).any(axis=-1))
    return np.where(mask, expected, got), [str(place.tolist()) for place in places]
