"""The gRPC client: numpy in, numpy out, a deadline on every call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import grpc
import numpy as np

from serving_config.checks import (
    DEFAULT_MODEL,
    DEFAULT_TIMEOUT,
    Checks,
    checked_inputs,
    reply_fault,
)
from serving_config.errors import InvalidReplyError, ServingError
from serving_config.status import VersionStatus
from signatures.contract import DEFAULT_SIGNATURE, MODELS, ModelContract

TRANSPORT = "gRPC"
_RETRIED_BYTES = 1 << 28


def channel_options() -> list[tuple[str, Any]]:
    """Channel arguments: unlimited messages, gRPC's own bounded retries, no HTTP proxy.

    A model server refuses calls beyond its threads at once with RESOURCE_EXHAUSTED; the retry
    policy backs off and tries again, at most five times and never past the call's deadline.
    """
    policy = {
        "maxAttempts": 5,
        "initialBackoff": "0.05s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    }
    config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", json.dumps(config)),
        ("grpc.per_rpc_retry_buffer_size", _RETRIED_BYTES),
        ("grpc.enable_http_proxy", 0),
        # A channel of its own: another one's long back-off after a failure must not be inherited.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]


class GrpcClient:
    """Queries a model server over gRPC. Usable from several threads and as a context manager.

    Args:
      address: `HOST:PORT`.
      model: The servable that is asked unless a call names another.
      timeout: Seconds until a call without its own timeout fails with DEADLINE_EXCEEDED.
      contracts: By servable name, what requests and replies are checked against.
    """

    transport = TRANSPORT
    keeps_subnormals = True

    def __init__(
        self,
        address: str,
        *,
        model: str = DEFAULT_MODEL,
        timeout: float = DEFAULT_TIMEOUT,
        contracts: Mapping[str, ModelContract] = MODELS,
    ) -> None:
        from serving_config import wire

        self.address = address
        self.model = model
        self.timeout = timeout
        self._wire = wire
        self._checks = Checks(contracts)
        self._channel = grpc.insecure_channel(address, options=channel_options())
        # Bytes in, bytes out: the messages are encoded and decoded in `wire` only.
        self._predict = self._channel.unary_unary(wire.PREDICT_METHOD)
        self._status = self._channel.unary_unary(wire.GET_MODEL_STATUS_METHOD)
        self._reload = self._channel.unary_unary(wire.RELOAD_CONFIG_METHOD)

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        *,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs one signature.

        Args:
          signature: The signature's key; empty means `serving_default`.
          inputs: Name to array, as the contract says. Inputs with a default may be left out;
            the server fills them in.
          model: The servable, if not the client's.
          version: A version, if not the latest.
          label: A version's label instead of a version.
          timeout: Seconds, if not the client's.

        Returns:
          Output name to array, with the contract's dtypes and shapes.

        Raises:
          InvalidInputError: The request does not fit the contract; nothing was sent.
          ServingError: The server refused or could not be reached in time.
          InvalidReplyError: The reply does not fit the contract.
        """
        name = self.model if model is None else model
        key = signature or DEFAULT_SIGNATURE
        contract = self._checks.contract(name, key)
        arrays = checked_inputs(contract, inputs)
        query = self._wire.ModelQuery(name, version=version, label=label, signature=key)
        request = self._wire.predict_request(query, arrays)
        reply = self._call(self._predict, request, key, timeout)
        try:
            outputs = self._wire.read_predict_reply(reply)
        except ValueError as error:
            raise InvalidReplyError(str(error), transport=TRANSPORT, signature=key) from error
        if contract is not None:
            fault = reply_fault(contract, contract.with_defaults(arrays), outputs)
            if fault:
                raise InvalidReplyError(fault, transport=TRANSPORT, signature=key)
        return outputs

    def status(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        timeout: float | None = None,
        wait_for_ready: bool = False,
    ) -> dict[int, VersionStatus]:
        """The states of a model's versions.

        Args:
          model: The servable, if not the client's.
          version: One version only.
          timeout: Seconds, if not the client's.
          wait_for_ready: Whether to wait for a connection until the deadline instead of failing
            at the first refused one.

        Raises:
          ServingError: NOT_FOUND for a model or version that the server has never seen.
        """
        query = self._wire.ModelQuery(self.model if model is None else model, version=version)
        request = self._wire.status_request(query)
        reply = self._call(self._status, request, "", timeout, wait_for_ready=wait_for_ready)
        try:
            return self._wire.read_status_reply(reply)
        except ValueError as error:
            raise InvalidReplyError(str(error), transport=TRANSPORT) from error

    def reload_config(self, config: str, *, timeout: float | None = None) -> None:
        """Replaces the whole list of models that the server hosts.

        The server answers when every newly listed model has a version available.

        Args:
          config: A `ModelServerConfig` as protobuf text.
          timeout: Seconds, if not the client's.

        Raises:
          ServingError: The server refuses the configuration, which is then as it was.
        """
        reply = self._call(self._reload, self._wire.reload_request(config), "", timeout)
        code, text = self._wire.read_reload_reply(reply)
        if code != "OK":
            raise ServingError(text, code=code, transport=TRANSPORT, signature="")

    def _call(
        self,
        method: Any,
        request: bytes,
        signature: str,
        timeout: float | None,
        *,
        wait_for_ready: bool = False,
    ) -> bytes:
        deadline = self.timeout if timeout is None else timeout
        try:
            return method(request, timeout=deadline, wait_for_ready=wait_for_ready)
        except grpc.RpcError as error:
            raise ServingError(
                error.details() or "",
                code=error.code().name,
                transport=TRANSPORT,
                signature=signature,
            ) from error

    def close(self) -> None:
        """Closes the connection; calls in flight are cancelled."""
        self._channel.close()

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
