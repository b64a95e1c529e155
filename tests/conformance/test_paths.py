"""Paths, methods, headers and encodings of the REST interface."""

from __future__ import annotations

import gzip
import http.client
import json

import pytest

from .cases import RestCase, each

HTML = "text/html"
PAGE_404 = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
ONE = '{"signature_name":"total","inputs":[1]}'
ANSWER = '{\n    "outputs": 1.0\n}'


def malformed(name: str, what: str, method: str, path: str, body: str | None = None) -> RestCase:
    error = f"Malformed request: {method} {path}"
    return RestCase(name, what, body, 400, error, method=method, path=path)


def status_of(name: str, what: str, path: str, status: int, **more) -> RestCase:
    return RestCase(name, what, None, status, method="GET", path=path, **more)


PATHS = [
    status_of("elsewhere", "a path outside of /v1", "/foo", 404, answer=PAGE_404,
              content_type=HTML),
    status_of("root", "the root", "/", 404, answer=PAGE_404, content_type=HTML),
    status_of("no-model", "no model named", "/v1/models", 400,
              error="Missing model name in request."),
    malformed("get-predict", "GET on :predict", "GET", "/v1/models/m:predict"),
    malformed("put", "PUT", "PUT", "/v1/models/m:predict", ONE),
    malformed("delete", "DELETE", "DELETE", "/v1/models/m"),
    malformed("post-model", "POST without a verb", "POST", "/v1/models/m", ONE),
    malformed("unknown-verb", "an unknown verb", "POST", "/v1/models/m:nope", ONE),
    malformed("trailing-slash", "a slash at the end", "GET", "/v1/models/m/"),
    malformed("version-no-number", "a version that is no number", "GET",
              "/v1/models/m/versions/abc"),
    status_of("version-too-large", "a version beyond int64: an empty body",
              "/v1/models/m/versions/99999999999999999999", 400, answer=""),
    RestCase("head", "HEAD", None, 400, answer="", method="HEAD", path="/v1/models/m"),
    status_of("query", "a query is taken as part of the model's name", "/v1/models/m?x=1", 404,
              error="Could not find any versions of model m?x=1"),
    RestCase("percent", "percent encoding is decoded", ONE, answer=ANSWER,
             path="/v1/models/%6d:predict"),
    RestCase("options-without-origin", "OPTIONS without Origin", None, 400, answer="",
             method="OPTIONS", path="/v1/models/m:predict", content_type=HTML),
    RestCase("options-with-origin", "OPTIONS with Origin", None, 200, answer="",
             method="OPTIONS", path="/v1/models/m:predict",
             headers={"Origin": "https://lab.example"}, content_type=HTML),
]  # fmt: skip

BODIES = [
    RestCase("content-type-is-ignored", "any Content-Type will do", ONE, answer=ANSWER,
             headers={"Content-Type": "text/plain"}),
    RestCase("gzip", "a gzipped body", gzip.compress(ONE.encode()), answer=ANSWER,
             headers={"Content-Encoding": "gzip"}),
]  # fmt: skip


@each(PATHS)
def test_paths(endpoint, case):
    case.check(endpoint)


@each(BODIES)
def test_bodies(endpoint, case):
    case.check(endpoint)


def test_replies_are_not_compressed(endpoint):
    reply = endpoint.http("POST", "/v1/models/m:predict", ONE, {"Accept-Encoding": "gzip"})
    assert (reply.text, reply.headers.get("content-encoding")) == (ANSWER, None)


def test_chunked_body(endpoint):
    # An iterator has no length: the body goes out in chunks.
    chunks = iter([ONE[:10].encode(), ONE[10:].encode()])
    reply = endpoint.http("POST", "/v1/models/m:predict", chunks)
    assert (reply.status, reply.text) == (200, ANSWER)


@pytest.fixture
def connection(endpoint):
    connection = http.client.HTTPConnection(endpoint.rest_address, timeout=10)
    yield connection
    connection.close()


def test_http_1_0(connection):
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
    connection.request("POST", "/v1/models/m:predict", ONE)
    response = connection.getresponse()
    assert (response.status, response.read().decode()) == (200, ANSWER)


def test_keep_alive(connection):
    sockets = set()
    for _ in range(3):
        connection.request("POST", "/v1/models/m:predict", ONE)
        sockets.add(connection.sock)
        assert json.loads(connection.getresponse().read()) == {"outputs": 1.0}
    assert len(sockets) == 1
