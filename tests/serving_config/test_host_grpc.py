"""The embedded host over gRPC, asked through the official stubs: the stock server's texts."""

from __future__ import annotations

import re
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving_config import ServingError

F32, I64 = np.float32, np.int64


@pytest.fixture(scope="module")
def channel(host):
    with grpc.insecure_channel(host.grpc_address) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request_of(signature=None, *, model="m", version=None, label=None, outputs=(), **inputs):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = model
    if signature is not None:
        request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for name, value in inputs.items():
        proto = value if isinstance(value, TensorProto) else tf.make_tensor_proto(value)
        request.inputs[name].CopyFrom(proto)
    return request


def refused(call, request) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=10)
    return caught.value.code().name, caught.value.details()


def broken_tensor(**fields):
    proto = tf.make_tensor_proto(F32([1, 2, 3]))
    for name, value in fields.items():
        if name == "unknown_rank":
            proto.tensor_shape.unknown_rank = value
        elif name == "dim":
            proto.tensor_shape.dim[0].size = value
        else:
            setattr(proto, name, value)
    return proto


INVALID, MISSING, FAILED = "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"
NODE = r"\n\t \[\[.*\]\]\Z"
X = F32([[1, 2, 3]])
ROWS = {
    "unknown model": (
        request_of("same", model="nope", x=X), MISSING,
        "Servable not found for request: Latest(nope)"),
    "unknown version": (
        request_of("same", version=9, x=X), MISSING,
        "Servable not found for request: Specific(m, 9)"),
    "negative version": (
        request_of("same", version=-1, x=X), MISSING,
        "Servable not found for request: Specific(m, -1)"),
    "empty model name": (
        request_of("same", model="", x=X), INVALID, "ModelSpec has no name specified."),
    "no model spec": (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
    "unknown label": (
        request_of("same", label="canary", x=X), INVALID,
        "Unrecognized servable version label: canary"),
    "empty label": (
        request_of("same", label="", x=X), INVALID, "Unrecognized servable version label: "),
    "unknown signature": (
        request_of("nope", x=X), FAILED, 'Serving signature key "nope" not found.'),
    "no serving_default": (
        request_of(x=X), FAILED, 'Serving signature key "serving_default" not found.'),
    "missing input": (
        request_of("two", a=F32([1])), INVALID,
        "input size does not match signature: 1!=2 len({a}) != len({a,b}). "
        "Sent extra: {}. Missing but required: {b}."),
    "no inputs": (
        request_of("two"), INVALID,
        "input size does not match signature: 0!=2 len({}) != len({a,b}). "
        "Sent extra: {}. Missing but required: {a,b}."),
    "extra input": (
        request_of("same", x=X, zzz=X), INVALID,
        "input size does not match signature: 2!=1 len({x,zzz}) != len({x}). "
        "Sent extra: {zzz}. Missing but required: {}."),
    "wrong input name": (
        request_of("same", zzz=X), INVALID,
        "Signature input alias: x(feed name: same_x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {zzz}, or default input alias set: "),
    "missing input beside a default": (
        request_of("scale", k=I64(1)), INVALID,
        "Signature input alias: x(feed name: scale_x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {k}, or default input alias set: k"),
    "wrong name in place of a default": (
        request_of("scale", x=X, zzz=I64(1)), INVALID,
        "Inputs contains invalid name. Used request inputs: x, request input: x,zzz"),
    "wrong dtype": (
        request_of("same", x=X.astype(np.float64)), INVALID,
        "Expects arg[0] to be float but double is provided"),
    "float for int64": (
        request_of("many", n=F32(1)), INVALID,
        "Expects arg[0] to be int64 but float is provided"),
    "string for float": (
        request_of("same", x=np.array([b"a"])), INVALID,
        "Expects arg[0] to be float but string is provided"),
    "bogus output": (
        request_of("two", a=F32([1]), b=F32([1]), outputs=["bogus"]), INVALID,
        "output tensor alias not found in signature: bogus Outputs expected to be in the set "
        "{product,sum}."),
    "repeated output": (
        request_of("two", a=F32([1]), b=F32([1]), outputs=["sum", "sum"]), INVALID,
        "duplicate output tensor alias: sum"),
    "short content": (
        request_of("same", x=broken_tensor(tensor_content=b"1234")), INVALID,
        "tensor parsing error: x"),
    "dim -1": (request_of("same", x=broken_tensor(dim=-1)), INVALID, "tensor parsing error: x"),
    "lying dim": (
        request_of("same", x=broken_tensor(dim=2**40)), INVALID, "tensor parsing error: x"),
    "unknown rank": (
        request_of("same", x=broken_tensor(unknown_rank=True)), INVALID,
        "tensor parsing error: x"),
}  # fmt: skip


@pytest.mark.parametrize(("request_message", "code", "text"), ROWS.values(), ids=ROWS)
def test_refused_with_the_stock_servers_text(stub, request_message, code, text):
    assert refused(stub.Predict, request_message) == (code, text)


@pytest.mark.parametrize(
    ("request_message", "pattern"),
    [
        (request_of("scale", x=F32([[1, 2, 3, 4]])),
         r"Shape of tensor .* \[1,4\] is not compatible with expected shape \[\?,3\]\." + NODE),
        (request_of("scale", x=X, k=I64(500)),
         r"assertion failed: \[k: must be below 100; got\] \[500\]" + NODE),
        (request_of("two", a=F32([1, 2]), b=F32([1, 2, 3])), r"Incompatible shapes.*" + NODE),
    ],
    ids=["shape", "assert", "op"],
)  # fmt: skip
def test_errors_of_the_graph_are_the_runtimes(stub, request_message, pattern):
    code, text = refused(stub.Predict, request_message)
    assert code == INVALID
    assert re.fullmatch(pattern, text, re.DOTALL), text
    assert "Graph execution error" not in text


def test_the_answer_is_typed_and_names_what_answered(stub):
    reply = stub.Predict(request_of("two", a=F32([1, 2]), b=F32([3, 4])), timeout=10)
    assert reply.model_spec.name == "m"
    assert reply.model_spec.version.value == 1
    assert reply.model_spec.signature_name == "two"
    assert set(reply.outputs) == {"sum", "product"}
    assert list(reply.outputs["sum"].float_val) == [4, 6]
    assert not reply.outputs["sum"].tensor_content


def test_output_filter(stub):
    request = request_of("two", a=F32([1]), b=F32([3]), outputs=["product"])
    assert set(stub.Predict(request, timeout=10).outputs) == {"product"}


def test_defaults_fill_in(stub):
    reply = stub.Predict(request_of("scale", x=X), timeout=10)
    assert list(reply.outputs["scaled"].float_val) == [6, 12, 18]


def test_typed_inputs_and_the_last_value_that_repeats(stub):
    proto = TensorProto(dtype=1, float_val=[1, 5])
    proto.tensor_shape.dim.add(size=4)
    reply = stub.Predict(request_of("same", x=proto), timeout=10)
    assert list(reply.outputs["same"].float_val) == [1, 5, 5, 5]


@pytest.mark.parametrize(
    ("signature", "name", "array"),
    [
        ("same", "x", F32([[1, -0.0], [np.nan, np.inf]])),
        ("same", "x", F32(3)),
        ("same", "x", np.zeros((2, 0, 3), F32)),
        ("same", "x", F32([[[1]]])),
        ("doubles", "x", np.float64([1 / 3])),
        ("half", "x", np.float16([1.5, -2])),
        ("i32", "x", np.int32([-1, 2])),
    ],
)
def test_arrays_come_back(grpc_client, signature, name, array):
    result = grpc_client.predict(signature, {name: array})["same"]
    assert (result.dtype, result.shape) == (array.dtype, array.shape)
    assert result.tobytes() == array.tobytes()


def test_bfloat16_comes_back(grpc_client):
    array = np.array([1, -2.5], tf.bfloat16.as_numpy_dtype)
    assert grpc_client.predict("brain", {"x": array})["same"].tolist() == array.tolist()


def test_integers_booleans_and_strings(grpc_client):
    big, small = I64([2**62 + 1, -(2**63)]), np.uint8([0, 255])
    outputs = grpc_client.predict("ints", {"big": big, "small": small, "flag": np.bool_(True)})
    assert outputs["big"].tolist() == big.tolist()
    assert outputs["small"].tolist() == small.tolist()
    assert outputs["flag"].shape == ()
    assert outputs["flag"] == np.True_
    texts = np.array([b"a", b"\xff\x00"], object)
    assert grpc_client.predict("text", {"t": texts})["t"].tolist() == texts.tolist()


def test_a_vector_for_a_scalar_is_the_graphs_business(grpc_client):
    outputs = grpc_client.predict("scal", {"a": F32([2]), "n": I64(3)})
    assert outputs["y"].tolist() == [6]


def test_status(grpc_client, channel):
    versions = grpc_client.status()
    assert {version: status.state for version, status in versions.items()} == {1: "AVAILABLE"}
    assert grpc_client.status(version=1)[1].is_available
    with pytest.raises(ServingError, match="Could not find version 9 of model m"):
        grpc_client.status(version=9)
    with pytest.raises(ServingError, match="Could not find any versions of model nope"):
        grpc_client.status(model="nope")
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    empty = get_model_status_pb2.GetModelStatusRequest()
    assert refused(stub.GetModelStatus, empty) == (INVALID, "Missing ModelSpec")
    labelled = get_model_status_pb2.GetModelStatusRequest()
    labelled.model_spec.name, labelled.model_spec.version_label = "m", "nobody"
    assert len(stub.GetModelStatus(labelled, timeout=10).model_version_status) == 1


def test_bytes_that_are_no_request_and_methods_that_do_not_exist(channel, stub):
    raw = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert refused(raw, b"\xff\xff") == ("INTERNAL", "")
    other = channel.unary_unary("/tensorflow.serving.PredictionService/Nope")
    assert refused(other, b"") == ("UNIMPLEMENTED", "")
    health = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert refused(health, b"") == ("UNIMPLEMENTED", "")


def test_many_threads_share_the_session(grpc_client):
    def ask(seed):
        array = np.random.default_rng(seed).normal(size=(3, 50)).astype(F32)
        return np.array_equal(grpc_client.predict("same", {"x": array})["same"], array)

    with futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(64)))


def test_messages_of_any_size(grpc_client):
    array = np.random.default_rng(0).normal(size=(1, 256, 256, 16)).astype(F32)
    assert np.array_equal(grpc_client.predict("same", {"x": array})["same"], array)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_large_reply_costs_the_host_at_most_five_times_its_size(host, grpc_client):
    def peak() -> int:
        status = Path(f"/proc/{host.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    grpc_client.predict("many", {"n": I64(10)})
    before = peak()
    ones = grpc_client.predict("many", {"n": I64(2**26)})["ones"]
    assert ones.nbytes == 2**28
    assert ones[-1] == 1
    assert peak() - before <= 5 * ones.nbytes
