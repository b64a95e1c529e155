"""Signatures, as GetModelMetadata and /metadata tell them."""

from __future__ import annotations

import json

import pytest
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import get_model_metadata_pb2

from .cases import INVALID, MISSING, RestCase, each, same_json

INIT_OP = "__saved_model_init_op"
SIGNATURE_MAP = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
D_METADATA = """{
"model_spec":{
 "name": "d",
 "version": "1",
 "signature_name": ""
}
,
"metadata": {"signature_def": {
 "signature_def": {
%s
 }
}
}
}
"""
D_DEFAULT = """  "serving_default": {
   "inputs": {
    "x": {
     "name": "serving_default_x:0",
     "dtype": "DT_FLOAT",
     "tensor_shape": {
      "dim": [
       {
        "size": "-1",
        "name": ""
       }
      ],
      "unknown_rank": false
     }
    }
   },
   "outputs": {
    "y": {
     "name": "StatefulPartitionedCall:0",
     "dtype": "DT_FLOAT",
     "tensor_shape": {
      "dim": [
       {
        "size": "-1",
        "name": ""
       }
      ],
      "unknown_rank": false
     }
    }
   },
   "method_name": "tensorflow/serving/predict",
   "defaults": {}
  }"""
D_INIT = """  "__saved_model_init_op": {
   "inputs": {},
   "outputs": {
    "__saved_model_init_op": {
     "name": "NoOp",
     "dtype": "DT_INVALID",
     "tensor_shape": {
      "dim": [],
      "unknown_rank": true
     }
    }
   },
   "method_name": "",
   "defaults": {}
  }"""


def get(name: str, what: str, path: str, status: int = 200, **more) -> RestCase:
    return RestCase(name, what, None, status, method="GET", path=path, **more)


REFUSALS = [
    get("unknown-model", "a model that is not hosted", "/v1/models/nope/metadata", 404,
        error="Servable not found for request: Latest(nope)"),
    get("unknown-version", "a version that is not loaded", "/v1/models/m/versions/9/metadata",
        404, error="Servable not found for request: Specific(m, 9)"),
    get("unknown-label", "a label that nobody assigned", "/v1/models/a/labels/nope/metadata", 400,
        error="Unrecognized servable version label: nope"),
]  # fmt: skip


@each(REFUSALS)
def test_rest_refusals(endpoint, case):
    case.check(endpoint)


def test_rest_layout(endpoint):
    reply = endpoint.http("GET", "/v1/models/d/metadata")
    assert reply.headers["content-type"] == "application/json"
    # The order of the signatures varies.
    layouts = [D_METADATA % f"{D_DEFAULT},\n{D_INIT}", D_METADATA % f"{D_INIT},\n{D_DEFAULT}"]
    assert reply.text in layouts


def tensor_info(name: str, dtype: str, *sizes: int) -> dict:
    shape = {"dim": [{"size": str(size), "name": ""} for size in sizes], "unknown_rank": False}
    return {"name": name, "dtype": dtype, "tensor_shape": shape}


def test_rest_signatures(endpoint):
    metadata = json.loads(endpoint.http("GET", "/v1/models/m/metadata").content)
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert {"points", "two", "strings", INIT_OP} < set(signatures)
    assert set(signatures["div"]["outputs"]) == {"b", "i", "log", "q", "s"}
    assert same_json(
        signatures["refine"]["inputs"],
        {
            "imgs": tensor_info("refine_imgs:0", "DT_FLOAT", -1, -1, -1, -1),
            "peaks": tensor_info("refine_peaks:0", "DT_FLOAT", -1, 4),
            "delta": tensor_info("refine_delta:0", "DT_FLOAT"),
        },
    )
    default = signatures["defaulted"]["defaults"]["k"]
    assert (default["dtype"], default["float_val"]) == ("DT_FLOAT", [0.25])
    assert default["tensor_content"] == "", "empty fields are written too"
    number = {field.name: field.number for field in TensorProto.DESCRIPTOR.fields}
    assert list(default) == sorted(default, key=number.get), "in the order of their numbers"


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/v1/models/a/metadata", "2"),
        ("/v1/models/a/versions/1/metadata", "1"),
        ("/v1/models/a/labels/stable/metadata", "1"),
    ],
    ids=["newest", "version", "label"],
)
def test_rest_version(endpoint, path, version):
    spec = json.loads(endpoint.http("GET", path).content)["model_spec"]
    assert spec == {"name": "a", "version": version, "signature_name": ""}


def ask(endpoint, *fields, name="m", version=None):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    if name is not None:
        request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    return endpoint.grpc(endpoint.prediction.GetModelMetadata, request)


FIELD = "signature_def"


@pytest.mark.parametrize(
    ("fields", "spec", "code", "text"),
    [
        ((), {}, INVALID, "GetModelMetadataRequest must specify at least one metadata_field"),
        (("bogus",), {}, INVALID, "Metadata field bogus is not supported"),
        ((FIELD,), {"name": None}, INVALID, "Missing ModelSpec"),
        ((FIELD,), {"name": "nope"}, MISSING, "Servable not found for request: Latest(nope)"),
        ((FIELD,), {"version": 9}, MISSING, "Servable not found for request: Specific(m, 9)"),
    ],
    ids=["no-field", "bogus-field", "no-model-spec", "unknown-model", "unknown-version"],
)
def test_grpc_refusals(endpoint, fields, spec, code, text):
    reply = ask(endpoint, *fields, **spec)
    assert (reply.code, reply.text) == (code, text)


def test_grpc_signatures(endpoint):
    message = ask(endpoint, FIELD).message
    spec = message.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 1, "")
    assert list(message.metadata) == [FIELD]
    assert message.metadata[FIELD].type_url == SIGNATURE_MAP
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert message.metadata[FIELD].Unpack(signatures)
    assert {"points", "two", "strings", INIT_OP} < set(signatures.signature_def)
    refine = signatures.signature_def["refine"]
    assert refine.method_name == "tensorflow/serving/predict"
    assert [dim.size for dim in refine.inputs["peaks"].tensor_shape.dim] == [-1, 4]
    assert signatures.signature_def["defaulted"].defaults["k"].float_val == [0.25]
    init = signatures.signature_def[INIT_OP].outputs[INIT_OP]
    assert (init.dtype, init.tensor_shape.unknown_rank) == (0, True)
