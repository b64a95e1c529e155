"""The REST client: columnar JSON, numpy in, numpy out, a deadline on every call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np

from serving_config.addresses import single_address
from serving_config.checks import (
    DEFAULT_MODEL,
    DEFAULT_TIMEOUT,
    LONGEST_TIMEOUT,
    Checks,
    checked_inputs,
    reply_fault,
)
from serving_config.errors import InvalidReplyError, ServingError, code_of_http_status
from serving_config.rest_json import (
    parsed,
    predict_body,
    read_outputs,
    row_body,
)
from serving_config.status import VersionStatus
from serving_config.tls import ClientTls
from signatures.contract import (
    DEFAULT_SIGNATURE,
    MODELS,
    InvalidInputError,
    ModelContract,
    SignatureContract,
)

TRANSPORT = "REST"
ROWS_TRANSPORT = "REST rows"
HTTP, HTTPS = "http://", "https://"
_CONNECT_ATTEMPTS = 3


class RestClient:
    """Queries a model server over REST. Usable from several threads and as a context manager.

    Args:
      address: `HOST:PORT`, or `https://HOST:PORT`. One only: HTTP has no balancing of its own;
        several servers need a proxy in front, or the gRPC client.
      model: The servable that is asked unless a call names another.
      timeout: Seconds until a call without its own timeout fails with DEADLINE_EXCEEDED.
      contracts: By servable name, what requests and replies are checked against.
      rows: Ask in the row form, one JSON object per sample. Only signatures whose inputs and
        outputs all have the sample as their first axis have one.
      tls: How to speak TLS, with a proxy: the model server's own REST port has none.

    Raises:
      AddressError: The address is none.
      TlsError: A file of `tls` cannot be used.
    """

    # The stock server reads and writes JSON on threads that flush subnormals to zero.
    keeps_subnormals = False

    def __init__(
        self,
        address: str,
        *,
        model: str = DEFAULT_MODEL,
        timeout: float = DEFAULT_TIMEOUT,
        contracts: Mapping[str, ModelContract] = MODELS,
        rows: bool = False,
        tls: ClientTls | None = None,
    ) -> None:
        self.transport = ROWS_TRANSPORT if rows else TRANSPORT
        self._rows = rows
        self.address = address
        self.model = model
        self.timeout = timeout
        self._checks = Checks(contracts)
        if address.startswith(HTTPS):
            tls = tls or ClientTls()
        host_and_port = single_address(address.removeprefix(HTTPS))
        self._extensions = {"sni_hostname": tls.server_name} if tls and tls.server_name else {}
        # Environment proxies are for the web, not for a model server in the same rack.
        self._http = httpx.Client(
            base_url=f"{HTTPS if tls else HTTP}{host_and_port}",
            # Without TLS nothing is verified; httpx would load the system's authorities.
            transport=httpx.HTTPTransport(
                retries=_CONNECT_ATTEMPTS - 1, verify=tls.context() if tls else False
            ),
            trust_env=False,
        )

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

        A REST request must carry every input: those that are left out are sent with the
        contract's default. An empty tensor of rank 2 or more has no JSON form (`[]` is shape
        `[0]`): such a request is answered here from the contract, **without asking the server**,
        which also means that neither its bounds nor its being up is tested.

        Args:
          signature: The signature's key; empty means `serving_default`.
          inputs: Name to array, as the contract says.
          model: The servable, if not the client's.
          version: A version, if not the latest.
          label: A version's label instead of a version.
          timeout: Seconds, if not the client's.

        Returns:
          Output name to array, with the contract's dtypes and shapes.

        Raises:
          InvalidInputError: The request does not fit the contract or has no JSON form; nothing
            was sent.
          ServingError: The server refused or could not be reached in time.
          InvalidReplyError: The reply does not fit the contract.
        """
        name = self.model if model is None else model
        key = signature or DEFAULT_SIGNATURE
        contract = self._checks.contract(name, key)
        arrays = checked_inputs(contract, inputs)
        if contract is not None:
            arrays = contract.with_defaults(arrays)
        # An empty list has no samples to make rows of; an empty tensor of rank 2 has no JSON form.
        if any(not array.size and array.ndim > (not self._rows) for array in arrays.values()):
            return _answer_without_server(contract, key, arrays)
        try:
            body = (row_body if self._rows else predict_body)(key, arrays)
        except ValueError as error:
            raise InvalidInputError(f"{key}: {error}") from error
        path = _model_path(name, version, label) + ":predict"
        response = self._call("POST", path, key, timeout, body)
        try:
            shapes = contract.output_shapes(arrays) if contract is not None else {}
            outputs = read_outputs(response, contract, shapes, rows=self._rows)
            fault = reply_fault(contract, arrays, outputs) if contract is not None else None
        except ValueError as error:
            fault = str(error)
        if fault:
            raise InvalidReplyError(fault, transport=TRANSPORT, signature=key, http_status=200)
        return outputs

    def status(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        timeout: float | None = None,
    ) -> dict[int, VersionStatus]:
        """The states of a model's versions.

        Args:
          model: The servable, if not the client's.
          version: One version only.
          timeout: Seconds, if not the client's.

        Raises:
          ServingError: NOT_FOUND for a model or version that the server has never seen.
        """
        path = _model_path(self.model if model is None else model, version, None)
        response = self._call("GET", path, "", timeout)
        try:
            return {
                int(entry["version"]): VersionStatus(
                    state=entry["state"],
                    error_code=entry["status"]["error_code"],
                    error_message=entry["status"]["error_message"],
                )
                for entry in parsed(response)["model_version_status"]
            }
        except (ValueError, KeyError, TypeError) as error:
            fault = f"no model status: {response[:200]!r}"
            raise InvalidReplyError(fault, transport=TRANSPORT, http_status=200) from error

    def _call(
        self,
        method: str,
        path: str,
        signature: str,
        timeout: float | None,
        body: bytes | None = None,
    ) -> bytes:
        """The body of a reply with status 200, within the deadline."""
        seconds = min(self.timeout if timeout is None else timeout, LONGEST_TIMEOUT)
        deadline = time.monotonic() + seconds
        chunks = []
        headers = {"Content-Type": "application/json"} if body is not None else None
        try:
            with self._http.stream(
                method,
                path,
                content=body,
                headers=headers,
                # Each attempt to connect may be the last one that there is time for.
                timeout=httpx.Timeout(seconds, connect=seconds / _CONNECT_ATTEMPTS),
                extensions=self._extensions,
            ) as response:
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    # httpx bounds each read; a reply that trickles must end as well.
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("the reply did not end in time")
        except httpx.TimeoutException as error:
            text = f"no reply within {seconds:g} s ({error or type(error).__name__})"
            raise _failure(text, "DEADLINE_EXCEEDED", signature) from error
        except httpx.HTTPError as error:
            text = f"{self.address}: {error or type(error).__name__}"
            raise _failure(text, "UNAVAILABLE", signature) from error
        content = b"".join(chunks)
        if response.status_code != 200:
            code = code_of_http_status(response.status_code)
            text = _error_text(content, response)
            raise _failure(text, code, signature, response.status_code)
        return content

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> RestClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _model_path(model: str, version: int | None, label: str | None) -> str:
    """The path of a model, a version of it, or a label.

    Raises:
      ValueError: Both version and label were given.
    """
    path = f"/v1/models/{quote(model, safe='')}"
    if version is not None and label is not None:
        raise ValueError("a request names a version or a label, not both")
    if version is not None:
        return f"{path}/versions/{version}"
    return path if label is None else f"{path}/labels/{quote(label, safe='')}"


