"""One case = one request, and the literal answer of the stock server 2.20.

Texts are literal; `pattern` marks those in which a node name, a path or gRPC's own wording
varies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import predict_pb2

from .endpoint import Endpoint, GrpcReply, HttpReply

F32, F64, I64 = np.float32, np.float64, np.int64
Text = str | re.Pattern[str]

INVALID, FAILED, MISSING = "INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND"
JSON_TYPE = "application/json"


def pattern(text: str) -> re.Pattern[str]:
    """A text in which `…` stands for any characters, line ends included."""
    return re.compile(".*".join(map(re.escape, text.split("…"))), re.DOTALL)


# Every error raised in the graph ends like this.
NODE = "\n\t [[{{function_node …}}{{node …}}]]"


def matches(text: str, wanted: Text) -> bool:
    """Whether a text is the wanted one, or matches the wanted pattern as a whole."""
    return text == wanted if isinstance(wanted, str) else bool(wanted.fullmatch(text))


@dataclass(frozen=True)
class GrpcCase:
    """A Predict request over gRPC.

    Attributes:
      id: Short and readable, for the command line.
      row: What the case shows, in words.
      request: The message.
      code: Canonical status name.
      text: The error's text.
      outputs: For an answer: each output's array; NaN equals NaN.
    """

    id: str
    row: str
    request: Any
    code: str = "OK"
    text: Text = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)

    def check(self, endpoint: Endpoint) -> GrpcReply:
        """Sends the request and compares what comes back."""
        reply = endpoint.predict(self.request)
        assert (reply.code, matches(reply.text, self.text)) == (self.code, True), (
            f"{self.row}\nexpected {self.code}: {self.text!r}\ngot {reply.code}: {reply.text!r}"
        )
        if reply.code == "OK":
            arrays = {name: tf.make_ndarray(proto) for name, proto in reply.message.outputs.items()}
            assert set(arrays) == set(self.outputs), self.row
            for name, wanted in self.outputs.items():
                assert same_array(arrays[name], wanted), f"{self.row}: {name} = {arrays[name]!r}"
        return reply


@dataclass(frozen=True)
class RestCase:
    """A request over REST; either `error` or `answer` says what comes back.

    Attributes:
      id: Short and readable, for the command line.
      row: What the case shows, in words.
      body: The request's body; what is no text or bytes is written as JSON.
      status: The HTTP status.
      error: The text inside the error body.
      answer: The whole body: text, pattern, or a `dict` where the order of keys varies.
      method: The HTTP method.
      path: The path, sent as it is.
      headers: Further headers of the request.
      content_type: The reply's Content-Type, without a charset.
    """

    id: str
    row: str
    body: bytes | str | dict | list | None = None
    status: int = 200
    error: Text | None = None
    answer: Text | dict | None = None
    method: str = "POST"
    path: str = "/v1/models/m:predict"
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE

    def check(self, endpoint: Endpoint) -> HttpReply:
        """Sends the request and compares what comes back."""
        reply = endpoint.http(self.method, self.path, self.body, self.headers)
        told = f"{self.row}\nexpected {self.status}: {self.error or self.answer!r}\ngot {reply}"
        assert reply.status == self.status, told
        assert reply.headers.get("content-type", "").split(";")[0] == self.content_type, told
        if self.error is not None:
            assert matches(reply.error, self.error), told
        elif isinstance(self.answer, dict):
            assert same_json(json.loads(reply.content), self.answer), told
        else:
            assert matches(reply.text, self.answer or ""), told
        return reply


def each(cases: Sequence[Any]) -> pytest.MarkDecorator:
    """Runs a test once per case, under the case's id."""
    return pytest.mark.parametrize("case", cases, ids=[case.id for case in cases])


def same_array(array: np.ndarray, wanted: Any) -> bool:
    """Whether shape, dtype and values are the wanted ones."""
    wanted = np.asarray(wanted, object if array.dtype == object else None)
    if (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
        return False
    return array.tolist() == wanted.tolist() or np.array_equal(array, wanted, equal_nan=True)


def same_json(value: Any, wanted: Any) -> bool:
    """Whether two JSON values are equal, types included: 1 is not 1.0."""
    return json.dumps(value, sort_keys=True) == json.dumps(wanted, sort_keys=True)


def predict(
    signature: str | None = None,
    *,
    model: str = "m",
    version: int | None = None,
    label: str | None = None,
    outputs: Sequence[str] = (),
    **inputs: Any,
) -> predict_pb2.PredictRequest:
    """A PredictRequest; inputs are arrays, lists (as float32) or tensor messages."""
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = model
    if signature is not None:
        request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tensor(value))
    return request


def tensor(value: Any, **changes: Any) -> TensorProto:
    """A tensor message; `changes` are fields that spoil it."""
    if isinstance(value, list | int | float):
        value = F32(value)
    proto = value if isinstance(value, TensorProto) else tf.make_tensor_proto(value)
    for name, content in changes.items():
        if name == "unknown_rank":
            proto.tensor_shape.unknown_rank = content
        elif name == "sizes":
            del proto.tensor_shape.dim[:]
            for size in content:
                proto.tensor_shape.dim.add(size=size)
        else:
            setattr(proto, name, content)
    return proto
