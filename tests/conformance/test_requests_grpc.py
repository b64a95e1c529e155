"""Predict over gRPC: what is refused, in which words, and what is surprisingly answered."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from .cases import (
    F32,
    F64,
    FAILED,
    I64,
    INVALID,
    MISSING,
    NODE,
    GrpcCase,
    each,
    matches,
    pattern,
    predict,
    tensor,
)

ROW = F32([[1, 2, 3]])
IMGS = np.arange(8, dtype=F32).reshape(1, 2, 2, 2)
NAN, INF = np.nan, np.inf
LOWEST = np.iinfo(np.int64).min
SIZE = "input size does not match signature: "
NOT_FOUND = "Servable not found for request: "

SERVABLES = [
    GrpcCase("unknown-model", "a model that is not hosted",
             predict("matrix", model="nope", x=ROW), MISSING, NOT_FOUND + "Latest(nope)"),
    GrpcCase("unknown-version", "a version that is not loaded",
             predict("matrix", version=9, x=ROW), MISSING, NOT_FOUND + "Specific(m, 9)"),
    GrpcCase("negative-version", "version -1",
             predict("matrix", version=-1, x=ROW), MISSING, NOT_FOUND + "Specific(m, -1)"),
    GrpcCase("empty-model-name", "a model spec without a name",
             predict("matrix", model="", x=ROW), INVALID, "ModelSpec has no name specified."),
    GrpcCase("no-model-spec", "no model spec at all",
             predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
    GrpcCase("unknown-label", "a label that nobody assigned",
             predict("matrix", label="canary", x=ROW), INVALID,
             "Unrecognized servable version label: canary"),
    GrpcCase("empty-label", "a label that is set and empty",
             predict("matrix", label="", x=ROW), INVALID,
             "Unrecognized servable version label: "),
    GrpcCase("unknown-signature", "a signature that the model lacks",
             predict("nope", x=ROW), FAILED, 'Serving signature key "nope" not found.'),
    GrpcCase("no-serving-default", "no signature asked for, and the model has no serving_default",
             predict(x=ROW), FAILED, 'Serving signature key "serving_default" not found.'),
]  # fmt: skip

NAMES = [
    GrpcCase("missing-input", "one of two inputs is missing",
             predict("two", a=ROW), INVALID,
             SIZE + "1!=2 len({a}) != len({a,b}). Sent extra: {}. Missing but required: {b}."),
    GrpcCase("no-inputs", "no inputs at all",
             predict("two"), INVALID,
             SIZE + "0!=2 len({}) != len({a,b}). Sent extra: {}. Missing but required: {a,b}."),
    GrpcCase("extra-input", "one input too many",
             predict("points", imgs=IMGS, zzz=ROW), INVALID,
             SIZE + "2!=1 len({imgs,zzz}) != len({imgs}). Sent extra: {zzz}. "
             "Missing but required: {}."),
    GrpcCase("wrong-input-name", "as many inputs as the signature has, one of another name",
             predict("points", zzz=IMGS), INVALID,
             "Signature input alias: imgs(feed name: points_imgs:0) not found in request and no "
             "default value provided. Inputs expected to be in the request {zzz}, or default "
             "input alias set: "),
    GrpcCase("default-left-out", "an input with a default value may be left out",
             predict("defaulted", x=[1, 2]), outputs={"y": F32([0.25, 0.5])}),
    GrpcCase("default-given", "the request's value wins over the default",
             predict("defaulted", x=[1, 2], k=F32(2)), outputs={"y": F32([2, 4])}),
    GrpcCase("bogus-output", "an output filter with an unknown name",
             predict("div", x=[1], outputs=["bogus"]), INVALID,
             "output tensor alias not found in signature: bogus Outputs expected to be in the "
             "set {b,i,log,q,s}."),
    GrpcCase("repeated-output", "an output filter that names an output twice",
             predict("div", x=[1], outputs=["q", "q"]), INVALID,
             "duplicate output tensor alias: q"),
    GrpcCase("output-filter", "an output filter selects",
             predict("div", x=[1], outputs=["q", "i"]),
             outputs={"q": F32([1]), "i": I64([1])}),
]  # fmt: skip

TENSORS = [
    GrpcCase("double-for-float", "another dtype than the signature's",
             predict("matrix", x=F64([[1, 2, 3]])), INVALID,
             "Expects arg[0] to be float but double is provided"),
    GrpcCase("float-for-int64", "float for int64",
             predict("ints", x=F32([1])), INVALID,
             "Expects arg[0] to be int64 but float is provided"),
    GrpcCase("rank-3-for-rank-4", "a lower rank is not checked: the graph runs and fails",
             predict("points", imgs=IMGS[0]), INVALID,
             pattern("slice index 3 of dimension 0 out of bounds." + NODE)),
    GrpcCase("rank-5-for-rank-4", "nor is a higher rank",
             predict("points", imgs=np.zeros([1, 2, 2, 4, 2], F32)), INVALID,
             pattern("Input to reshape is a tensor with 32 values, but the requested shape has "
                     "16" + NODE)),
    GrpcCase("width-4-for-width-3", "[1,4] for a [None,3] signature is answered",
             predict("matrix", x=F32([[1, 2, 3, 4]])), outputs={"y": F32([[1, 2, 3, 4]])}),
    GrpcCase("width-3-for-width-4", "[2,3] for a [None,4] signature is answered",
             predict("refine", imgs=IMGS, peaks=np.zeros([2, 3], F32), delta=F32(1)),
             outputs={"refined": np.full([2, 3], 7, F32)}),
    GrpcCase("width-checked-in-the-graph", "only tf.ensure_shape refuses a wrong width",
             predict("checked", x=F32([[1, 2, 3, 4]])), INVALID,
             pattern("Shape of tensor _arg_… [1,4] is not compatible with expected shape "
                     "[?,3]." + NODE)),
    GrpcCase("two-batch-sizes", "inputs of 1 and 2 rows: each output keeps its own size",
             predict("two", a=ROW, b=F32([[4, 5, 6], [7, 8, 9]])),
             outputs={"y": ROW, "z": F32([[8, 10, 12], [14, 16, 18]])}),
    GrpcCase("short-content", "fewer bytes than the shape says",
             predict("points", imgs=tensor(IMGS, tensor_content=b"1234")), INVALID,
             "tensor parsing error: imgs"),
    GrpcCase("size-minus-1", "a dimension of size -1",
             predict("points", imgs=tensor(IMGS, sizes=[-1, 2, 2, 2])), INVALID,
             "tensor parsing error: imgs"),
    GrpcCase("unknown-rank", "a shape of unknown rank: eight values for a scalar",
             predict("points", imgs=tensor(IMGS, unknown_rank=True, sizes=[])), INVALID,
             "tensor parsing error: imgs"),
    GrpcCase("unknown-rank-beside-sizes", "unknown_rank is ignored where there are sizes",
             predict("matrix", x=tensor(ROW, unknown_rank=True)), outputs={"y": ROW}),
    GrpcCase("empty-batch", "zero samples: answered with zero samples",
             predict("div", x=np.zeros([0], F32)),
             outputs={"q": F32([]), "log": F32([]), "i": I64([]), "b": np.array([], bool),
                      "s": np.array([], object)}),
    GrpcCase("nan-and-infinities", "NaN and infinities pass; as int64 they are the lowest number",
             predict("div", x=[0, -1, NAN], outputs=["q", "log", "i"]),
             outputs={"q": F32([INF, -1, NAN]), "log": F32([-INF, NAN, NAN]),
                      "i": I64([LOWEST, -1, LOWEST])}),
    GrpcCase("scalars", "rank-0 inputs and a rank-0 output",
             predict("scal", a=F32(2), n=I64(3)), outputs={"y": F32(6)}),
    GrpcCase("vector-for-scalar", "a [1]-vector for a scalar is answered",
             predict("scal", a=F32([2]), n=I64([3])), outputs={"y": F32([6])}),
    GrpcCase("scalar-output", "a rank-0 output",
             predict("total", x=[1, 2]), outputs={"y": F32(3)}),
    GrpcCase("uneven-outputs", "outputs of different 0th dimension",
             predict("uneven", x=[1, 2]), outputs={"y": F32([1, 2]), "z": F32([1])}),
    GrpcCase("float16", "float16 works over gRPC",
             predict("halves", x=np.float16([1.5])), outputs={"y": np.float16([1.5])}),
    GrpcCase("bfloat16", "bfloat16 works over gRPC",
             predict("brains", x=np.array([1.5], tf.bfloat16.as_numpy_dtype)),
             outputs={"y": np.array([1.5], tf.bfloat16.as_numpy_dtype)}),
    GrpcCase("complex64", "complex64 works over gRPC",
             predict("complexes", x=np.complex64([1 + 2j])), outputs={"y": np.complex64([1 + 2j])}),
    GrpcCase("strings", "byte strings, any bytes",
             predict("strings", t=np.array([b"a", b"\xff"], object)),
             outputs={name: np.array([b"a", b"\xff"], object) for name in ("t", "t_bytes")}),
]  # fmt: skip


@each([*SERVABLES, *NAMES, *TENSORS])
def test_predict(endpoint, case):
    case.check(endpoint)


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("/tensorflow.serving.PredictionService/Predict", "INTERNAL"),
        ("/tensorflow.serving.PredictionService/Nope", "UNIMPLEMENTED"),
        ("/grpc.health.v1.Health/Check", "UNIMPLEMENTED"),
    ],
    ids=["undecodable-bytes", "unknown-method", "health-service-is-off"],
)
def test_refused_without_a_text(endpoint, method, code):
    reply = endpoint.grpc(method, b"\xff\xff")
    assert (reply.code, reply.text) == (code, "")


@pytest.mark.parametrize(
    ("request_message", "spec"),
    [
        (predict("total", x=[1]), ("m", 1, "total")),
        (predict(model="d", x=[1]), ("d", 1, "serving_default")),
        (predict("", model="d", x=[1]), ("d", 1, "serving_default")),
        (predict(model="a", label="stable", x=[1]), ("a", 1, "serving_default")),
    ],
    ids=["named-signature", "no-signature", "empty-signature", "label"],
)
def test_the_reply_names_what_answered(endpoint, request_message, spec):
    reply = endpoint.predict(request_message).message.model_spec
    assert (reply.name, reply.version.value, reply.signature_name) == spec
    assert not reply.version_label, "the label is not echoed"


def test_outputs_come_as_typed_lists(endpoint):
    outputs = endpoint.predict(predict("div", x=[1, 2])).message.outputs
    assert list(outputs["q"].float_val) == [1, 0.5]
    assert list(outputs["i"].int64_val) == [1, 0]
    assert list(outputs["b"].bool_val) == [True, True]
    assert list(outputs["s"].string_val) == [b"positive", b"positive"]
    assert not any(proto.tensor_content for proto in outputs.values())


def test_the_clients_deadline(endpoint):
    reply = endpoint.predict(predict("slow", ms=I64(1000)), seconds=0.2)
    assert (reply.code, reply.text) == ("DEADLINE_EXCEEDED", "Deadline Exceeded")


def test_the_clients_default_limit_is_4_mib(endpoint):
    reply = endpoint.predict(predict("floats", x=np.zeros([1_100_000], F32)))
    text = pattern("…Received message larger than max (4400… vs. 4194304)…")
    assert reply.code == "RESOURCE_EXHAUSTED"
    assert matches(reply.text, text), reply.text


def classify() -> classification_pb2.ClassificationRequest:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "m", "total"
    request.input.example_list.examples.add().features.feature["x"].float_list.value.append(1)
    return request


def regress() -> regression_pb2.RegressionRequest:
    return regression_pb2.RegressionRequest.FromString(classify().SerializeToString())


def infer(method: str) -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest(input=classify().input)
    request.tasks.add(model_spec=classify().model_spec, method_name=f"tensorflow/serving/{method}")
    return request


@pytest.mark.parametrize(
    ("method", "request_message", "kind"),
    [
        ("Classify", classify(), "classification"),
        ("Regress", regress(), "regression"),
        ("MultiInference", infer("classify"), "classification"),
        ("MultiInference", infer("regress"), "regression"),
    ],
    ids=["classify", "regress", "multi-inference-classify", "multi-inference-regress"],
)
def test_other_methods_on_a_predict_signature(endpoint, method, request_message, kind):
    reply = endpoint.grpc(getattr(endpoint.prediction, method), request_message)
    assert reply.code == INVALID, reply
    start = f"No {kind} inputs found in SignatureDef: inputs {{"
    assert reply.text.startswith(start), reply.text
