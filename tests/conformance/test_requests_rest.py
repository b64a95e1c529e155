"""Predict over REST: models, names, row form and columnar form."""

from __future__ import annotations

from .cases import NODE, RestCase, each, pattern


def columnar(signature: str, inputs, **more) -> dict:
    return {"signature_name": signature, "inputs": inputs, **more}


def rows(signature: str, instances, **more) -> dict:
    return {"signature_name": signature, "instances": instances, **more}


NOT_FOUND = "Servable not found for request: "
NO_SIGNATURE = 'Serving signature name: "{}" not found in signature def'
ELEMENT = "Failed to process element: {} of 'instances' list. "
ELEMENT_KEY = "Failed to process element: {} key: {} of 'instances' list. Error: INVALID_ARGUMENT: "
ONLY_A = 'JSON object: {\n    "a": [1, 2, 3]\n} keys must be equal to: a,b'
D = "/v1/models/d:predict"
A, B = [1, 2, 3], [4, 5, 6]

SERVABLES = [
    RestCase("unknown-model", "a model that is not hosted", columnar("matrix", [A]), 404,
             NOT_FOUND + "Latest(nope)", path="/v1/models/nope:predict"),
    RestCase("unknown-version", "a version that is not loaded", columnar("matrix", [A]), 404,
             NOT_FOUND + "Specific(m, 9)", path="/v1/models/m/versions/9:predict"),
    RestCase("unknown-label", "a label that nobody assigned", columnar("matrix", [A]), 400,
             "Unrecognized servable version label: canary",
             path="/v1/models/m/labels/canary:predict"),
    RestCase("version", "a version by its number", columnar("total", [1, 2]), 200,
             answer={"outputs": 3.0}, path="/v1/models/m/versions/1:predict"),
    RestCase("unknown-signature", "a signature that the model lacks", columnar("nope", [A]), 400,
             NO_SIGNATURE.format("nope")),
    RestCase("no-serving-default", "no signature asked for, and the model has no serving_default",
             {"inputs": [A]}, 400, NO_SIGNATURE.format("serving_default")),
    RestCase("empty-signature-name", "an empty signature_name is the default signature",
             columnar("", [1]), 200, answer={"outputs": [2.0]}, path="/v1/models/d:predict"),
    RestCase("signature-name-number", "signature_name is not a string",
             columnar(3, [1]), 400,
             'JSON Value: {\n    "signature_name": 3,\n    "inputs": [1]\n} not formatted '
             "correctly. 'signature_name' key must be a string value."),
    RestCase("classify", ":classify on a predict signature",
             {"signature_name": "total", "examples": [{"x": 1}]}, 400,
             pattern("No classification inputs found in SignatureDef: inputs {…"),
             path="/v1/models/m:classify"),
    RestCase("regress", ":regress on a predict signature",
             {"signature_name": "total", "examples": [{"x": 1}]}, 400,
             pattern("No regression inputs found in SignatureDef: inputs {…"),
             path="/v1/models/m:regress"),
]  # fmt: skip