def _failure(text: str, code: str, signature: str, http_status: int | None = None) -> ServingError:
    return ServingError(
        text, code=code, transport=TRANSPORT, signature=signature, http_status=http_status
    )


def _error_text(content: bytes, response: httpx.Response) -> str:
    """The `error` of a body, or what there is of it."""
    try:
        body = parsed(content)
        if isinstance(body, dict) and isinstance(body.get("error"), str):
            return str(body["error"])
    except ValueError:
        pass
    text = content[:500].decode(errors="replace").strip()
    return text or f"HTTP status {response.status_code}"


def _answer_without_server(
    contract: SignatureContract | None, signature: str, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The empty outputs that the contract promises, or the refusal that it prescribes.

    Raises:
      ServingError: The contract's own rules refuse the request; `http_status` is `None`.
      InvalidInputError: Some output would not be empty, so that only a server can answer.
    """
    if contract is not None:
        refusal = contract.refusal(inputs)
        if refusal is not None:
            raise _failure(refusal, "INVALID_ARGUMENT", signature)
        shapes = contract.output_shapes(inputs)
        if all(0 in shape for shape in shapes.values()):
            return {
                tensor.name: np.zeros(shapes[tensor.name], tensor.dtype)
                for tensor in contract.outputs
            }
    empty = ", ".join(name for name, array in inputs.items() if not array.size and array.ndim > 1)
    raise InvalidInputError(
        f"{signature}: an empty tensor of rank 2 or more has no JSON form ({empty}); "
        "send this request over gRPC"
    )
