"""The embedded host's limits: what is too large, too deep, too slow or too much is refused."""

from __future__ import annotations

import gzip
import select
import socket
from contextlib import ExitStack, suppress

import httpx
import numpy as np
import pytest

from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST

LIMITS = (
    "--rest_api_max_body_bytes=100000",
    "--rest_api_max_pending_bytes=250000",
    "--rest_api_max_header_bytes=5000",
    "--rest_api_max_json_depth=10",
    "--rest_api_max_connections=8",
    "--grpc_max_message_bytes=200000",
    "--rest_api_timeout_in_ms=2000",
)
PATH = "/v1/models/m:predict"
GOOD = b'{"signature_name": "same", "inputs": [1.0]}'


@pytest.fixture(scope="module")
def limited(model_base_path):
    with ModelServer("m", model_base_path, program=EMBEDDED_HOST, extra_flags=LIMITS) as server:
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


def test_bodies_at_the_limit_are_answered(http):
    """One after the other they may be more than all are allowed together."""
    for _ in range(3):
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
    with connected(limited) as sender:
        sender.sendall(b"POST %s HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" % PATH.encode())
        assert sender.recv(100).startswith(b"HTTP/1.1 413 ")


def test_deep_json_is_refused(http):
    body = b'{"signature_name": "same", "inputs": ' + b"[" * 11 + b"]" * 11 + b"}"
    reply = http.post(PATH, content=body)
    assert reply.status_code == 400
    assert reply.json() == {"error": "JSON Parse error: nested more than 10 levels deep."}


def test_a_slow_sender_is_refused(limited):
    """It announces a body and does not send it."""
    reply = reply_to(limited, b"POST %s HTTP/1.1\r\nContent-Length: 9\r\n\r\n{" % PATH.encode())
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not arrive within 2 s" in reply


def reply_on(connection):
    """All that comes until the server closes the connection."""
    received = []
    with suppress(ConnectionResetError):
        received.extend(iter(lambda: connection.recv(1000), b""))
    return b"".join(received)


def reply_to(limited, sent):
    """All that comes on a connection that says no more than this."""
    with connected(limited) as sender:
        sender.sendall(sent)
        return reply_on(sender)


def connected(limited):
    return socket.create_connection(tuple(limited.rest_address.split(":")), timeout=20)


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"POST /v1/models/m:pre", b"GET / HTTP/1.1\r\nX: "])
def test_a_head_that_does_not_come_is_given_up(limited, http, sent):
    """Such connections would otherwise take every place."""
    reply = reply_to(limited, sent)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"the request's head did not arrive within 2 s" in reply


def test_a_head_a_byte_at_a_time_is_given_up_too(limited, http):
    with connected(limited) as sender:
        sender.settimeout(0.1)
        reply = b""
        sender.sendall(b"GET / HTTP/1.1\r\n")
        while not reply:
            sender.sendall(b"X")
            with suppress(TimeoutError):
                reply = sender.recv(1000)
    assert reply.startswith(b"HTTP/1.1 408 ")


def test_the_second_head_of_a_connection_is_watched_like_the_first(limited, http):
    request = b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (PATH.encode(), len(GOOD), GOOD)
    reply = reply_to(limited, request + request[:10])
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in reply


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 6000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 6000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1500,
    ],
    ids=["line", "header", "headers"],
)
def test_a_head_without_end_is_refused(limited, http, sent):
    reply = reply_to(limited, sent)
    assert reply.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b'"error": "the request\'s head exceeds 5000 bytes"' in reply


def test_trailers_without_end_close_the_connection(limited, http):
    with connected(limited) as sender:
        head = b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" % PATH.encode()
        with pytest.raises(OSError, match="reset|Broken pipe"):  # noqa: PT012
            sender.sendall(head)
            for _ in range(1000):
                sender.sendall(b"X: y\r\n" * 1000)
            sender.sendall(b"")


def test_all_bodies_together_are_limited(limited, http):
    """Each is within its limit; the third leaves no room for itself."""
    with ExitStack() as open_ones:
        for _ in range(2):
            sender = open_ones.enter_context(connected(limited))
            sender.sendall(b"POST %s HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" % PATH.encode())
            sender.sendall(b" " * 99_000)
        reply = http.post(PATH, content=padded(100_000))
        assert reply.status_code == 503
        assert reply.json() == {"error": "the bodies of all requests exceed 250000 bytes"}


def test_a_reader_that_does_not_read_is_given_up(limited, http):
    """Its reply would stay in memory for as long as it likes."""
    body = b'{"signature_name": "same", "inputs": [%s]}' % b",".join([b"1.5"] * 20_000)
    request = b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (PATH.encode(), len(body), body)
    with socket.socket() as reader:
        reader.settimeout(20)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = limited.rest_address.split(":")
        reader.connect((host, int(port)))
        # More than the buffers of both sides' systems hold.
        with suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(60):
                reader.sendall(request)
        reset = select.poll()
        reset.register(reader, select.POLLERR | select.POLLHUP)
        assert reset.poll(20_000)


def test_more_connections_than_allowed_are_refused(limited):
    """On a busy machine the first may be given up before the last: more are opened then."""
    with ExitStack() as open_ones:
        for _ in range(40):
            connection = open_ones.enter_context(connected(limited))
            connection.sendall(b"POST %s HTTP/1.1\r\nContent-Length: 9\r\n\r\n{" % PATH.encode())
            if select.select([connection], [], [], 0.1)[0]:
                break
        assert connection.recv(100).startswith(b"HTTP/1.1 503 ")


def test_connections_that_only_wait_are_closed_beyond_twice_as_many(limited, http):
    with ExitStack() as open_ones:
        waiting = [open_ones.enter_context(connected(limited)) for _ in range(30)]
        replies = [reply_on(connection) for connection in waiting]
    # The others' heads did not come in time.
    assert 14 <= replies.count(b"") < 30
    assert all(reply[9:12] in (b"", b"408") for reply in replies)


def test_a_larger_grpc_message_is_refused(limited):
    with GrpcClient(limited.grpc_address, model="m", contracts={}) as client:
        with pytest.raises(ServingError, match="RESOURCE_EXHAUSTED.*larger than max") as error:
            client.predict("same", {"x": np.zeros(60_000, np.float32)}, timeout=20)
        assert error.value.code == "RESOURCE_EXHAUSTED"
        assert client.predict("same", {"x": np.float32([1])})