ROW_FORM = [
    RestCase("missing-input", "a row without one of two inputs",
             rows("two", [{"a": A}]), 400, ELEMENT.format(0) + ONLY_A),
    RestCase("extra-input", "a row with an input too many",
             rows("two", [{"a": A, "b": B, "c": A}]), 400,
             ELEMENT_KEY.format(0, "c") + "JSON object: does not have named input: c"),
    RestCase("wrong-input-name", "a row with a wrong name",
             rows("points", [{"zzz": [[[1]]]}]), 400,
             ELEMENT_KEY.format(0, "zzz") + "JSON object: does not have named input: zzz"),
    RestCase("unnamed-rows", "rows without names for two inputs", rows("two", [A]), 400,
             "instances is a plain list, but expecting list of objects as multiple input tensors "
             "required as per tensorinfo_map"),
    RestCase("different-keys", "the second row has other keys than the first",
             rows("two", [{"a": A, "b": B}, {"a": A}]), 400, ELEMENT.format(1) + ONLY_A),
    RestCase("no-rows", "an empty list of instances",
             rows("div", []), 400,
             'JSON Value: {\n    "signature_name": "div",\n    "instances": []\n} No values in '
             "'instances' array"),
    RestCase("one-empty-row", "one empty row is a tensor of shape [1, 0]",
             rows("matrix", [[]]), 200, answer={"predictions": [[]]}),
    RestCase("instances-not-a-list", "instances is a number",
             {"instances": 1}, 400,
             'JSON Value: {\n    "instances": 1\n} Expecting \'instances\' to be an list/array',
             path=D),
    RestCase("rows-of-different-length", "the second row is shorter than the first",
             rows("two", [{"a": A, "b": B}, {"a": [1, 2], "b": B}]), 400,
             ELEMENT_KEY.format(1, "a") + "Expecting tensor size: 3 but got: 2"),
    RestCase("ragged-row", "a row that is ragged in itself",
             rows("points", [[[[1], [2]], [[1]]]]), 400,
             ELEMENT.format(0) + "Error: INVALID_ARGUMENT: Encountered list at unexpected size: "
             "1 at level: 1 expected size: 2"),
    RestCase("scalars-become-vectors", "scalars in rows arrive as vectors",
             rows("scal", [{"a": 2, "n": 3}]), 200,
             answer='{\n    "predictions": [6.0\n    ]\n}'),
    RestCase("broadcast", "one image, one row of peaks, and the scalar as a [1]-vector",
             rows("refine", [{"imgs": [[[1], [2]]], "peaks": [0, 1, 2, 3], "delta": 0.5}]), 200,
             answer={"predictions": [[1.0, 2.0, 3.0, 4.0]]}),
    RestCase("scalar-output", "a scalar output has no row", rows("total", [1, 2]), 400,
             "Tensor name: y has no shape information "),
    # Which output is looked at first varies from request to request.
    RestCase("uneven-outputs", "outputs of different 0th dimension",
             rows("uneven", [1, 2]), 400,
             pattern("Tensor name: … has inconsistent batch size: … expecting: …")),
    RestCase("fewer-rows-out", "one row back for two instances: nobody minds",
             rows("first", [1, 2]), 200, answer={"predictions": [1.0]}),
    RestCase("wrong-type", "a string for a float",
             rows("floats", ["a"]), 400,
             ELEMENT.format(0) + 'Error: INVALID_ARGUMENT: JSON Value: "a" Type: String is not of '
             "expected type: float"),
    RestCase("width-4-for-width-3", "[1,4] for a [None,3] signature is answered",
             rows("matrix", [[1, 2, 3, 4]]), 200, answer={"predictions": [[1.0, 2.0, 3.0, 4.0]]}),
    RestCase("rank-3-for-rank-4", "ranks are not checked: the graph runs and fails",
             rows("points", [[[1, 2]]]), 400,
             pattern("slice index 3 of dimension 0 out of bounds." + NODE)),
    RestCase("default-left-out", "an input with a default value may not be left out",
             rows("defaulted", [{"x": 1}]), 400,
             ELEMENT.format(0) + 'JSON object: {\n    "x": 1\n} keys must be equal to: k,x'),
]  # fmt: skip

