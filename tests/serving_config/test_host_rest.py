"""The embedded host over REST: texts, shapes and paths of the stock server."""

from __future__ import annotations

import gzip
import json

import httpx
import numpy as np
import pytest

from serving_config import InvalidReplyError, ServingError
from serving_config.tensor_types import without_subnormals

X = np.float32([[1, 2, 3]])


@pytest.fixture(scope="module")
def http(host):
    with httpx.Client(
        base_url=f"http://{host.rest_address}", timeout=10, trust_env=False
    ) as client:
        yield client


def body(text: str) -> str:
    return f'{{\n    "error": {json.dumps(text)}\n}}'


def predict(http, content, path="/v1/models/m:predict"):
    if not isinstance(content, bytes | str):
        content = json.dumps(content)
    return http.post(path, content=content)


PREDICT_ROWS = {
    "unknown model": ("/v1/models/nope:predict", {"inputs": [1]}, 404,
                      "Servable not found for request: Latest(nope)"),
    "unknown version": ("/v1/models/m/versions/9:predict", {"inputs": [1]}, 404,
                        "Servable not found for request: Specific(m, 9)"),
    "unknown label": ("/v1/models/m/labels/canary:predict", {"inputs": [1]}, 400,
                      "Unrecognized servable version label: canary"),
    "unknown signature": (None, {"signature_name": "nope", "inputs": [1]}, 400,
                          'Serving signature name: "nope" not found in signature def'),
    "no serving_default": (None, {"inputs": [1]}, 400,
                           'Serving signature name: "serving_default" not found in signature def'),
    "empty signature name": (
        None, {"signature_name": "", "inputs": [1]}, 400,
        'Serving signature name: "serving_default" not found in signature def'),
    "missing input": (None, {"signature_name": "two", "inputs": {"a": [1]}}, 400,
                      "Missing named input: b in 'inputs' object."),
    "no inputs": (None, {"signature_name": "same", "inputs": {}}, 400,
                  "Missing named input: x in 'inputs' object."),
    "omitted default": (None, {"signature_name": "scale", "inputs": {"x": [[1, 2, 3]]}}, 400,
                        "Missing named input: k in 'inputs' object."),
    "plain value for two inputs": (
        None, {"signature_name": "two", "inputs": [1]}, 400,
        "inputs is a plain value/list, but expecting an object as multiple input tensors "
        "required as per tensorinfo_map"),
    "null": (None, {"signature_name": "same", "inputs": None}, 400,
             "JSON Value: null Type: Null is not of expected type: float"),
    "string": (None, {"signature_name": "same", "inputs": "a"}, 400,
               'JSON Value: "a" Type: String is not of expected type: float'),
    "float for int64": (None, {"signature_name": "many", "inputs": {"n": 1.0}}, 400,
                        "JSON Value: 1.0 Type: Number is not of expected type: int64"),
    "neither": (None, {"signature_name": "same"}, 400, "Missing 'inputs' or 'instances' key"),
    "half": (None, {"signature_name": "half", "inputs": [1]}, 501,
             "Conversion of JSON Value: 1 to type: half"),
    "not json": (None, "not json", 400, "JSON Parse error: Invalid value. at offset: 1"),
    "empty": (None, "", 400, "JSON Parse error: The document is empty"),
    "truncated": (
        None, '{"instances":[1,2', 400,
        "JSON Parse error: Missing a comma or ']' after an array element. at offset: 17"),
    "list": (None, [1, 2], 400, "JSON Value: [1, 2] Is not object"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "content", "status", "text"), PREDICT_ROWS.values(), ids=PREDICT_ROWS
)
def test_refused_with_the_stock_servers_text(http, path, content, status, text):
    response = predict(http, content, path or "/v1/models/m:predict")
    assert (response.status_code, response.text) == (status, body(text))
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/v1/models", 400, body("Missing model name in request.")),
        ("GET", "/v1/models/nope", 404, body("Could not find any versions of model nope")),
        ("GET", "/v1/models/m/versions/9", 404, body("Could not find version 9 of model m")),
        ("GET", "/v1/models/m?x=1", 404, body("Could not find any versions of model m?x=1")),
        ("GET", "/v1/models/m:predict", 400, body("Malformed request: GET /v1/models/m:predict")),
        ("PUT", "/v1/models/m:predict", 400, body("Malformed request: PUT /v1/models/m:predict")),
        ("DELETE", "/v1/models/m", 400, body("Malformed request: DELETE /v1/models/m")),
        ("POST", "/v1/models/m", 400, body("Malformed request: POST /v1/models/m")),
        ("POST", "/v1/models/m:no", 400, body("Malformed request: POST /v1/models/m:no")),
        ("GET", "/v1/models/m/", 400, body("Malformed request: GET /v1/models/m/")),
        ("GET", "/v1/models/m/versions/abc", 400,
         body("Malformed request: GET /v1/models/m/versions/abc")),
        ("GET", "/v1/models/m/versions/99999999999999999999", 400, ""),
        ("HEAD", "/v1/models/m", 400, ""),
        ("OPTIONS", "/v1/models/m", 400, ""),
        ("GET", "/foo", 404, "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n"
                             "<H1>Not Found</H1>\n</BODY></HTML>\n"),
    ],
)  # fmt: skip
def test_paths(http, method, path, status, text):
    response = http.request(method, path)
    assert (response.status_code, response.text) == (status, text)


