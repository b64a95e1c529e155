"""The gRPC side of the host: bytes in, bytes out, on the stock server's method paths."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc

from serving_config import wire
from serving_config.embedded.core import Core
from serving_config.embedded.failures import StatusError

Behaviour = Callable[[bytes], bytes]


def start_grpc_server(core: Core, host: str, port: int, threads: int) -> grpc.Server:
    """Listens and answers.

    Args:
      core: What answers.
      host: The interface to listen on.
      port: The port to listen on.
      threads: Calls at a time; more are refused at once with RESOURCE_EXHAUSTED.

    Raises:
      RuntimeError: The port is taken.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        handlers=[_Methods(core), _UnknownMethods()],
        options=[
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            # A second server on the same port would otherwise take half of the connections.
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=threads,
    )
    if not server.add_insecure_port(f"{host}:{port}"):
        raise RuntimeError(f"Failed to bind to address {host}:{port}")
    server.start()
    return server


class _Methods(grpc.GenericRpcHandler):
    """Handlers without gRPC's serialisers, so that a reply's bytes are made only once."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._handlers = {
            wire.PREDICT_METHOD: _handler(self._predict),
            wire.GET_MODEL_STATUS_METHOD: _handler(self._status),
        }

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        """See `grpc.GenericRpcHandler`."""
        return self._handlers.get(handler_call_details.method)

    def _predict(self, message: bytes) -> bytes:
        call = _understood(wire.read_predict_request, message)
        query, outputs = self._core.predict(
            call.query, call.inputs, call.output_filter, decode=wire.array_of
        )
        return wire.predict_reply(query, outputs)

    def _status(self, message: bytes) -> bytes:
        query = _understood(wire.read_status_request, message)
        return wire.status_reply(self._core.statuses(query))


class _UnknownMethods(grpc.GenericRpcHandler):
    """Any other method: UNIMPLEMENTED without a text, as the stock server says it."""

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        """See `grpc.GenericRpcHandler`."""

        def refuse(message: bytes) -> bytes:
            raise StatusError("UNIMPLEMENTED", "")

        return _handler(refuse)


def _understood(read: Callable[[bytes], Any], message: bytes) -> Any:
    try:
        return read(message)
    except ValueError as error:
        raise StatusError("INTERNAL", "") from error


def _handler(behaviour: Behaviour) -> grpc.RpcMethodHandler:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return behaviour(message)
        except StatusError as error:
            context.abort(grpc.StatusCode[error.code], error.text)
            raise AssertionError("abort does not return") from error

    return grpc.unary_unary_rpc_method_handler(answer)