COLUMNAR_FORM = [
    RestCase("missing-input", "one of two inputs is missing", columnar("two", {"a": [A]}), 400,
             "Missing named input: b in 'inputs' object."),
    RestCase("no-inputs", "an empty object", columnar("matrix", {}), 400,
             "Missing named input: x in 'inputs' object."),
    RestCase("wrong-input-name", "a wrong name", columnar("points", {"zzz": [[[[1]]]]}), 400,
             "Missing named input: imgs in 'inputs' object."),
    RestCase("extra-input", "an input too many is ignored",
             columnar("total", {"x": [1], "zzz": 3}), 200, answer={"outputs": 1.0}),
    RestCase("unnamed-value", "a value without a name for two inputs", columnar("two", [A]), 400,
             "inputs is a plain value/list, but expecting an object as multiple input tensors "
             "required as per tensorinfo_map"),
    RestCase("empty-list", "zero samples are answered",
             columnar("matrix", []), 200, answer={"outputs": []}),
    RestCase("empty-list-of-an-input", "zero samples by name",
             columnar("div", {"x": []}), 200,
             answer={"outputs": {"q": [], "log": [], "i": [], "b": [], "s": []}}),
    RestCase("null", "inputs is null", columnar("matrix", None), 400,
             "JSON Value: null Type: Null is not of expected type: float"),
    RestCase("two-batch-sizes", "inputs of 1 and 2 rows: each output keeps its own size",
             columnar("two", {"a": [A], "b": [B, A]}), 200,
             answer={"outputs": {"y": [[1.0, 2.0, 3.0]],
                                 "z": [[8.0, 10.0, 12.0], [2.0, 4.0, 6.0]]}}),
    RestCase("scalars", "scalars stay scalars", columnar("scal", {"a": 2, "n": 3}), 200,
             answer='{\n    "outputs": 6.0\n}'),
    RestCase("scalar-output", "a scalar output", columnar("total", [1, 2]), 200,
             answer={"outputs": 3.0}),
    RestCase("uneven-outputs", "outputs of different 0th dimension",
             columnar("uneven", [1, 2]), 200, answer={"outputs": {"y": [1.0, 2.0], "z": [1.0]}}),
    RestCase("width-4-for-width-3", "[1,4] for a [None,3] signature is answered",
             columnar("matrix", [[1, 2, 3, 4]]), 200, answer={"outputs": [[1.0, 2.0, 3.0, 4.0]]}),
    RestCase("width-checked-in-the-graph", "only tf.ensure_shape refuses a wrong width",
             columnar("checked", [[1, 2, 3, 4]]), 400,
             pattern("Shape of tensor _arg_… [1,4] is not compatible with expected shape "
                     "[?,3]." + NODE)),
    RestCase("rank-5-for-rank-4", "ranks are not checked: the graph runs and fails",
             columnar("points", [[[[[1, 2], [3, 4]]]]]), 400,
             pattern("Input to reshape is a tensor with 4 values, but the requested shape has 2"
                     + NODE)),
    RestCase("default-left-out", "an input with a default value may not be left out",
             columnar("defaulted", {"x": [1]}), 400, "Missing named input: k in 'inputs' object."),
]  # fmt: skip

BODIES = [
    RestCase("neither", "neither inputs nor instances", {"signature_name": "matrix"}, 400,
             "Missing 'inputs' or 'instances' key"),
    RestCase("both", "inputs and instances", {"inputs": [A], "instances": [A]}, 400,
             'JSON Value: {\n    "inputs": [[1, 2, 3]],\n    "instances": [[1, 2, 3]]\n} Not '
             "formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ", path=D),
    RestCase("both-and-long", "of a long request only the beginning is shown",
             {"inputs": [0] * 500, "instances": [A]}, 400,
             'JSON Value: {\n    "inputs": [' + 80 * "0, " + "0 Not formatted correctly "
             "expecting only one of 'inputs' or 'instances' keys to exist ", path=D),
    RestCase("unknown-key", "an unknown key beside them is ignored",
             columnar("total", [1], zzz=[1]), 200, answer={"outputs": 1.0}),
    RestCase("output-filter", "output_filter is ignored",
             columnar("uneven", [1], output_filter=["y"]), 200,
             answer={"outputs": {"y": [1.0], "z": [1.0]}}),
]  # fmt: skip


@each(SERVABLES)
def test_servables(endpoint, case):
    case.check(endpoint)


@each(ROW_FORM)
def test_row_form(endpoint, case):
    case.check(endpoint)


@each(COLUMNAR_FORM)
def test_columnar_form(endpoint, case):
    case.check(endpoint)


@each(BODIES)
def test_bodies(endpoint, case):
    case.check(endpoint)
