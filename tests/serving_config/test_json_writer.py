"""The host's JSON, character by character as the stock server prints it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_config.embedded.failures import StatusError
from serving_config.embedded.json_text import error_body, value_text
from serving_config.embedded.json_writer import columnar_reply, float_texts
from serving_config.embedded.rest_app import status_body
from serving_config.status import VersionStatus
from serving_config.tensor_types import type_of_dtype, without_subnormals


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"y": np.float32(6)}, '{\n    "outputs": 6.0\n}'),
        ({"y": np.zeros(0, np.float32)}, '{\n    "outputs": []\n}'),
        (
            {"y": np.float32([[1, 0.970742822]])},
            '{\n    "outputs": [\n        [\n            1.0,\n            0.970742822\n'
            "        ]\n    ]\n}",
        ),
        (
            {"y": np.zeros((2, 0), np.float32)},
            '{\n    "outputs": [\n        [],\n        []\n    ]\n}',
        ),
        (
            {"y": np.float32([1]), "z": np.int64(-3)},
            '{\n    "outputs": {\n        "y": [\n            1.0\n        ],\n'
            '        "z": -3\n    }\n}',
        ),
        (
            {"b": np.array([True, False])},
            '{\n    "outputs": [\n        true,\n        false\n    ]\n}',
        ),
        ({"s": np.array([b'a"\n'], object)}, '{\n    "outputs": [\n        "a\\"\\n"\n    ]\n}'),
        (
            {"s_bytes": np.array([b"hi"], object)},
            '{\n    "outputs": [\n        {\n            "b64": "aGk="\n        }\n    ]\n}',
        ),
    ],
    ids=["scalar", "empty", "matrix", "rows of nothing", "two", "bool", "string", "bytes"],
)
def test_replies(outputs, text):
    assert columnar_reply(outputs).decode() == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"), (0.5, "0.5"), (8, "8.0"), (-0.0, "-0.0"), (1e-5, "1e-05"),
        (5.96046448e-08, "5.96046448e-08"), (9e6, "9e+06"), (16777217, "16777216.0"),
        (123456.5, "123456.5"), (1e30, "1e+30"), (1.4e-45, "0.0"), (-1e-40, "-0.0"), (np.nan, "NaN"),
        (np.inf, "Infinity"), (-np.inf, "-Infinity"), (0.1 + 0.2, "0.3"), (1 / 3, "0.333333343"),
    ],
)  # fmt: skip
def test_float32_texts(value, text):
    assert float_texts(np.float32([value]), type_of_dtype(np.dtype("float32"))) == [text]


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (1 / 3, "0.33333333333333331"), (1e300, "1e+300")]
)
def test_float64_texts(value, text):
    assert float_texts(np.float64([value]), type_of_dtype(np.dtype("float64"))) == [text]


@given(st.lists(st.floats(width=32), max_size=30))
def test_float32_comes_back_bit_for_bit(values):
    array = without_subnormals(np.float32(values))
    read = np.float32(json.loads(columnar_reply({"y": array}))["outputs"])
    nans = np.isnan(array)
    assert np.array_equal(nans, np.isnan(read))
    assert read[~nans].tobytes() == array[~nans].tobytes()


def test_types_without_a_json_form():
    with pytest.raises(StatusError, match="Failed to write JSON value for tensor type: half"):
        columnar_reply({"y": np.float16([1])})


def test_status_body():
    assert status_body([(1, VersionStatus("AVAILABLE"))]) == (
        '{\n "model_version_status": [\n  {\n   "version": "1",\n   "state": "AVAILABLE",\n'
        '   "status": {\n    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}\n'
    )


def test_error_body():
    assert error_body('a "b"') == b'{\n    "error": "a \\"b\\""\n}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2], "[1, 2]"), ([], "[]"), ({}, "{}"), (None, "null"), ("a", '"a"'), (True, "true"),
        (1e3, "1000.0"), ({"instances": 1}, '{\n    "instances": 1\n}'),
        ({"a": {"b": [{"c": 1}]}},
         '{\n    "a": {\n        "b": [{\n                "c": 1\n            }]\n    }\n}'),
    ],
)  # fmt: skip
def test_values_in_messages(value, text):
    assert value_text(value) == text


def test_long_values_in_messages_are_cut():
    assert 256 <= len(value_text({"x": list(range(10_000))})) < 270
