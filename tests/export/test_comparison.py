"""Comparison: bits, NaN, tolerances, what a mismatch says."""

from __future__ import annotations

import numpy as np
import pytest

from export.case import Case
from export.comparison import compare
from export.verification import Expected, VerificationError, verify
from serving_config.errors import ServingError
from signatures.contract import PEAK_OPS, Tolerance

ROUGH = Tolerance(limit=2.0, unit="ulps", measured=0.0, reason="test")


@pytest.mark.parametrize(
    ("expected", "got", "tolerance", "matches"),
    [
        (1.0, 1.0, None, True),
        (0.0, -0.0, None, False),
        (np.nan, np.nan, None, True),
        (np.nan, 1.0, ROUGH, False),
        (np.inf, -np.inf, ROUGH, False),
        (np.inf, 1.0, ROUGH, False),
        (1.0, np.nextafter(np.float32(1), np.float32(2)), None, False),
        (1.0, np.nextafter(np.float32(1), np.float32(2)), ROUGH, True),
        (1.0, 1.0 + 2**-20, ROUGH, False),
        (3.4e38, -3.4e38, ROUGH, False),
    ],
)
def test_one_number(expected, got, tolerance, matches):
    result = compare(np.float32([expected]), np.float32([got]), tolerance)
    assert result.matches is matches
    assert result.elements == 1


def test_tolerance_is_relative_to_the_largest_magnitude():
    expected, got = np.float32([1000.0, 0.001]), np.float32([1000.0, 0.00101])
    assert compare(expected, got, ROUGH).matches
    assert not compare(expected[1:], got[1:], ROUGH).matches


def test_the_worst_index_is_named():
    expected, got = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)
    got[0, 1], got[1, 2] = 0.5, np.nan
    assert compare(expected, got).index == (1, 2)
    got[1, 2] = -2
    assert compare(expected, got).index == (1, 2)
    assert compare(expected, got).difference == 2


@pytest.mark.parametrize(
    "got", [np.zeros(3, np.float32), np.zeros((2, 1), np.float32), np.zeros(2, np.float64)]
)
def test_shape_and_dtype_are_compared_first(got):
    result = compare(np.zeros(2, np.float32), got)
    assert result.fault
    assert not result.matches
    assert result.elements == 0


class Answers:
    """A client with one answer."""

    transport = "gRPC"
    keeps_subnormals = True

    def __init__(self, answer):
        self.answer = answer

    def status(self):
        return {}

    def predict(self, signature, inputs, *, model, version=None):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def outcome(answer, expected, *, refused=False):
    case = Case("find_offsets_local_direction", "one", {}, refused)
    return verify([case], [Answers(answer)], lambda _: expected, PEAK_OPS)


ZEROS = np.zeros((1, 2), np.float32)
REFUSAL = ServingError("assertion failed: [no] [3]", code="INVALID_ARGUMENT", transport="gRPC")


@pytest.mark.parametrize(
    ("answer", "expected", "refused", "text"),
    [
        (
            {"offsets": np.float32([[0, 0.25]])},
            Expected({"offsets": ZEROS}),
            False,
            "find_offsets_local_direction over gRPC, case one: output offsets at [0, 1] "
            "expected 0, got 0.25 (1.04858e+09 ulps)",
        ),
        (
            {"offset": ZEROS},
            Expected({"offsets": ZEROS}),
            False,
            "expected ['offsets'], got ['offset']",
        ),
        (
            REFUSAL,
            Expected({"offsets": ZEROS}),
            False,
            "expected an answer, got INVALID_ARGUMENT no 3",
        ),
        ({"offsets": ZEROS}, Expected(None, "no 3"), True, "INVALID_ARGUMENT no 3, got an answer"),
        (REFUSAL, Expected(None, "no 4"), True, "INVALID_ARGUMENT no 4, got INVALID_ARGUMENT no 3"),
        (REFUSAL, Expected(None, "no 3"), False, "expected an answer, got eager"),
        ({"offsets": ZEROS}, Expected({"offsets": ZEROS}), True, "expected a refusal, got eager"),
    ],
    ids=["value", "name", "refused", "answered", "sentence", "eager_refuses", "eager_answers"],
)
def test_every_difference_is_an_error(answer, expected, refused, text):
    report = outcome(answer, expected, refused=refused)
    with pytest.raises(VerificationError) as error:
        report.raise_if_different()
    assert text in str(error.value)
    assert len(error.value.mismatches) == 1


def test_nothing_compared_is_an_error():
    report = outcome({"offsets": ZEROS[:0]}, Expected({"offsets": ZEROS[:0]}))
    assert not report.mismatches
    with pytest.raises(VerificationError, match="expected cases, got none"):
        report.raise_if_different()


def test_the_right_answers_pass():
    outcome({"offsets": ZEROS}, Expected({"offsets": ZEROS})).raise_if_different()
    outcome(REFUSAL, Expected(None, "no 3"), refused=True).raise_if_different()
