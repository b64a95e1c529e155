"""The host's reading of JSON: parse faults, wrong types, ragged rows, wrapping, ranges."""

from __future__ import annotations

import numpy as np
import pytest

from serving_config.embedded.failures import StatusError
from serving_config.embedded.json_reader import is_deeper, read_body
from serving_config.embedded.json_tensors import columnar_inputs
from serving_config.embedded.servable import InputSlot, Signature
from serving_config.tensor_types import TENSOR_TYPES

NUMBERS = {kind.name: kind.number for kind in TENSOR_TYPES}


def arrays_of(value, **types):
    slots = {alias: InputSlot(f"s_{alias}:0", NUMBERS[name]) for alias, name in types.items()}
    return columnar_inputs(Signature("s", slots, {}, {}), value)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"instances":[1,2', "JSON Parse error: Missing a comma or ']' after an array element. at offset: 17"),
        (b"not json", "JSON Parse error: Invalid value. at offset: 1"),
        (b"", "JSON Parse error: The document is empty"),
        (b"   ", "JSON Parse error: The document is empty. at offset: 3"),
        (b"[]", "JSON Value: [] Is not object"),
        (b"[1,2]", "JSON Value: [1, 2] Is not object"),
        (b"1", "JSON Value: 1 Is not object"),
        (b"null", "JSON Value: null Is not object"),
        (b'{"inputs":[1.]}', "JSON Parse error: Miss fraction part in number. at offset: 13"),
        (b'{"inputs":[+1]}', "JSON Parse error: Invalid value. at offset: 11"),
        (b'{"inputs":[nan]}', "JSON Parse error: Invalid value. at offset: 12"),
        (b'{"inputs":[01]}', "JSON Parse error: Missing a comma or ']' after an array element. at offset: 12"),
        (b'{"inputs":[1e400]}', "JSON Parse error: Number too big to be stored in double. at offset: 11"),
        (b'{"inputs":[1,]}', "JSON Parse error: Invalid value. at offset: 13"),
        (b'{"inputs":1,}', "JSON Parse error: Missing a name for object member. at offset: 12"),
        (b'{"signature_name":1}', "JSON Value: {\n    \"signature_name\": 1\n} not formatted correctly. 'signature_name' key must be a string value."),
    ],
)  # fmt: skip
def test_bodies_that_are_refused(body, text):
    with pytest.raises(StatusError) as caught:
        read_body(body)
    assert (caught.value.code, caught.value.text) == ("INVALID_ARGUMENT", text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"instances":1}', "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array"),
        (b'{"instances":[]}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        (b'{"instances":[1],"inputs":[1]}', 'JSON Value: {\n    "instances": [1],\n    "inputs": [1]\n} Not formatted correctly expecting only one of \'inputs\' or \'instances\' keys to exist '),
    ],
)  # fmt: skip
def test_bodies_without_columns(body, text):
    with pytest.raises(StatusError) as caught:
        read_body(body).rows()
    assert caught.value.text == text


def test_trailing_text_is_ignored_and_the_first_of_equal_names_counts():
    parsed = read_body(b'{"inputs":[1], "inputs":[2], "extra": 3} trailing')
    assert parsed.document["inputs"] == [1]
    assert parsed.signature == ""


@pytest.mark.parametrize(
    "strings", [b'"[[["', b'"\\"[[["', b'"a]", "[["'], ids=["plain", "quote", "two"]
)
def test_brackets_in_strings_are_no_nesting(strings):
    body = b'{"inputs": [' + b", ".join([strings] * 100) + b"]}"
    assert not is_deeper(body, 2)
    assert is_deeper(body.replace(b"]}", b", [[]]]}"), 3)


def test_deep_nesting_is_refused():
    with pytest.raises(StatusError, match="nested more than 100 levels deep"):
        read_body(b"[" * 1_000_000)
    with pytest.raises(StatusError, match="tensor parsing error: x"):
        arrays_of(
            read_body(b'{"inputs":' + b"[" * 200 + b"]" * 200 + b"}", 300).document["inputs"],
            x="float",
        )


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("float", [1, 2.5], np.float32([1, 2.5])),
        ("float", [1e39, 1e-50, -0.0], np.float32([np.inf, 0, -0.0])),
        ("float", 3, np.float32(3)),
        ("float", [], np.zeros(0, np.float32)),
        ("float", [[]], np.zeros((1, 0), np.float32)),
        ("double", [2**53 + 1], np.float64([2**53])),
        ("int64", [2**53 + 1, -(2**63)], np.int64([2**53 + 1, -(2**63)])),
        ("uint64", [2**64 - 1], np.uint64([2**64 - 1])),
        ("uint8", [256, -1], np.uint8([0, 255])),
        ("int8", [200], np.int8([-56])),
        ("bool", [[True], [False]], np.array([[True], [False]])),
        ("string", ["a", {"b64": "aGk="}], np.array([b"a", b"hi"], object)),
        ("string", {"b64": "aGk"}, np.array(b"hi", object)),
    ],
)
def test_values(kind, value, expected):
    array = arrays_of({"x": value}, x=kind)["x"]
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    assert array.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("float", "a", 'JSON Value: "a" Type: String is not of expected type: float'),
        ("float", ["NaN"], 'JSON Value: "NaN" Type: String is not of expected type: float'),
        ("float", [1, True], "JSON Value: true Type: True is not of expected type: float"),
        ("float", [None], "JSON Value: null Type: Null is not of expected type: float"),
        ("float", [{"b": 1}], 'JSON Value: {\n    "b": 1\n} Type: Object is not of expected type: float'),
        ("int64", [1.0], "JSON Value: 1.0 Type: Number is not of expected type: int64"),
        ("int64", [1e3], "JSON Value: 1000.0 Type: Number is not of expected type: int64"),
        ("int64", [2**63], "JSON Value: 9223372036854775808 Type: Number is not of expected type: int64"),
        ("int32", [2**31], "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ("uint32", [-1], "JSON Value: -1 Type: Number is not of expected type: uint32"),
        ("bool", [1], "JSON Value: 1 Type: Number is not of expected type: bool"),
        ("string", [1], "JSON Value: 1 Type: Number is not of expected type: string"),
        ("string", [{"b64": "%%"}], "Unable to base64 decode"),
        ("string", [{"c": 1}], 'JSON Value: {\n    "c": 1\n} not formatted correctly for base64 data'),
        ("float", [[1, 2], [3]], "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ("float", [1, [2]], "Encountered list at unexpected level: 1 expected < 1"),
        ("float", [[1], 2], "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ],
)  # fmt: skip
def test_values_that_are_refused(kind, value, text):
    with pytest.raises(StatusError) as caught:
        arrays_of({"x": value}, x=kind)
    assert (caught.value.code, caught.value.text) == ("INVALID_ARGUMENT", text)


@pytest.mark.parametrize("kind", ["half", "bfloat16", "complex64"])
def test_types_without_a_json_form(kind):
    with pytest.raises(StatusError) as caught:
        arrays_of({"x": [1]}, x=kind)
    assert caught.value.code == "UNIMPLEMENTED"
    assert caught.value.text == f"Conversion of JSON Value: 1 to type: {kind}"


def test_members():
    assert set(arrays_of({"a": 1, "zzz": 2}, a="float")) == {"a"}
    with pytest.raises(StatusError, match="^INVALID_ARGUMENT: Missing named input: b in 'inputs'"):
        arrays_of({"a": 1}, a="float", b="float")
    with pytest.raises(StatusError, match="inputs is a plain value/list, but expecting an object"):
        arrays_of([1], a="float", b="float")
