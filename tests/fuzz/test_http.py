"""Requests below HTTP: paths, headers and framing that no library would write.

Short: a few hundred inputs. `--long`: 100,000.
"""

from __future__ import annotations

import socket

import numpy as np

from .conftest import DEADLINE
from .draws import mutated
from .tally import fire

SHORT, LONG = 300, 100_000
GOOD_BODY = b'{"signature_name":"find_global_peaks","inputs":[[[[1.0]]]]}'
PATHS = (
    b"/v1/models/peak_ops:predict",
    b"/v1/models/peak_ops/versions/1:predict",
    b"/v1/models/peak_ops/labels/stable:predict",
    b"/v1/models/peak_ops/metadata",
    b"/v1/models/peak_ops",
    b"/v1/models/..%2f..%2fetc%2fpasswd:predict",
    b"/v1/models/../../etc/passwd",
    b"/v1/models/peak_ops/versions/99999999999999999999",
    b"/v1/models/%00:predict",
    b"/" + b"a" * 4000,
    b"*",
)


def drawn_request(random: np.random.Generator) -> bytes:
    """A request that is right in parts."""
    method = [b"POST", b"GET", b"HEAD", b"PUT", b"OPTIONS", b"DELETE", b"\xff"][random.integers(7)]
    path = PATHS[random.integers(len(PATHS))]
    path = mutated(random, path) if random.random() < 0.4 else path
    length = [len(GOOD_BODY), 0, 3, 10**6, -1, 2**63][random.integers(6)]
    headers = [
        b"Content-Length: %d\r\n" % length,
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(GOOD_BODY),
        b"X: " + b"y" * int(random.integers(70_000)) + b"\r\n",
        b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(GOOD_BODY),
    ][random.integers(6)]
    body = GOOD_BODY
    if b"chunked" in headers:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD_BODY) + int(random.integers(-2, 3)), GOOD_BODY)
    request = method + b" " + path + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body
    return mutated(random, request) if random.random() < 0.3 else request


def test_http(watched, tell, long_run):
    """The server answers or closes the connection; never with 5xx, never not at all."""
    host, port = watched.server.rest_address.split(":")

    def shoot(random):
        data = drawn_request(random)
        with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
            try:
                connection.sendall(data)
                # Nothing more will come: what waits for more must give up.
                connection.shutdown(socket.SHUT_WR)
                reply = connection.recv(64)
            except TimeoutError:
                raise
            except OSError:
                # Reset, or closed before our side was.
                return "closed", ""
        if not reply:
            return "closed", ""
        # The stock server repeats the version that it was asked with, such as HTTP/1.11.
        _, _, rest = reply.partition(b" ")
        status = rest[:3].decode(errors="replace")
        right = status[:1] in "1234" or status == "501" or status == "505"
        return status, "" if right else f"{reply!r} to {data!r:.300}"

    fire(watched, "HTTP", LONG if long_run else SHORT, shoot, tell)
