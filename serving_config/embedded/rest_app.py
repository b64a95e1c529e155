"""The REST side of the host: paths, bodies and errors as the stock server has them."""

from __future__ import annotations

import asyncio
import re
import zlib
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from serving_config.embedded.core import DEFAULT_SIGNATURE, Core
from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.json_reader import read_body
from serving_config.embedded.json_tensors import columnar_inputs
from serving_config.embedded.json_text import error_body, quoted
from serving_config.embedded.json_writer import columnar_reply
from serving_config.errors import HTTP_STATUS_OF_CODE
from serving_config.status import VersionStatus
from serving_config.wire import ModelQuery

_JSON = "application/json"
_API_PATH = re.compile(r"/v1/.*", re.IGNORECASE)
_WHICH = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_POST_PATH = re.compile(
    rf"/v1/models/(?P<model>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)",
    re.IGNORECASE | re.ASCII,
)
_GET_PATH = re.compile(
    rf"/v1/models(?:/(?P<model>[^/:]+))?{_WHICH}(?:/(?P<method>metadata))?",
    re.IGNORECASE | re.ASCII,
)
_NOT_FOUND_PAGE = (
    "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n"
    "</BODY></HTML>\n"
)
_INT64_MAX = 2**63 - 1
_LARGEST_BODY = 2**31 - 1


@dataclass(frozen=True)
class _Target:
    """What a path means."""

    query: ModelQuery
    method: str


class _EmptyRefusalError(Exception):
    """A 400 without a body: the stock server forgets to write one here."""


def rest_app(core: Core, threads: Executor, timeout: float) -> Starlette:
    """The ASGI application.

    Args:
      core: What answers.
      threads: Where JSON and TensorFlow work, so that the event loop stays free.
      timeout: Seconds until a request is answered with 504.
    """

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        body = await request.body()
        path = _path_and_query(scope)
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(threads, _respond, core, request, path, body)
        try:
            response = await asyncio.wait_for(work, timeout)
        except asyncio.TimeoutError:
            late = StatusError("DEADLINE_EXCEEDED", "Timed out waiting for notification")
            response = _refusal(late)
        await response(scope, receive, send)

    return Starlette(routes=[Mount("/", app=endpoint)])


def _path_and_query(scope: Any) -> str:
    """The path as it was sent; the stock server takes a query as part of the model's name."""
    path = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _respond(core: Core, request: Request, path: str, body: bytes) -> Response:
    """The whole answer to a request whose body has been read."""
    if not _API_PATH.fullmatch(path):
        return Response(_NOT_FOUND_PAGE, 404, media_type="text/html")
    if request.method == "OPTIONS":
        allowed = re.search("https?://", request.headers.get("origin", ""))
        return Response(b"", 200 if allowed else 400, media_type="text/html")
    try:
        target = _target(request.method, path)
        if target.method == "predict":
            return _predict(core, target.query, _plain(request, body))
        if target.method == "status":
            return Response(status_body(core.statuses(target.query)), media_type=_JSON)
        raise StatusError(
            "UNIMPLEMENTED", f"the embedded host does not serve {target.method} requests"
        )
    except _EmptyRefusalError:
        return Response(b"", 400, media_type=_JSON)
    except StatusError as error:
        return _refusal(error)


def _refusal(error: StatusError) -> Response:
    return Response(error_body(error.text), HTTP_STATUS_OF_CODE[error.code], media_type=_JSON)


def _target(http_method: str, path: str) -> _Target:
    """What is asked for.

    Raises:
      StatusError: The path or the method is none of the API's.
      _EmptyRefusalError: The version does not fit 64 bits.
    """
    pattern = {"POST": _POST_PATH, "GET": _GET_PATH}.get(http_method)
    match = pattern.fullmatch(path) if pattern is not None else None
    if match is None:
        raise invalid_argument(f"Malformed request: {http_method} {path}")
    version = int(match["version"]) if match["version"] else None
    if version is not None and version > _INT64_MAX:
        raise _EmptyRefusalError
    label = unquote(match["label"]) if match["label"] else None
    query = ModelQuery(unquote(match["model"] or ""), version=version, label=label)
    if not query.name:
        raise invalid_argument("Missing model name in request.")
    return _Target(query, (match["method"] or "status").lower())


def _plain(request: Request, body: bytes) -> bytes:
    """The body after undoing `Content-Encoding: gzip`."""
    if request.headers.get("content-encoding", "").lower() != "gzip":
        return body
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(body, _LARGEST_BODY)
    except zlib.error as error:
        raise invalid_argument(f"the body is not gzip: {error}") from error
    if inflater.unconsumed_tail:
        raise StatusError("RESOURCE_EXHAUSTED", f"the body exceeds {_LARGEST_BODY} bytes")
    return plain


def _predict(core: Core, query: ModelQuery, body: bytes) -> Response:
    parsed = read_body(body)
    servable = core.servable(query)
    key = parsed.signature or DEFAULT_SIGNATURE
    if key not in servable.signatures:
        raise invalid_argument(f'Serving signature name: "{key}" not found in signature def')
    signature = servable.signatures[key]
    if not signature.inputs:
        name = parsed.signature or "DEFAULT"
        raise invalid_argument(f"Failed to get input map for signature: {name}")
    inputs = columnar_inputs(signature, parsed.inputs())
    asked = ModelQuery(query.name, version=query.version, label=query.label, signature=key)
    _, outputs = core.predict(asked, inputs)
    return Response(columnar_reply(outputs), media_type=_JSON)


def status_body(versions: list[tuple[int, VersionStatus]]) -> str:
    """The body of a status reply: one space a level, as the protobuf library prints it."""
    entries = [
        f'  {{\n   "version": "{version}",\n   "state": "{status.state}",\n   "status": {{\n'
        f'    "error_code": "{status.error_code}",\n'
        f'    "error_message": {quoted(status.error_message)}\n   }}\n  }}'
        for version, status in versions
    ]
    joined = ",\n".join(entries)
    return f'{{\n "model_version_status": [\n{joined}\n ]\n}}\n'
