"""The REST side of the host: paths, bodies and errors as the stock server has them."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from tensorflow_serving.apis import classification_pb2, regression_pb2

from serving_config.embedded import examples, messages, rest_paths
from serving_config.embedded.bodies import BodyRefusedError, HeldBytes, Pending, body_in_time
from serving_config.embedded.core import Core
from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.json_examples import classify_reply, examples_input, regress_reply
from serving_config.embedded.json_reader import read_body
from serving_config.embedded.json_rows import row_inputs, row_reply
from serving_config.embedded.json_tensors import columnar_inputs
from serving_config.embedded.json_text import error_body, quoted
from serving_config.embedded.json_writer import columnar_reply
from serving_config.embedded.predict import DEFAULT_SIGNATURE, predict
from serving_config.embedded.rest_paths import EmptyRefusalError, Target, target_of
from serving_config.errors import HTTP_STATUS_OF_CODE
from serving_config.status import VersionStatus

_JSON = "application/json"
_NOT_FOUND_PAGE = (
    "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n"
    "</BODY></HTML>\n"
)
_CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_HTML = {"Content-Type": "text/html; charset=ISO-8859-1"}


@dataclass(frozen=True)
class RestOptions:
    """How the REST side behaves.

    Attributes:
      timeout: Seconds until a request is answered with 504, `None` for never.
      allow_cross_origin: Whether the headers are sent that let other sites' pages ask.
      metrics_path: Where Prometheus reads, `None` for nowhere.
      largest_body: Bytes of a request's body, also unzipped.
      deepest_json: Lists and objects within one another.
      most_pending: Bytes of all bodies in memory.
    """

    timeout: float | None = 30.0
    allow_cross_origin: bool = False
    metrics_path: str | None = None
    largest_body: int = 1 << 28
    deepest_json: int = 100
    most_pending: int = 1 << 30


@dataclass
class _Exchange:
    """One request; `is_over` turns true when nobody waits for its answer any more."""

    request: Request
    path: str
    body: bytes
    options: RestOptions
    is_over: bool = False

    def check(self) -> None:
        """Ends work for nobody.

        Raises:
          StatusError: The answer is not awaited any more.
        """
        if self.is_over:
            raise StatusError("DEADLINE_EXCEEDED", "Timed out waiting for notification")


def rest_app(core: Core, threads: Executor, options: RestOptions) -> Starlette:
    """The ASGI application.

    Args:
      core: What answers.
      threads: Where JSON and TensorFlow work, so that the event loop stays free.
      options: How.
    """
    pending = Pending()

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        held = HeldBytes(pending, options.most_pending)
        try:
            body = await body_in_time(request, options.largest_body, options.timeout, held)
            response = await answered(request, body)
        except BodyRefusedError as refused:
            response = refused.response
        finally:
            held.let_go()
        await response(scope, receive, send)

    async def answered(request: Request, body: bytes) -> Response:
        scope = request.scope
        path = scope["raw_path"].decode("latin-1")
        full_path = _with_query(scope, path)
        if path == options.metrics_path:
            return _metrics(core, full_path, path)
        if not rest_paths.API_PATH.fullmatch(full_path):
            return Response(_NOT_FOUND_PAGE, 404, headers={"Content-Type": "text/html"})
        exchange = _Exchange(request, full_path, body, options)
        response = await _answer_in_time(core, threads, exchange)
        if options.allow_cross_origin:
            response.headers.update(_CORS_HEADERS)
        return response

    return Starlette(routes=[Mount("/", app=endpoint)])


def _with_query(scope: Any, path: str) -> str:
    """The path as it was sent; the stock server takes a query as part of the model's name."""
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _metrics(core: Core, full_path: str, path: str) -> Response:
    if full_path != path:
        text = f"Unexpected path: {full_path}. Should be {path}"
        return Response(text, 400, headers={"Content-Type": "text/plain"})
    return Response(core.metrics.page(), headers={"Content-Type": "text/plain"})


async def _answer_in_time(core: Core, threads: Executor, exchange: _Exchange) -> Response:
    loop = asyncio.get_running_loop()
    work = loop.run_in_executor(threads, _respond, core, exchange)
    try:
        return await asyncio.wait_for(work, exchange.options.timeout)
    except asyncio.TimeoutError:
        exchange.is_over = True
        # It may still stand in the queue.
        exchange.body = b""
        return _refusal(StatusError("DEADLINE_EXCEEDED", "Timed out waiting for notification"))


