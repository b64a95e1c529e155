"""The gRPC client: numpy in, numpy out, a deadline on every call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from serving_config.addresses import AddressError, target_of
from serving_config.channel import given_up_note, open_channel
from serving_config.checks import (
    DEFAULT_MODEL,
    DEFAULT_TIMEOUT,
    LONGEST_TIMEOUT,
    Checks,
    checked_inputs,
    reply_fault,
)
from serving_config.errors import InvalidReplyError, ServingError
from serving_config.retries import RETRIED_CODES, Retries, RetryCount
from serving_config.status import VersionStatus
from serving_config.tls import ClientTls, hint_of_failure
from signatures.contract import DEFAULT_SIGNATURE, MODELS, ModelContract

if TYPE_CHECKING:
    from serving_config.metadata import SignatureSpec

TRANSPORT = "gRPC"
# What its errors name in a signature's place.
_METADATA = "metadata"


class GrpcClient:
    """Queries model servers over gRPC. Usable from several threads and as a context manager.

    Requests to several servers are spread over those that answer (`round_robin`). A request that
    is refused for want of capacity (RESOURCE_EXHAUSTED), or whose server goes away
    (UNAVAILABLE), is sent again to the next, in at most five attempts within its deadline.
    Not saved are requests of more than 256 MiB, those whose reply has begun to arrive, and those
    that a server which hangs keeps until their deadline.

    Args:
      address: `HOST:PORT`, a sequence of them, or `dns:///NAME:PORT` for all servers that a name
        stands for.
      model: The servable that is asked unless a call names another.
      timeout: Seconds until a call without its own timeout fails with DEADLINE_EXCEEDED.
      contracts: By servable name, what requests and replies are checked against.
      tls: How to speak TLS; without it, requests travel in the clear.

    Raises:
      TlsError: A file of `tls` cannot be used.
      AddressError: An address is none, or one of several is a name that is not known.
    """

    transport = TRANSPORT
    keeps_subnormals = True

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        model: str = DEFAULT_MODEL,
        timeout: float = DEFAULT_TIMEOUT,
        contracts: Mapping[str, ModelContract] = MODELS,
        tls: ClientTls | None = None,
    ) -> None:
        from serving_config import metadata, wire

        self.address = address
        self.model = model
        self.timeout = timeout
        self._wire = wire
        self._metadata = metadata
        self._checks = Checks(contracts)
        self._tls = tls
        self._target = target_of(address)
        self._count = RetryCount(lambda: open_channel(self._target, tls), self._target.text)
        self._channel = self._count.channel
        # Bytes in, bytes out: the messages are encoded and decoded in `wire` only.
        self._predict = self._channel.unary_unary(wire.PREDICT_METHOD)
        self._status = self._channel.unary_unary(wire.GET_MODEL_STATUS_METHOD)
        self._signatures = self._channel.unary_unary(metadata.METADATA_METHOD)
        self._reload = self._channel.unary_unary(wire.RELOAD_CONFIG_METHOD)

    @property
    def retries(self) -> Retries:
        """How many calls were made, and how often something was sent again.

        Totals of all threads, lower bounds where a server could not be reached at all: see
        `serving_config.retries.Retries`. After `close` what it was then.
        """
        return self._count.read()

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

    def signatures(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, SignatureSpec]:
        """What the server says about a model's signatures, by key; no contract is needed.

        Args:
          model: The servable, if not the client's.
          version: A version, if not the latest.
          label: A version's label instead of a version.
          timeout: Seconds, if not the client's.

        Raises:
          ServingError: The server refused or could not be reached in time.
        """
        name = self.model if model is None else model
        query = self._wire.ModelQuery(name, version=version, label=label)
        request = self._metadata.metadata_request(query)
        reply = self._call(self._signatures, request, _METADATA, timeout)
        try:
            return self._metadata.read_metadata_reply(reply)
        except ValueError as error:
            raise InvalidReplyError(str(error), transport=TRANSPORT, signature=_METADATA) from error

    def reload_config(self, config: str, *, timeout: float | None = None) -> None:
        """Replaces the whole list of models that the server hosts.

        The server answers when every newly listed model has a version available.

        Args:
          config: A `ModelServerConfig` as protobuf text.
          timeout: Seconds, if not the client's.

        Raises:
          ServingError: The server refuses the configuration, which is then as it was.
          AddressError: The client has several servers: only one of them would be told.
        """
        if self._target.is_spread:
            raise AddressError(
                f"a configuration goes to one server, and this client spreads over several "
                f"({self._target.text}); make a client for each"
            )
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
        deadline = min(self.timeout if timeout is None else timeout, LONGEST_TIMEOUT)
        self._count.begin()
        start = time.monotonic()
        try:
            return method(request, timeout=deadline, wait_for_ready=wait_for_ready)
        except grpc.RpcError as error:
            note = ""
            if error.code() in RETRIED_CODES:
                self._count.give_up()
                notes = (
                    hint_of_failure(error.details() or "", self._tls),
                    given_up_note(len(request), time.monotonic() - start),
                )
                note = "; ".join(filter(None, notes))
            raise ServingError(
                error.details() or "",
                code=error.code().name,
                transport=TRANSPORT,
                signature=signature,
                note=note,
            ) from error

    def close(self) -> None:
        """Closes the connection; calls in flight are cancelled."""
        self._count.read()
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
