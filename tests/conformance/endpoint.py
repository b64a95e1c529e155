"""A running server as the suite sees it: two addresses, asked without a client of ours between.

Bytes of HTTP go out as a case wrote them, so that odd paths and bodies arrive; gRPC uses the
official stubs. Every call has a deadline.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

CALL_SECONDS = 10.0
WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class HttpReply:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body; a byte that is no UTF-8 becomes U+DC80 to U+DCFF."""
        return self.content.decode(errors="surrogateescape")

    @property
    def error(self) -> str:
        """The text of an error body, which has exactly one form."""
        error = json.loads(self.content)["error"]
        return error if self.text == f'{{\n    "error": {quoted(error)}\n}}' else self.text


@dataclass(frozen=True)
class GrpcReply:
    """What came back over gRPC; `message` is `None` where the call failed."""

    code: str
    text: str = ""
    message: Any = None


def quoted(text: str) -> str:
    """A JSON string as the stock server writes it."""
    return json.dumps(text, ensure_ascii=False)


class Endpoint:
    """The gRPC and the REST address of a server."""

    def __init__(self, grpc_address: str, rest_address: str) -> None:
        self.grpc_address = grpc_address
        self.rest_address = rest_address
        self.channel = grpc.insecure_channel(grpc_address)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def grpc(self, call: Callable[..., Any], request: Any, seconds: float = CALL_SECONDS):
        """One call of a stub's method (or of a method's path, with bytes)."""
        if isinstance(call, str):
            call = self.channel.unary_unary(call)
        try:
            return GrpcReply("OK", message=call(request, timeout=seconds))
        except grpc.RpcError as error:
            return GrpcReply(error.code().name, error.details())

    def predict(self, request: Any, seconds: float = CALL_SECONDS) -> GrpcReply:
        return self.grpc(self.prediction.Predict, request, seconds)

    def http(
        self,
        method: str,
        path: str,
        body: bytes | str | dict | list | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> HttpReply:
        """One request on a connection of its own; the path goes out as it is."""
        if isinstance(body, dict | list):
            body = json.dumps(body)
        content = body.encode() if isinstance(body, str) else body
        connection = http.client.HTTPConnection(self.rest_address, timeout=CALL_SECONDS)
        try:
            connection.request(method, path, content, dict(headers or {}), **options)
            response = connection.getresponse()
            lowered = {name.lower(): value for name, value in response.getheaders()}
            return HttpReply(response.status, lowered, response.read())
        finally:
            connection.close()

    def versions(self, model: str) -> dict[int, tuple[str, str, str]]:
        """State, error code and error message of each version; empty for an unknown model."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        reply = self.grpc(self.models.GetModelStatus, request)
        if reply.code == "NOT_FOUND":
            return {}
        assert reply.code == "OK", reply
        state_name = get_model_status_pb2.ModelVersionStatus.State.Name
        return {
            item.version: (
                state_name(item.state),
                grpc_code(item.status.error_code),
                item.status.error_message,
            )
            for item in reply.message.model_version_status
        }

    def wait_for(self, model: str, wanted: Mapping[int, str], seconds: float = WAIT_SECONDS):
        """Polls until exactly these versions are in these states; returns their full status."""
        return until(
            lambda: self.versions(model),
            lambda versions: {version: state[0] for version, state in versions.items()} == wanted,
            seconds,
        )


def grpc_code(number: int) -> str:
    """The name of a canonical status number."""
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


def until(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = WAIT_SECONDS):
    """What `look` returns as soon as it is `good`; fails when the time is over."""
    deadline = time.monotonic() + seconds
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"not so within {seconds} s; last seen: {seen}"
        time.sleep(_POLL_SECONDS)
    return seen
