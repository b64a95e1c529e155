"""The layout of REST answers, to the last space, and how numbers are written."""

from __future__ import annotations

import json

from .cases import RestCase, each


def body(form: str, signature: str, value) -> str:
    return json.dumps({"signature_name": signature, form: value})


IMAGE = [[[1.5, 2], [3, 4]]]
PAIR = {"a": [1, 2, 3], "b": [4, 5, 6]}

LAYOUTS = [
    RestCase("rows-one-output", "row form, one output: the output's name is lost",
             body("instances", "points", [IMAGE]),
             answer='{\n    "predictions": [[[1.0, 0.0, 3.0], [1.0, 0.0, 4.0]]\n    ]\n}'),
    RestCase("two-rows-one-output", "row form, one output, two rows",
             body("instances", "matrix", [[1, 2, 3], [4, 5, 6]]),
             answer='{\n    "predictions": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]\n    ]\n}'),
    RestCase("columns-one-output", "columnar form, one output: four spaces a level",
             body("inputs", "matrix", [[1, 2], [3, 4]]),
             answer='{\n    "outputs": [\n        [\n            1.0,\n            2.0\n        ],'
                    "\n        [\n            3.0,\n            4.0\n        ]\n    ]\n}"),
    RestCase("columns-scalar", "columnar form, a scalar", body("inputs", "total", [1, 2]),
             answer='{\n    "outputs": 3.0\n}'),
    RestCase("columns-empty", "columnar form, an empty output", body("inputs", "matrix", []),
             answer='{\n    "outputs": []\n}'),
]  # fmt: skip

Y, Z = '"y": [1.0, 2.0, 3.0]', '"z": [8.0, 10.0, 12.0]'
LONG_Y = '"y": [\n            [\n                1.0\n            ]\n        ]'
LONG_Z = '"z": [\n            [\n                4.0\n            ]\n        ]'


@each(LAYOUTS)
def test_layout(endpoint, case):
    case.check(endpoint)


def test_rows_with_several_outputs(endpoint):
    # The order of the keys varies from reply to reply.
    layout = '{{\n    "predictions": [\n        {{\n            {},\n            {}\n        }}\n    ]\n}}'
    reply = endpoint.http("POST", "/v1/models/m:predict", body("instances", "two", [PAIR]))
    assert reply.text in (layout.format(Y, Z), layout.format(Z, Y))


def test_columns_with_several_outputs(endpoint):
    layout = '{{\n    "outputs": {{\n        {},\n        {}\n    }}\n}}'
    request = body("inputs", "two", {"a": [[1]], "b": [[2]]})
    reply = endpoint.http("POST", "/v1/models/m:predict", request)
    assert reply.text in (layout.format(LONG_Y, LONG_Z), layout.format(LONG_Z, LONG_Y))


def numbers(name: str, what: str, signature: str, value: str, written: str) -> RestCase:
    request = f'{{"signature_name": "{signature}", "inputs": [{value}]}}'
    items = ",\n".join(f"        {item}" for item in written.split(", "))
    return RestCase(name, what, request, answer=f'{{\n    "outputs": [\n{items}\n    ]\n}}')


NUMBERS = [
    numbers("whole", "whole floats end in .0", "floats", "1, -2, 0, 100000", "1.0, -2.0, 0.0, 100000.0"),
    numbers("six-digits", "six digits where they suffice", "floats", "0.1, 0.25, 123.456",
            "0.1, 0.25, 123.456"),
    numbers("nine-digits", "else nine", "floats", "0.970742822, 0.935072422, 16777217, 123456.789",
            "0.970742822, 0.935072422, 16777216.0, 123456.789"),
    numbers("exponent", "small and large numbers have an exponent", "floats",
            "5.96046448e-08, 1e-5, 1e10, 3.4028234e38", "5.96046448e-08, 1e-05, 1e+10, 3.40282347e+38"),
    numbers("double", "doubles have six or seventeen digits", "doubles",
            "0.1, 1e300, 0.12345678901234567", "0.1, 1e+300, 0.12345678901234568"),
    numbers("minus-zero", "minus zero keeps its sign", "floats", "-0.0", "-0.0"),
    numbers("int64", "integers have no point", "ints", "9007199254740993, -1", "9007199254740993, -1"),
    numbers("bool", "booleans are booleans", "flags", "true, false", "true, false"),
]  # fmt: skip


@each(NUMBERS)
def test_numbers(endpoint, case):
    case.check(endpoint)
