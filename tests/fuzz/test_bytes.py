"""Bytes that no client of ours would send: gRPC messages, tensors whose shapes lie, REST bodies.

Short: a few hundred inputs each. `--long`: 100,000 per surface.
"""

from __future__ import annotations

import gzip

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving_config import wire
from serving_config.embedded import messages
from serving_config.rest_json import predict_body

from ..families import CONTRACTS, KEYS
from .conftest import DEADLINE
from .draws import draw, mutated
from .tally import fire

SHORT, LONG = 300, 100_000
METHODS = (
    *(wire.PREDICT_METHOD,) * 6,
    *(wire.GET_MODEL_STATUS_METHOD, messages.METADATA_METHOD, messages.CLASSIFY_METHOD),
    *(messages.REGRESS_METHOD, messages.MULTI_INFERENCE_METHOD),
)
# What a server may say to nonsense. INTERNAL is how both answer bytes that are no message.
REFUSALS = {
    *("INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "INTERNAL", "UNIMPLEMENTED"),
    *("OUT_OF_RANGE",),
}
# Found here: a tensor of resources (20) with well-formed content ends the stock server, before any
# graph sees it. The README says so; the run goes on without it and its like.
DTYPES = {
    "embedded": [0, 1, 2, 3, 7, 9, 14, 20, 21, 23, 101, 103],
    "stock": [0, 1, 2, 3, 7, 9, 14, 23, 101, 103],
}
# A reply may be as large as it likes.
UNLIMITED = [("grpc.max_receive_message_length", -1)]
HUGE = [-1, -(2**63), 0, 1, 3, 2**40, 2**62, 2**63 - 1]
# The stock server makes these elements before any graph is asked: zeros, or a string of 300 bytes
# eight million times, for which the kernel ended it at 24 GB. The README says so.
SIZES = {"embedded": [*HUGE, 2**20, 2**31], "stock": HUGE}


def request_bytes(random):
    model, key = KEYS[random.integers(len(KEYS))]
    drawn = draw(random, CONTRACTS[model].signature(key), key, json=False)
    return wire.predict_request(wire.ModelQuery(model, signature=key), drawn.inputs)


def test_grpc_bytes(watched, tell, long_run):
    """Random bytes, and requests with a few bytes changed, to every method but reloading."""
    with grpc.insecure_channel(watched.server.grpc_address, UNLIMITED) as channel:
        calls = {method: channel.unary_unary(method) for method in METHODS}

        def shoot(random):
            data = request_bytes(random) if random.random() < 0.8 else random.bytes(40)
            data = mutated(random, bytes(data))
            return outcome_of(calls[METHODS[random.integers(len(METHODS))]], data)

        fire(watched, "gRPC bytes", LONG if long_run else SHORT, shoot, tell)


def outcome_of(call, data):
    try:
        reply = call(data, timeout=DEADLINE)
    except grpc.RpcError as error:
        code = error.code().name
        return code, "" if code in REFUSALS else f"{code} {error.details()} to {data!r:.300}"
    assert isinstance(reply, bytes)
    return "answered", ""


def test_tensors_that_lie(watched, tell, long_run):
    """Declared sizes that the bytes do not have, and dtypes that are none."""
    with grpc.insecure_channel(watched.server.grpc_address, UNLIMITED) as channel:
        call = channel.unary_unary(wire.PREDICT_METHOD)

        def shoot(random):
            request = predict_pb2.PredictRequest()
            request.ParseFromString(bytes(request_bytes(random)))
            tensor = request.inputs[random.choice(sorted(request.inputs))]
            was = tensor.SerializeToString()
            lies = distort(random, tensor, DTYPES[watched.kind], SIZES[watched.kind])
            changed = tensor.SerializeToString() != was
            outcome, fault = outcome_of(call, request.SerializeToString())
            # What has no elements holds nothing, whatever bytes come with it.
            empty = any(dim.size == 0 for dim in tensor.tensor_shape.dim)
            if lies and changed and not empty and outcome == "answered":
                fault = f"answered a tensor that lies: {tensor!s:.300}"
            return outcome, fault

        fire(watched, "tensors that lie", LONG if long_run else SHORT, shoot, tell)


def test_declared_terabytes_hold_up_nobody(watched):
    """With oneDNN's allocator the stock server waited ten seconds for them, and all with it."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "peak_ops"
    peaks = request.inputs["peaks"]
    request.inputs["imgs"].CopyFrom(tf.make_tensor_proto(np.ones((1, 2, 2, 1), "float32")))
    peaks.dtype = 1
    for size in (2**40, 4):
        peaks.tensor_shape.dim.add().size = size
    with grpc.insecure_channel(watched.server.grpc_address, UNLIMITED) as channel:
        call = channel.unary_unary(wire.PREDICT_METHOD)
        with pytest.raises(grpc.RpcError) as error:
            call(request.SerializeToString(), timeout=5)
    assert error.value.code().name in REFUSALS
    watched.check()


def distort(random, tensor, dtypes, sizes):
    """Changes a tensor; says whether its content certainly contradicts its shape now."""
    kind = random.integers(6)
    if kind == 0:
        tensor.tensor_shape.dim.add().size = int(random.choice(sizes))
        return tensor.tensor_shape.dim[-1].size not in (0, 1) and bool(tensor.tensor_content)
    if kind == 1 and tensor.tensor_shape.dim:
        dim = tensor.tensor_shape.dim[random.integers(len(tensor.tensor_shape.dim))]
        others = [other.size for other in tensor.tensor_shape.dim if other is not dim]
        was, dim.size = dim.size, int(random.choice(sizes))
        return dim.size != was and 0 not in others and bool(tensor.tensor_content)
    if kind == 2:
        tensor.tensor_content = tensor.tensor_content[: random.integers(40)]
        return False
    if kind == 3:
        tensor.dtype = int(random.choice(dtypes))
        return False
    if kind == 4:
        tensor.float_val.extend([1.0] * int(random.integers(1, 9)))
        return False
    tensor.tensor_shape.unknown_rank = True
    return False


def test_rest_bodies(watched, tell, long_run):
    """JSON that is none, is too deep, or says something else than it seems to."""
    url = f"http://{watched.server.rest_address}/v1/models/"
    # The stock server's parser needs stack for every level; beyond this it has no room.
    deepest = 100_000 if watched.kind == "embedded" else 1_000
    with httpx.Client(timeout=DEADLINE, trust_env=False) as http:

        def shoot(random):
            model, key = KEYS[random.integers(len(KEYS))]
            data, headers = body(random, model, key, deepest), {}
            if random.random() < 0.1:
                data = mutated(random, gzip.compress(data))
                headers["Content-Encoding"] = "gzip"
            verb = ("predict", "predict", "predict", "classify", "regress")[random.integers(5)]
            reply = http.post(f"{url}{model}:{verb}", content=data, headers=headers)
            outcome = str(reply.status_code)
            right = outcome in ("200", "400", "404", "501", "429") and (
                outcome != "200" or reply.content.lstrip()[:1] == b"{"
            )
            return outcome, "" if right else f"{reply.text!r:.200} to {data!r:.300}"

        fire(watched, "REST bodies", LONG if long_run else SHORT, shoot, tell)


def body(random, model, key, deepest):
    kind = random.integers(6)
    if kind == 0:
        depth = int(deepest ** random.random())
        pair = (b"[", b"]") if random.random() < 0.5 else (b'{"a":', b"}")
        ends = pair[1] * depth if random.random() < 0.5 else b""
        return b'{"signature_name":"%s","inputs":' % key.encode() + pair[0] * depth + b"1" + ends
    if kind == 1:
        return random.bytes(int(random.integers(60)))
    drawn = draw(random, CONTRACTS[model].signature(key), key, json=True)
    data = predict_body(key, drawn.inputs)
    if kind == 2:
        return data[:-1] + b',"%s":%s}' % (
            [b"inputs", b"instances", b"signature_name"][random.integers(3)],
            [b"[]", b"1e400", b"-1", b'"\xff"', b"[[],[1]]", b"null", b'{"x":1}'][
                random.integers(7)
            ],
        )
    if kind == 3:
        return data.replace(b'"inputs"', b'"instances"')
    return mutated(random, data)
