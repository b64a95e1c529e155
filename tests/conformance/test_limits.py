"""A server with few threads, a short timeout, and what is off by default."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from .cases import I64, predict
from .models import write_models

FLAGS = (
    "--grpc_max_threads=4",
    "--rest_api_num_threads=2",
    "--rest_api_timeout_in_ms=3000",
    "--rest_api_enable_cors_support=true",
    "--enable_grpc_healthcheck_service=true",
)
ONE = {"signature_name": "total", "inputs": [1]}

# gRPC's own wording, in C++ and in Python.
NO_THREAD = ("Server Threadpool Exhausted", "Concurrent RPC limit exceeded!")


@pytest.fixture(scope="module")
def limited(start_server, endpoint_of, tmp_path_factory):
    folder = tmp_path_factory.mktemp("limited")
    write_models(folder)
    return endpoint_of(start_server("m", folder / "m", *FLAGS))


def test_more_grpc_calls_than_threads_are_refused_at_once(limited):
    with ThreadPoolExecutor(16) as pool:
        request = predict("slow", ms=I64(500))
        replies = list(pool.map(lambda _: limited.predict(request), range(16)))
    refused = {(reply.code, reply.text) for reply in replies if reply.code != "OK"}
    assert len(refused) == 1
    assert refused <= {("RESOURCE_EXHAUSTED", text) for text in NO_THREAD}
    assert 1 <= sum(reply.code == "OK" for reply in replies) <= 4


def test_more_rest_requests_than_threads_wait(limited):
    with ThreadPoolExecutor(8) as pool:
        request = {"signature_name": "slow", "inputs": 100}
        replies = list(
            pool.map(lambda _: limited.http("POST", "/v1/models/m:predict", request), range(8))
        )
    assert {(reply.status, reply.text) for reply in replies} == {(200, '{\n    "outputs": 100\n}')}


def test_rest_timeout(limited):
    request = {"signature_name": "slow", "inputs": 6000}
    reply = limited.http("POST", "/v1/models/m:predict", request)
    assert (reply.status, reply.error) == (504, "Timed out waiting for notification")
    reply = limited.http("POST", "/v1/models/m:predict", ONE)
    assert (reply.status, reply.text) == (200, '{\n    "outputs": 1.0\n}')


def test_cors(limited):
    headers = {"Origin": "https://lab.example"}
    reply = limited.http("POST", "/v1/models/m:predict", ONE, headers)
    allowed = {
        name: value for name, value in reply.headers.items() if name.startswith("access-control")
    }
    assert reply.status == 200
    assert allowed == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "POST, GET",
        "access-control-allow-headers": "Content-Type",
    }


def test_health_service(limited):
    reply = limited.grpc("/grpc.health.v1.Health/Check", b"")
    assert (reply.code, reply.message) == ("OK", b"\x08\x01"), "SERVING"
