"""Wire messages: arrays survive, and hand-made bytes equal the official library's."""

from __future__ import annotations

import contextlib

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_config import wire
from serving_config.framing import packed_payload, tensor_parts
from serving_config.tensor_types import TENSOR_TYPES
from serving_config.wire import ModelQuery

from .tensors import arrays, official, same_bits, tensor


@pytest.mark.parametrize("kind", TENSOR_TYPES, ids=lambda kind: kind.name)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_replies_equal_the_official_bytes_and_come_back(kind, data):
    from tensorflow_serving.apis import predict_pb2

    array = data.draw(arrays(kind))
    if kind.is_raw:
        # Protocol buffers in Python rewrite the bits of signalling NaNs.
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array).reshape(array.shape)
    reply = wire.predict_reply(ModelQuery("m", version=7, signature="s"), {"out": array})
    response = predict_pb2.PredictResponse()
    response.outputs["out"].CopyFrom(official(array, as_content=False))
    response.model_spec.name, response.model_spec.signature_name = "m", "s"
    response.model_spec.version.value = 7
    assert reply == response.SerializeToString(deterministic=True)
    outputs = wire.read_predict_reply(reply)
    assert list(outputs) == ["out"]
    assert same_bits(outputs["out"], array)
    assert outputs["out"].flags.writeable


@pytest.mark.parametrize("kind", TENSOR_TYPES, ids=lambda kind: kind.name)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_requests_equal_the_official_bytes_and_come_back(kind, data):
    from tensorflow_serving.apis import predict_pb2

    array, other = data.draw(arrays(kind)), np.float32([[1.5]])
    message = wire.predict_request(
        ModelQuery("m", label="stable", signature="s"), {"b": array, "a": other}, ("y", "x")
    )
    request = predict_pb2.PredictRequest()
    request.inputs["b"].CopyFrom(official(array, as_content=True))
    request.inputs["a"].CopyFrom(official(other, as_content=True))
    request.model_spec.name, request.model_spec.signature_name = "m", "s"
    request.model_spec.version_label = "stable"
    request.output_filter.extend(["y", "x"])
    assert message == request.SerializeToString(deterministic=True)
    call = wire.read_predict_request(message)
    assert call.query == ModelQuery("m", label="stable", signature="s")
    assert call.output_filter == ("y", "x")
    assert same_bits(wire.array_of(call.inputs["b"]), array)


def test_large_arrays_in_other_memory_orders():
    array = np.arange(3 * 70_000, dtype=np.int64).reshape(3, 70_000) - 100_000
    for view in (array, array.T, array[:, ::-2]):
        parts = tensor_parts(view, as_content=False)
        assert b"".join(parts) == official(view, as_content=False).SerializeToString()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (lambda: tensor(1, [3], float_val=[1, 2]), np.float32([1, 2, 2])),
        (lambda: tensor(1, [2, 2], float_val=[7]), np.full((2, 2), 7, np.float32)),
        (lambda: tensor(1, [2]), np.zeros(2, np.float32)),
        (lambda: tensor(1, [1], float_val=[1, 2]), np.float32([1])),
        (lambda: tensor(9, [], int64_val=[5]), np.int64(5)),
        (lambda: tensor(4, [2], int_val=[256, -1]), np.uint8([0, 255])),
        (lambda: tensor(14, [2], half_val=[0x3F80]), np.ones(2, ml_dtypes.bfloat16)),
        (lambda: tensor(7, [2], string_val=[b"a"]), np.array([b"a", b"a"], object)),
        (lambda: tensor(7, [1]), np.array([b""], object)),
        (lambda: tensor(23, [1], uint64_val=[2**64 - 1]), np.uint64([2**64 - 1])),
    ],
    ids=["last repeats", "one fills", "none is zero", "surplus", "scalar", "wraps", "bfloat16",
         "strings", "no string", "uint64"],
)  # fmt: skip
def test_values_that_the_message_only_implies(message, expected):
    assert same_bits(wire.array_of(message()), np.asarray(expected))


@pytest.mark.parametrize(
    "message",
    [
        lambda: tensor(1, [3], tensor_content=b"1234"),
        lambda: tensor(1, [-1], float_val=[1]),
        lambda: tensor(1, [2**40], float_val=[1]),
        lambda: tensor(1, [2**62, 2**62], float_val=[1]),
        lambda: tensor(1, [0, 2**62, 2**62]),
        lambda: tensor(1, [1] * 100, float_val=[1]),
        lambda: tensor(0, [1], float_val=[1]),
        lambda: tensor(20, [1]),
        lambda: tensor(7, [1], tensor_content=b"a"),
        lambda: tensor(7, [2**20], string_val=[b"a"]),
        lambda: tensor(7, [2**10], string_val=[b"a" * 2**16]),
    ],
    ids=["short content", "negative", "huge", "overflow", "empty overflow", "rank", "no type",
         "resource", "string content", "a string many times", "a long string a few times"],
)  # fmt: skip
def test_malformed_tensors(message):
    with pytest.raises(ValueError, match=r"."):
        wire.array_of(message())


def test_unknown_rank():
    message = tensor(1, [])
    message.tensor_shape.unknown_rank = True
    with pytest.raises(ValueError, match="not fully known"):
        wire.array_of(message)


def test_bytes_that_are_no_message():
    for read in (wire.read_predict_request, wire.read_predict_reply, wire.read_status_reply):
        with pytest.raises(ValueError, match="not a"):
            read(b"\xff\xff\xff")


@given(st.binary(max_size=40))
def test_scanning_never_does_worse_than_refuse(message):
    with contextlib.suppress(ValueError):
        assert len(packed_payload(message, 5)) <= len(message)


def test_status_round_trip():
    states = {
        3: wire.VersionStatus("LOADING"),
        1: wire.VersionStatus("END", "DATA_LOSS", "Can't parse /m/1/saved_model.pb"),
    }
    assert wire.read_status_reply(wire.status_reply(states.items())) == states
    query = wire.read_status_request(wire.status_request(ModelQuery("m", version=3)))
    assert query == ModelQuery("m", version=3)


def test_a_version_and_a_label_exclude_each_other():
    with pytest.raises(ValueError, match="not both"):
        wire.predict_request(ModelQuery("m", version=1, label="a"), {})


def test_every_status_code_has_a_number():
    import grpc

    from serving_config.errors import HTTP_STATUS_OF_CODE

    assert set(HTTP_STATUS_OF_CODE) == {code.name for code in grpc.StatusCode}
    for code in grpc.StatusCode:
        assert wire.code_name(code.value[0]) == code.name
