"""The embedded host's limits: what is too large, too deep, too slow or too much is refused."""

from __future__ import annotations

import gzip
import socket
from contextlib import ExitStack

import httpx
import numpy as np
import pytest

from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.process import ModelServer

LIMITS = (
    "--rest_api_max_body_bytes=100000",
    "--rest_api_max_json_depth=10",
    "--rest_api_max_connections=8",
    "--grpc_max_message_bytes=200000",
    "--rest_api_timeout_in_ms=2000",
)
PATH = "/v1/models/m:predict"
GOOD = b'{"signature_name": "same", "inputs": [1.0]}'


@pytest.fixture(scope="module")
def limited(model_base_path):
    with ModelServer("m", model_base_path, extra_flags=LIMITS) as server:
        yield server


@pytest.fixture
def http(limited):
    with httpx.Client(
        base_url=f"http://{limited.rest_address}", timeout=20, trust_env=False
    ) as client:
        yield client
        # Whatever a test did, the next request is answered.
        assert client.post(PATH, content=GOOD).json() == {"outputs": [1.0]}


def padded(size):
    return GOOD + b" " * (size - len(GOOD))


def test_a_body_at_the_limit_is_answered(http):
    assert http.post(PATH, content=padded(100_000)).status_code == 200


@pytest.mark.parametrize("form", ["announced", "chunked", "zipped"])
def test_a_larger_body_is_refused(http, form):
    body = padded(100_001)
    if form == "zipped":
        zipped = gzip.compress(padded(10_000_000))
        reply = http.post(PATH, content=zipped, headers={"Content-Encoding": "gzip"})
        assert reply.status_code == 429
    else:
        reply = http.post(PATH, content=body if form == "announced" else iter([body]))
        assert reply.status_code == 413
    assert reply.json() == {"error": "the body exceeds 100000 bytes"}


def test_a_huge_body_is_refused_before_it_comes(limited):
    with socket.create_connection(tuple(limited.rest_address.split(":")), timeout=20) as sender:
        sender.sendall(b"POST %s HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" % PATH.encode())
        assert sender.recv(100).startswith(b"HTTP/1.1 413 ")


def test_deep_json_is_refused(http):
    body = b'{"signature_name": "same", "inputs": ' + b"[" * 11 + b"]" * 11 + b"}"
    reply = http.post(PATH, content=body)
    assert reply.status_code == 400
    assert reply.json() == {"error": "JSON Parse error: nested more than 10 levels deep."}


def test_a_slow_sender_is_refused(limited):
    """It announces a body and does not send it."""
    with socket.create_connection(tuple(limited.rest_address.split(":")), timeout=20) as sender:
        sender.sendall(b"POST %s HTTP/1.1\r\nContent-Length: 9\r\n\r\n{" % PATH.encode())
        reply = b"".join(iter(lambda: sender.recv(1000), b""))
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not arrive within 2 s" in reply


def test_more_connections_than_allowed_are_refused(limited):
    with ExitStack() as open_ones:
        for _ in range(10):
            connection = socket.create_connection(
                tuple(limited.rest_address.split(":")), timeout=20
            )
            open_ones.enter_context(connection)
            connection.sendall(b"POST %s HTTP/1.1\r\nContent-Length: 9\r\n\r\n{" % PATH.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 503 ")


def test_a_larger_grpc_message_is_refused(limited):
    with GrpcClient(limited.grpc_address, model="m", contracts={}) as client:
        with pytest.raises(ServingError, match="RESOURCE_EXHAUSTED.*larger than max") as error:
            client.predict("same", {"x": np.zeros(60_000, np.float32)}, timeout=20)
        assert error.value.code == "RESOURCE_EXHAUSTED"
        assert client.predict("same", {"x": np.float32([1])})