def test_preflight(http):
    response = http.options("/v1/models/m:predict", headers={"Origin": "https://lab"})
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/v1/models/m", "/v1/models/m/versions/1", "/v1/models/m/labels/any", "/V1/Models/%6d"]
)
def test_status(http, path):
    assert http.get(path).text == (
        '{\n "model_version_status": [\n  {\n   "version": "1",\n   "state": "AVAILABLE",\n'
        '   "status": {\n    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}\n'
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"signature_name": "scal", "inputs": {"a": 2, "n": 3}}, '{\n    "outputs": 6.0\n}'),
        ({"signature_name": "same", "inputs": []}, '{\n    "outputs": []\n}'),
        ('{"signature_name":"same","inputs":[NaN,Infinity,-Infinity,Inf]}',
         '{\n    "outputs": [\n        NaN,\n        Infinity,\n        -Infinity,\n'
         "        Infinity\n    ]\n}"),
        ({"signature_name": "same", "inputs": [1e39], "ignored": 1, "output_filter": ["x"]},
         '{\n    "outputs": [\n        Infinity\n    ]\n}'),
        ('{"signature_name":"same","inputs":{"x":1,"zzz":2}} trailing', '{\n    "outputs": 1.0\n}'),
        ({"signature_name": "two", "inputs": {"a": [1], "b": [2]}},
         '{\n    "outputs": {\n        "product": [\n            2.0\n        ],\n'
         '        "sum": [\n            3.0\n        ]\n    }\n}'),
        ({"signature_name": "ints", "inputs": {"big": [2**53 + 1], "small": [256, -1],
                                               "flag": True}},
         '{\n    "outputs": {\n        "big": [\n            9007199254740993\n        ],\n'
         '        "flag": true,\n        "small": [\n            0,\n            255\n'
         "        ]\n    }\n}"),
        ({"signature_name": "text", "inputs": ["a"]},
         '{\n    "outputs": {\n        "t": [\n            "a"\n        ],\n        "t_bytes": [\n'
         '            {\n                "b64": "YQ=="\n            }\n        ]\n    }\n}'),
    ],
)  # fmt: skip
def test_answers(http, content, text):
    response = predict(http, content)
    assert (response.status_code, response.text) == (200, text)
    assert response.headers["content-type"] == "application/json"


def test_errors_of_the_graph_are_the_runtimes(http):
    content = {"signature_name": "scale", "inputs": {"x": [[1, 2, 3]], "k": 500}}
    response = predict(http, content)
    text = json.loads(response.text)["error"]
    assert response.status_code == 400
    assert text.startswith("assertion failed: [k: must be below 100; got] [500]\n\t [[{{")
    assert text.endswith("}}]]")


def test_gzip_bodies(http):
    content = gzip.compress(b'{"signature_name":"same","inputs":1}')
    response = http.post(
        "/v1/models/m:predict", content=content, headers={"Content-Encoding": "gzip"}
    )
    assert response.text == '{\n    "outputs": 1.0\n}'
    response = http.post("/v1/models/m:predict", content=b"x", headers={"Content-Encoding": "gzip"})
    assert response.status_code == 400


def test_float32_comes_back_bit_for_bit_but_for_subnormals(rest_client):
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, np.uint32)
    array = bits.view(np.float32).reshape(100, 200)
    array[np.isnan(array)] = np.nan
    result = rest_client.predict("same", {"x": array})["outputs"].astype(np.float32)
    assert np.array_equal(result, without_subnormals(array), equal_nan=True)
    zeros = rest_client.predict("same", {"x": np.float32([0.0, -0.0])})["outputs"]
    assert np.signbit(zeros).tolist() == [False, True]


def test_client_errors(rest_client):
    with pytest.raises(ServingError) as caught:
        rest_client.predict("scale", {"x": X, "k": np.int64(500)})
    assert caught.value.sentence == "k: must be below 100; got 500"
    assert (caught.value.code, caught.value.http_status) == ("INVALID_ARGUMENT", 400)
    with pytest.raises(ServingError, match="Could not find version 9 of model m"):
        rest_client.status(version=9)
    assert rest_client.status()[1].is_available
    assert not isinstance(caught.value, InvalidReplyError)
