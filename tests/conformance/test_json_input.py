"""What the REST interface takes for JSON, and what it makes of numbers, strings and bytes."""

from __future__ import annotations

import base64

from .cases import RestCase, Text, each, pattern

PARSE = "JSON Parse error: "


def floats(text: str) -> str:
    """A body with a list of floats; the list starts at offset 36."""
    return '{"signature_name":"floats","inputs":[' + text + "]}"


def row(signature: str, text: str) -> str:
    return f'{{"signature_name":"{signature}","instances":[{text}]}}'


def columnar(signature: str, text: str) -> str:
    return f'{{"signature_name":"{signature}","inputs":[{text}]}}'


def refused(name: str, what: str, body: str, error: str, status: int = 400) -> RestCase:
    return RestCase(name, what, body, status, error)


def answered(name: str, what: str, body: str, answer: Text | dict) -> RestCase:
    return RestCase(name, what, body, 200, answer=answer)


def element(error: str) -> str:
    return f"Failed to process element: 0 of 'instances' list. Error: {error}"


def not_of_type(value: str, kind: str, wanted: str) -> str:
    return f"INVALID_ARGUMENT: JSON Value: {value} Type: {kind} is not of expected type: {wanted}"


DOCUMENTS = [
    refused("truncated", "the document ends too early", '{"instances":[1,2',
            PARSE + "Missing a comma or ']' after an array element. at offset: 17"),
    refused("no-json", "no JSON", "not json", PARSE + "Invalid value. at offset: 1"),
    refused("empty", "an empty body", "", PARSE + "The document is empty"),
    refused("spaces", "only spaces", "   ", PARSE + "The document is empty. at offset: 3"),
    refused("empty-list", "a list", "[]", "JSON Value: [] Is not object"),
    refused("list", "a list of numbers", "[1,2]", "JSON Value: [1, 2] Is not object"),
    refused("number", "a number", "1", "JSON Value: 1 Is not object"),
    refused("null", "null", "null", "JSON Value: null Is not object"),
    RestCase("empty-object", "an empty object", "{}", 400, "Missing 'inputs' or 'instances' key",
             path="/v1/models/d:predict"),
    answered("trailing-text", "text after the object is ignored",
             floats("1") + " trailing", {"outputs": [1.0]}),
    answered("duplicate-key", "of two equal keys the first wins",
             '{"signature_name":"floats","inputs":[1],"inputs":[2]}', {"outputs": [1.0]}),
    refused("trailing-comma", "a trailing comma", floats("1,"),
            PARSE + "Invalid value. at offset: 39"),
    refused("comment", "a comment", floats("1/* one */"),
            PARSE + "Missing a comma or ']' after an array element. at offset: 38"),
]  # fmt: skip

NUMBERS = [
    answered("non-finite", "NaN, infinities and Inf, as bare words, in and out",
             floats("NaN,Infinity,-Infinity,Inf,-Inf"),
             '{\n    "outputs": [\n        NaN,\n        Infinity,\n        -Infinity,\n'
             "        Infinity,\n        -Infinity\n    ]\n}"),
    refused("nan", "nan in lower case", floats("nan"), PARSE + "Invalid value. at offset: 38"),
    refused("inf", "inf in lower case", floats("inf"), PARSE + "Invalid value. at offset: 37"),
    refused("plus", "a plus sign", floats("+1"), PARSE + "Invalid value. at offset: 37"),
    refused("no-digit-before-the-point", ".5", floats(".5"),
            PARSE + "Invalid value. at offset: 37"),
    refused("no-digit-after-the-point", "1.", floats("1."),
            PARSE + "Miss fraction part in number. at offset: 39"),
    refused("leading-zero", "01", floats("01"),
            PARSE + "Missing a comma or ']' after an array element. at offset: 38"),
    refused("quoted-nan", "NaN as a string", row("floats", '"NaN"'),
            element(not_of_type('"NaN"', "String", "float"))),
    refused("true", "a boolean for a float", row("floats", "true"),
            element(not_of_type("true", "True", "float"))),
    refused("null", "null for a float", row("floats", "null"),
            element(not_of_type("null", "Null", "float"))),
    answered("beyond-float32", "1e39 is infinite in float32", floats("1e39"),
             '{\n    "outputs": [\n        Infinity\n    ]\n}'),
    refused("beyond-float64", "1e400 fits no float", floats("1e400"),
            PARSE + "Number too big to be stored in double. at offset: 37"),
    answered("below-float32", "1e-50 is 0", floats("1e-50"), {"outputs": [0.0]}),
    answered("whole-number-for-float", "a float needs no point", floats("3"), {"outputs": [3.0]}),
    refused("float-for-int64", "1.0 is no int64", row("ints", "1.0"),
            element(not_of_type("1.0", "Number", "int64"))),
    refused("exponent-for-int64", "nor is 1e3", row("ints", "1e3"),
            element(not_of_type("1000.0", "Number", "int64"))),
    answered("large-int64", "int64 beyond 2^53 is exact",
             columnar("ints", "9007199254740993,9223372036854775807,-9223372036854775808"),
             {"outputs": [9007199254740993, 2**63 - 1, -(2**63)]}),
    refused("beyond-int64", "2^63", row("ints", "9223372036854775808"),
            element(not_of_type("9223372036854775808", "Number", "int64"))),
    answered("uint8-wraps", "uint8: 256 and -1 wrap in silence", columnar("bytes8", "256,-1"),
             {"outputs": [0, 255]}),
    answered("int8-wraps", "int8: 200 wraps in silence", columnar("ints8", "200"),
             {"outputs": [-56]}),
    refused("beyond-int32", "int32 does not wrap", row("ints32", "2147483648"),
            element(not_of_type("2147483648", "Number", "int32"))),
    refused("no-half-in-columns", "in columnar form with a status of its own",
            columnar("halves", "1"), "Conversion of JSON Value: 1 to type: half", 501),
    *(refused(f"no-{name}", f"{name} has no JSON form", row(signature, "1"),
              element(f"UNIMPLEMENTED: Conversion of JSON Value: 1 to type: {name}"))
      for signature, name in (("halves", "half"), ("brains", "bfloat16"),
                              ("complexes", "complex64"))),
]  # fmt: skip


def b64(data: bytes) -> str:
    return f'{{"b64":"{base64.b64encode(data).decode()}"}}'


STRINGS = [
    answered("base64", "base64 in; base64 out only where the output's name ends in _bytes",
             row("strings", b64(b"a")),
             {"predictions": [{"t": "a", "t_bytes": {"b64": "YQ=="}}]}),
    answered("plain-string", "a plain string in", columnar("strings", '"a"'),
             {"outputs": {"t": ["a"], "t_bytes": [{"b64": "YQ=="}]}}),
    answered("any-bytes", "bytes that are no UTF-8 come out as they are",
             columnar("strings", b64(b"\xff")),
             pattern('…\n        "t": [\n            "\udcff"\n        ]…')),
    refused("bad-base64", "what is no base64", row("strings", '{"b64":"***"}'),
            element("INVALID_ARGUMENT: Unable to base64 decode")),
]  # fmt: skip


@each(DOCUMENTS)
def test_documents(endpoint, case):
    case.check(endpoint)


@each(NUMBERS)
def test_numbers(endpoint, case):
    case.check(endpoint)


@each(STRINGS)
def test_strings(endpoint, case):
    case.check(endpoint)