def _respond(core: Core, exchange: _Exchange) -> Response:
    """The whole answer to a request whose body has been read."""
    request = exchange.request
    if request.method == "OPTIONS":
        return _preflight(core, request)
    name, method = rest_paths.counted_names(request.method, exchange.path)
    try:
        with core.counted(name, method, "REST"):
            exchange.check()
            target = target_of(request.method, exchange.path)
            return Response(_METHODS[target.method](core, target, exchange), media_type=_JSON)
    except EmptyRefusalError:
        return Response(b"", 400, media_type=_JSON)
    except StatusError as error:
        return _refusal(error)


def _preflight(core: Core, request: Request) -> Response:
    try:
        with core.counted("", "", "REST"):
            if not re.search("https?://", request.headers.get("origin", "")):
                raise StatusError("FAILED_PRECONDITION", "")
    except StatusError:
        return Response(b"", 400, headers=_HTML)
    return Response(b"", headers=_HTML)


def _refusal(error: StatusError) -> Response:
    return Response(error_body(error.text), HTTP_STATUS_OF_CODE[error.code], media_type=_JSON)


def _plain(exchange: _Exchange) -> bytes:
    """The body after undoing `Content-Encoding: gzip`."""
    if exchange.request.headers.get("content-encoding", "").lower() != "gzip":
        return exchange.body
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(exchange.body, exchange.options.largest_body)
    except zlib.error as error:
        raise invalid_argument(f"the body is not gzip: {error}") from error
    if inflater.unconsumed_tail:
        raise StatusError(
            "RESOURCE_EXHAUSTED", f"the body exceeds {exchange.options.largest_body} bytes"
        )
    return plain


def _predict(core: Core, target: Target, exchange: _Exchange) -> bytes:
    parsed = read_body(_plain(exchange), exchange.options.deepest_json)
    with core.lease(target.query) as servable:
        key = parsed.signature or DEFAULT_SIGNATURE
        if key not in servable.definitions:
            raise invalid_argument(f'Serving signature name: "{key}" not found in signature def')
        if not servable.definitions[key].inputs:
            name = parsed.signature or "DEFAULT"
            raise invalid_argument(f"Failed to get input map for signature: {name}")
        signature = servable.signatures[key]
        rows = parsed.rows()
        if rows is None:
            inputs = columnar_inputs(signature, parsed.document["inputs"])
        else:
            inputs = row_inputs(signature, rows)
        exchange.check()
        outputs = predict(servable, key, inputs, timeout_ms=_milliseconds(exchange))
    exchange.check()
    return columnar_reply(outputs) if rows is None else row_reply(outputs)


def _classify(core: Core, target: Target, exchange: _Exchange) -> bytes:
    parsed = read_body(_plain(exchange), exchange.options.deepest_json)
    request = classification_pb2.ClassificationRequest(input=examples_input(parsed))
    request.model_spec.signature_name = parsed.signature
    with core.lease(target.query) as servable:
        timeout_ms = _milliseconds(exchange)
        return classify_reply(examples.classify(servable, request, timeout_ms=timeout_ms))


def _regress(core: Core, target: Target, exchange: _Exchange) -> bytes:
    parsed = read_body(_plain(exchange), exchange.options.deepest_json)
    request = regression_pb2.RegressionRequest(input=examples_input(parsed))
    request.model_spec.signature_name = parsed.signature
    with core.lease(target.query) as servable:
        timeout_ms = _milliseconds(exchange)
        return regress_reply(examples.regress(servable, request, timeout_ms=timeout_ms))


def _metadata(core: Core, target: Target, exchange: _Exchange) -> bytes:
    with core.lease(target.query) as servable:
        return messages.metadata_body(servable)


def _status(core: Core, target: Target, exchange: _Exchange) -> bytes:
    return status_body(core.statuses(target.query)).encode()


_METHODS: dict[str, Callable[[Core, Target, _Exchange], bytes]] = {
    rest_paths.PREDICT: _predict,
    rest_paths.CLASSIFY: _classify,
    rest_paths.REGRESS: _regress,
    rest_paths.METADATA: _metadata,
    rest_paths.STATUS: _status,
}


def _milliseconds(exchange: _Exchange) -> int:
    """When the runtime stops by itself, so that a late request gives its thread back."""
    return max(round(exchange.options.timeout * 1000), 1) if exchange.options.timeout else 0


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
