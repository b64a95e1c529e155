"""What the host says about signatures, and what it refuses to do with them."""

from __future__ import annotations

import grpc
import httpx
import pytest
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving_config import ServingError
from serving_config.metadata import TensorSpec, read_metadata_reply

INVALID, MISSING = "INVALID_ARGUMENT", "NOT_FOUND"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def stub(host):
    with grpc.insecure_channel(host.grpc_address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def http(host):
    with httpx.Client(base_url=f"http://{host.rest_address}", trust_env=False) as client:
        yield client


def refused(call, request) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=10)
    return caught.value.code().name, caught.value.details()


def metadata_request(*fields, model="m", version=None, label=None):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return request


def test_the_client_reads_names_dtypes_and_shapes(grpc_client):
    found = grpc_client.signatures()
    scale = found["scale"]
    assert scale.inputs == {
        "k": TensorSpec("int64", ()),
        "x": TensorSpec("float32", (None, 3)),
    }
    assert scale.outputs == {"scaled": TensorSpec("float32", (None, 3))}
    assert found["doubles"].inputs["x"].shape is None
    assert found["text"].inputs["t"].dtype == "string"
    assert grpc_client.signatures(version=1) == found


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"model": "nope"}, r"metadata over gRPC: NOT_FOUND: .*nope"),
        ({"version": 9}, r"metadata over gRPC: NOT_FOUND: .*9"),
        ({"label": "nope"}, r"metadata over gRPC: INVALID_ARGUMENT: .*nope"),
    ],
    ids=["model", "version", "label"],
)
def test_the_client_says_what_there_is_not(grpc_client, asked, sentence):
    with pytest.raises(ServingError, match=sentence):
        grpc_client.signatures(**asked)


def test_metadata_that_is_none():
    with pytest.raises(ValueError, match="not a GetModelMetadataResponse"):
        read_metadata_reply(b"\xff")


def test_metadata_over_grpc(stub):
    reply = stub.GetModelMetadata(metadata_request("signature_def"), timeout=10)
    assert (reply.model_spec.name, reply.model_spec.version.value) == ("m", 1)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    packed = reply.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    assert packed.Unpack(signatures)
    scale = signatures.signature_def["scale"]
    assert scale.inputs["x"].name == "scale_x:0"
    assert [dim.size for dim in scale.inputs["x"].tensor_shape.dim] == [-1, 3]
    assert scale.defaults["k"].int64_val == [3]
    assert scale.method_name == "tensorflow/serving/predict"
    assert "__saved_model_init_op" in signatures.signature_def


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (metadata_request(), INVALID,
         "GetModelMetadataRequest must specify at least one metadata_field"),
        (metadata_request("signature_def", "bogus"), INVALID,
         "Metadata field bogus is not supported"),
        (get_model_metadata_pb2.GetModelMetadataRequest(), INVALID, "Missing ModelSpec"),
        (metadata_request("signature_def", model="nope"), MISSING,
         "Servable not found for request: Latest(nope)"),
        (metadata_request("signature_def", version=9), MISSING,
         "Servable not found for request: Specific(m, 9)"),
        (metadata_request("signature_def", label="x"), INVALID,
         "Unrecognized servable version label: x"),
    ],
)  # fmt: skip
def test_metadata_that_is_refused(stub, message, code, text):
    assert refused(stub.GetModelMetadata, message) == (code, text)


def test_metadata_over_rest(http):
    response = http.get("/v1/models/m/metadata")
    assert response.headers["content-type"] == "application/json"
    text = response.text
    assert text.startswith(
        '{\n"model_spec":{\n "name": "m",\n "version": "1",\n "signature_name": ""\n}\n,\n'
        '"metadata": {"signature_def": {\n "signature_def": {\n  "'
    )
    assert text.endswith("\n  }\n }\n}\n}\n}\n")
    signatures = response.json()["metadata"]["signature_def"]["signature_def"]
    assert signatures["two"]["inputs"]["a"] == {
        "name": "two_a:0",
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
    }
    assert signatures["two"]["defaults"] == {}
    initialiser = signatures["__saved_model_init_op"]
    assert initialiser["method_name"] == ""
    [output] = initialiser["outputs"].values()
    assert (output["dtype"], output["tensor_shape"]["unknown_rank"]) == ("DT_INVALID", True)


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/v1/models/nope/metadata", 404, "Servable not found for request: Latest(nope)"),
        ("/v1/models/m/versions/9/metadata", 404, "Servable not found for request: Specific(m, 9)"),
        ("/v1/models/m/labels/x/metadata", 400, "Unrecognized servable version label: x"),
        ("/v1/models/m/metadata/", 400, "Malformed request: GET /v1/models/m/metadata/"),
    ],
)
def test_metadata_that_is_refused_over_rest(http, path, status, text):
    response = http.get(path)
    assert (response.status_code, response.json()) == (status, {"error": text})


