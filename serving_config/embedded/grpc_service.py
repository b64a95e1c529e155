"""The gRPC side of the host: bytes in, bytes out, on the stock server's method paths."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc

from serving_config import wire
from serving_config.embedded import examples, messages
from serving_config.embedded.core import Core
from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.predict import DEFAULT_SIGNATURE, predict
from serving_config.ports import port_is_free

# A call's bytes, and whether anybody still waits for the answer.
Behaviour = Callable[[bytes, Callable[[], bool]], bytes]

# The stock server cuts texts off here.
_LONGEST_TEXT = 1024
_CUT = "...TRUNCATED"


class GrpcServer:
    """Listens and answers until it is stopped.

    Args:
      core: What answers.
      host: The interface to listen on.
      port: The port to listen on.
      threads: Calls at a time; more are refused at once with RESOURCE_EXHAUSTED.
      largest_message: Bytes of a request; larger ones are refused with RESOURCE_EXHAUSTED.
      with_health: Whether `grpc.health.v1.Health` is served.
      credentials: What TLS shows and asks for; `None` for plain text.

    Raises:
      RuntimeError: The port is taken.
      StatusError: The credentials cannot be used.
    """

    def __init__(
        self,
        core: Core,
        host: str,
        port: int,
        threads: int,
        largest_message: int,
        *,
        with_health: bool = False,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self._server = grpc.server(
            futures.ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            handlers=[_Methods(core)],
            options=[
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", largest_message),
                # A second server on the same port would otherwise take half of the connections.
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=threads,
        )
        self._health = None
        if with_health:
            from serving_config.embedded.health import Health

            self._health = Health(self._server)
        self._server.add_generic_rpc_handlers((_UnknownMethods(),))
        self._bind(host, port, credentials)

    def _bind(self, host: str, port: int, credentials: grpc.ServerCredentials | None) -> None:
        address = f"{host}:{port}"
        if credentials is None:
            if not self._server.add_insecure_port(address):
                raise RuntimeError(f"Failed to bind to address {address}")
            return
        try:
            bound = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            bound = 0
        if not bound:
            # gRPC says the same of a port that is taken and of a key that is none.
            if port_is_free(port):
                raise invalid_argument(
                    "--ssl_config_file: gRPC cannot use the key and certificates in it; expected "
                    "PEM, with the key that belongs to the certificate"
                )
            raise RuntimeError(f"Failed to bind to address {address}")

    def start(self) -> None:
        """Begins to answer."""
        self._server.start()

    def stop(self, seconds: float) -> threading.Event:
        """Refuses new calls at once, and those in flight when the time is over.

        Returns:
          An event that is set when all calls have ended.
        """
        if self._health is not None:
            self._health.drain()
        return self._server.stop(seconds)


class _Methods(grpc.GenericRpcHandler):
    """Handlers without gRPC's serialisers, so that a reply's bytes are made only once."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._handlers = {
            wire.PREDICT_METHOD: _handler(self._predict),
            messages.CLASSIFY_METHOD: _handler(self._classify),
            messages.REGRESS_METHOD: _handler(self._regress),
            messages.MULTI_INFERENCE_METHOD: _handler(self._multi_inference),
            messages.METADATA_METHOD: _handler(self._metadata),
            wire.GET_MODEL_STATUS_METHOD: _handler(self._status),
            messages.RELOAD_METHOD: _handler(self._reload),
        }

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        """See `grpc.GenericRpcHandler`."""
        return self._handlers.get(handler_call_details.method)

    def _predict(self, message: bytes, is_awaited: Callable[[], bool]) -> bytes:
        call = _understood(wire.read_predict_request, message)
        query = call.query
        with self._core.counted(query.name if query else "", "Predict", "GRPC"):
            with self._core.lease(query) as servable:
                outputs = predict(
                    servable,
                    query.signature,
                    call.inputs,
                    call.output_filter,
                    decode=wire.array_of,
                )
                version = servable.version
            if not is_awaited():
                return b""
            key = query.signature or DEFAULT_SIGNATURE
            concrete = wire.ModelQuery(query.name, version=version, signature=key)
            return wire.predict_reply(concrete, outputs)

    def _classify(self, message: bytes, is_awaited: Callable[[], bool]) -> bytes:
        request = _understood(messages.read_classify_request, message)
        with (
            self._core.counted(request.model_spec.name, "Classify", "GRPC"),
            self._core.lease(messages.query_of(request)) as servable,
        ):
            return examples.classify(servable, request).SerializeToString()

    def _regress(self, message: bytes, is_awaited: Callable[[], bool]) -> bytes:
        request = _understood(messages.read_regress_request, message)
        with (
            self._core.counted(request.model_spec.name, "Regress", "GRPC"),
            self._core.lease(messages.query_of(request)) as servable,
        ):
            return examples.regress(servable, request).SerializeToString()

    def _multi_inference(self, message: bytes, is_awaited: Callable[[], bool]) -> bytes:
        request = _understood(messages.read_multi_inference_request, message)
        query = messages.query_of(request.tasks[0]) if request.tasks else None
        with self._core.lease(query or wire.ModelQuery("")) as servable:
            return examples.multi_inference(servable, request).SerializeToString()

    def _metadata(self, message: bytes, is_awaited: Callable[[], bool]) -> bytes:
        call = _understood(messages.read_metadata_request, message)
        if call.query is not None:
            self._core.check_metadata_fields(call.fields)
        with self._core.lease(call.query) as servable:
            return messages.metadata_reply(servable)

    def _status(self, message: bytes, is_awaited: Callable[[], bool]) -> bytes:
        query = _understood(wire.read_status_request, message)
        return wire.status_reply(self._core.statuses(query))

    def _reload(self, message: bytes, is_awaited: Callable[[], bool]) -> bytes:
        entries = _understood(messages.read_reload_request, message)
        if entries is None:
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        self._core.manager.reload(entries, is_awaited)
        return messages.reload_reply()


class _UnknownMethods(grpc.GenericRpcHandler):
    """Any other method: UNIMPLEMENTED without a text, as the stock server says it."""

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        """See `grpc.GenericRpcHandler`."""

        def refuse(message: bytes, is_awaited: Callable[[], bool]) -> bytes:
            raise StatusError("UNIMPLEMENTED", "")

        return _handler(refuse)


def _understood(read: Callable[[bytes], Any], message: bytes) -> Any:
    try:
        return read(message)
    except ValueError as error:
        raise StatusError("INTERNAL", "") from error


def _handler(behaviour: Behaviour) -> grpc.RpcMethodHandler:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        if not context.is_active():
            # Its deadline passed while it waited for a thread.
            return b""
        try:
            return behaviour(message, context.is_active)
        except StatusError as error:
            context.abort(grpc.StatusCode[error.code], cut_off(error.text))
            raise AssertionError("abort does not return") from error

    return grpc.unary_unary_rpc_method_handler(answer)


def cut_off(text: str) -> str:
    """A text as the stock server sends it: at most 1024 bytes of it.

    >>> len(cut_off("x" * 1024)), cut_off("x" * 1025)[-14:]
    (1024, 'xx...TRUNCATED')
    """
    encoded = text.encode(errors="replace")
    if len(encoded) <= _LONGEST_TEXT:
        return text
    return encoded[:_LONGEST_TEXT].decode(errors="ignore") + _CUT