NO_INPUTS = (
    'inputs found in SignatureDef: inputs {\n  key: "x"\n  value {\n    name: "i32_x:0"\n'
    "    dtype: DT_INT32\n    tensor_shape {\n      dim {\n        size: -1\n      }\n    }\n"
)


def examples_request(kind, signature, model="m", count=1):
    request = kind()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for _ in range(count):
        request.input.example_list.examples.add()
    return request


@pytest.mark.parametrize(
    ("method", "verb"), [("Classify", "classification"), ("Regress", "regression")]
)
def test_examples_for_a_predict_signature(stub, http, method, verb):
    kind = {"Classify": classification_pb2.ClassificationRequest,
            "Regress": regression_pb2.RegressionRequest}[method]  # fmt: skip
    call = getattr(stub, method)
    code, text = refused(call, examples_request(kind, "i32"))
    assert code == INVALID
    assert text.startswith(f"No {verb} {NO_INPUTS}")
    assert text.endswith('method_name: "tensorflow/serving/predict"\n')
    assert refused(call, examples_request(kind, "two")) == (INVALID, "Expected one input Tensor.")
    unknown = (INVALID, "No signature was found with the name: nope")
    assert refused(call, examples_request(kind, "nope")) == unknown
    missing = (MISSING, "Servable not found for request: Latest(nope)")
    assert refused(call, examples_request(kind, "i32", model="nope")) == missing
    assert refused(call, kind()) == (INVALID, "Missing ModelSpec")
    path = f"/v1/models/m:{method.lower()}"
    response = http.post(path, json={"signature_name": "i32", "examples": [{"a": 1}]})
    assert (response.status_code, response.json()["error"]) == (400, text)


@pytest.mark.parametrize(
    ("tasks", "code", "text"),
    [
        ([], INVALID, "ModelSpec has no name specified."),
        ([("m", "nope", CLASSIFY)], INVALID, "Requested signature not found in model graph: nope"),
        ([("m", "two", REGRESS)], INVALID, "Expected one input Tensor."),
        ([("m", "two", "other")], "UNIMPLEMENTED", "Unsupported signature method_name: other"),
        ([("nope", "two", CLASSIFY)], MISSING, "Servable not found for request: Latest(nope)"),
    ],
)
def test_several_at_once(stub, tasks, code, text):
    request = inference_pb2.MultiInferenceRequest()
    for model, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = model, signature
    assert refused(stub.MultiInference, request) == (code, text)


def quoted_body(text):
    return 'JSON Value: {\n    "signature_name": "i32"' + text


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({}, quoted_body("\n} When method is classify, key 'examples' is expected and was not found")),
        ({"examples": 1}, quoted_body(",\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array")),
        ({"examples": []}, quoted_body(",\n    \"examples\": []\n} 'examples' value is an empty array")),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [[1]]}]}, "Feature: a has element with unexpected JSON type: Array"),
        ({"examples": [{"a": [1, 2.5]}]}, "Unexpected element type in feature: a expecting type: int64"),
        ({"examples": [{"a": 2**64 - 1}]}, "Feature: a has uint64_t element. Only int64_t is supported."),
    ],
)  # fmt: skip
def test_bodies_of_examples(http, extra, text):
    response = http.post("/v1/models/m:regress", json={"signature_name": "i32", **extra})
    assert (response.status_code, response.json()) == (400, {"error": text})


def test_rows_over_rest(http):
    rows = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    response = http.post("/v1/models/m:predict", json={"signature_name": "two", "instances": rows})
    assert response.text == (
        '{\n    "predictions": [\n        {\n            "product": 2.0,\n            "sum": 3.0\n'
        '        },\n        {\n            "product": 12.0,\n            "sum": 7.0\n        }\n'
        "    ]\n}"
    )
    body = {"signature_name": "scal", "instances": [{"a": 2, "n": 3}]}
    assert (
        http.post("/v1/models/m:predict", json=body).text == '{\n    "predictions": [6.0\n    ]\n}'
    )


def test_long_texts_are_cut_over_grpc_only(stub, http):
    model = "n" * 2000
    text = f"Servable not found for request: Latest({model})"
    code, cut = refused(stub.GetModelMetadata, metadata_request("signature_def", model=model))
    assert (code, cut) == (MISSING, text[:1024] + "...TRUNCATED")
    assert http.get(f"/v1/models/{model}/metadata").json() == {"error": text}
