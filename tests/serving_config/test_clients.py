"""The clients: what is checked before sending, what is answered without asking, bad replies."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_config import GrpcClient, InvalidReplyError, RestClient, ServingError, wire
from serving_config.rest_json import array_text, parsed, predict_body
from signatures.contract import InvalidInputError

IMGS = np.ones((1, 4, 5, 2), np.float32)
PEAKS = np.float32([[0, 1, 2, 1]])


class Canned:
    """A server that answers every request with the same reply and keeps the requests."""

    def __init__(self):
        self.reply: bytes = b""
        self.http_status = 200
        self.requests: list[bytes] = []


@pytest.fixture
def canned_grpc() -> Iterator[tuple[GrpcClient, Canned]]:
    canned = Canned()

    def answer(message, context):
        canned.requests.append(message)
        return canned.reply

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details):
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with GrpcClient(f"127.0.0.1:{port}", timeout=10) as client:
        yield client, canned
    server.stop(None)


@pytest.fixture
def canned_rest() -> Iterator[tuple[RestClient, Canned]]:
    canned = Canned()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            canned.requests.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(canned.http_status)
            self.send_header("Content-Length", str(len(canned.reply)))
            self.end_headers()
            self.wfile.write(canned.reply)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with RestClient(f"127.0.0.1:{server.server_port}", timeout=10) as client:
        yield client, canned
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["grpc", "rest"])
def nowhere(request) -> Iterator[GrpcClient | RestClient]:
    """A client whose server does not exist: what it answers, it answers itself."""
    kind = GrpcClient if request.param == "grpc" else RestClient
    with kind("127.0.0.1:1", timeout=5) as client:
        yield client


def test_connecting_ends_with_the_deadline():
    """All attempts together: a machine that answers no connection is not waited for three times."""
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        start = time.monotonic()
        address = f"127.0.0.1:{full.getsockname()[1]}"
        with RestClient(address, timeout=3) as client, pytest.raises(ServingError) as error:
            client.status()
        assert error.value.code == "DEADLINE_EXCEEDED"
        # Three times three seconds before.
        assert time.monotonic() - start < 6


@pytest.mark.parametrize("timeout", [float("inf"), 1e10])
def test_no_deadline_is_a_long_one(nowhere, timeout):
    """And not one that has passed, as gRPC's clock and Python's take it."""
    with pytest.raises(ServingError) as error:
        nowhere.predict("smooth_imgs", {"imgs": IMGS}, timeout=timeout)
    assert error.value.code == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("signature", "inputs", "fault"),
    [
        ("nope", {}, "no signature named 'nope'"),
        ("smooth_imgs", {}, "imgs: missing"),
        ("smooth_imgs", {"imgs": IMGS, "zzz": 1}, "no input named 'zzz'"),
        ("smooth_imgs", {"imgs": IMGS.astype(np.float64)}, "expected float32, got float64"),
        ("smooth_imgs", {"imgs": IMGS[0]}, "expected shape"),
        ("refine_peaks_local_direction", {"imgs": IMGS, "peaks": PEAKS[:, :3]}, "expected shape"),
        ("smooth_imgs", {"imgs": IMGS, "kernel_size": 2.5}, "expected int64"),
    ],
)
def test_faults_are_found_before_sending(nowhere, signature, inputs, fault):
    with pytest.raises(InvalidInputError, match=fault):
        nowhere.predict(signature, inputs)


def test_a_server_that_is_not_there(nowhere):
    with pytest.raises(ServingError) as caught:
        nowhere.predict("smooth_imgs", {"imgs": IMGS}, timeout=3)
    assert caught.value.code == "UNAVAILABLE"
    assert caught.value.http_status is None
    assert caught.value.transport == nowhere.transport
    assert caught.value.signature == "smooth_imgs"


def test_version_and_label_together(nowhere):
    with pytest.raises(ValueError, match="not both"):
        nowhere.predict("smooth_imgs", {"imgs": IMGS}, version=1, label="x")


class TestEmptyTensorsOverRest:
    """They have no JSON form: the client answers from the contract."""

    @pytest.fixture
    def client(self) -> Iterator[RestClient]:
        with RestClient("127.0.0.1:1") as client:
            yield client

    def test_no_peaks(self, client):
        inputs = {"imgs": IMGS, "peaks": PEAKS[:0], "window_length": 4}
        crops = client.predict("crop_centered_boxes", inputs)["crops"]
        assert (crops.shape, crops.dtype) == ((0, 5, 5, 1), np.float32)

    def test_no_samples(self, client):
        smoothed = client.predict("smooth_imgs", {"imgs": IMGS[:0]})["smoothed"]
        assert smoothed.shape == (0, 4, 5, 2)

    def test_refusals_are_the_contracts(self, client):
        with pytest.raises(ServingError) as caught:
            client.predict("smooth_imgs", {"imgs": IMGS[:0], "kernel_size": 4})
        assert caught.value.code == "INVALID_ARGUMENT"
        assert caught.value.sentence == "kernel_size: must be odd; got 4 next odd 5"
        assert caught.value.http_status is None

    def test_outputs_that_would_not_be_empty(self, client):
        inputs = {"imgs": IMGS[:, :0], "peaks": PEAKS, "window_length": 3}
        with pytest.raises(InvalidInputError, match=r"no JSON form \(imgs\).*gRPC"):
            client.predict("crop_centered_boxes", inputs)

    def test_without_a_contract(self, client):
        with pytest.raises(InvalidInputError, match="gRPC"):
            client.predict("s", {"x": np.zeros((0, 2))}, model="unknown")


class TestRepliesOverGrpc:
    def test_good(self, canned_grpc):
        client, canned = canned_grpc
        query = wire.ModelQuery("peak_ops", version=1, signature="smooth_imgs")
        canned.reply = wire.predict_reply(query, {"smoothed": IMGS})
        outputs = client.predict("smooth_imgs", {"imgs": IMGS})
        assert np.array_equal(outputs["smoothed"], IMGS)
        call = wire.read_predict_request(canned.requests[0])
        # Omitted inputs are the server's to fill in.
        assert list(call.inputs) == ["imgs"]
        assert call.query == wire.ModelQuery("peak_ops", signature="smooth_imgs")

    @pytest.mark.parametrize(
        ("outputs", "fault"),
        [
            ({}, "expected outputs"),
            ({"other": IMGS}, "expected outputs"),
            ({"smoothed": IMGS.astype(np.float64)}, "expected float32, got float64"),
            ({"smoothed": IMGS[:, :2]}, "expected shape"),
        ],
    )
    def test_not_what_the_contract_says(self, canned_grpc, outputs, fault):
        client, canned = canned_grpc
        canned.reply = wire.predict_reply(wire.ModelQuery("peak_ops", version=1), outputs)
        with pytest.raises(InvalidReplyError, match=fault):
            client.predict("smooth_imgs", {"imgs": IMGS})

    def test_garbage(self, canned_grpc):
        client, canned = canned_grpc
        canned.reply = b"\xff\xff\xff"
        with pytest.raises(InvalidReplyError, match="not a PredictResponse"):
            client.predict("smooth_imgs", {"imgs": IMGS})
        with pytest.raises(InvalidReplyError, match="not a GetModelStatusResponse"):
            client.status()


class TestRepliesOverRest:
    def test_good(self, canned_rest):
        client, canned = canned_rest
        canned.reply = json.dumps({"outputs": IMGS.tolist()}).encode()
        outputs = client.predict("smooth_imgs", {"imgs": IMGS})
        assert outputs["smoothed"].dtype == np.float32
        assert np.array_equal(outputs["smoothed"], IMGS)
        body = json.loads(canned.requests[0])
        # REST requests must carry what is omitted.
        assert body["inputs"]["kernel_size"] == 5
        assert body["inputs"]["sigma"] == 1.0
        assert body["signature_name"] == "smooth_imgs"

    @pytest.mark.parametrize(
        ("reply", "fault"),
        [
            (b"hello", "Expecting value"),
            (b"[]", "expected an object with 'outputs'"),
            (b'{"outputs": {"other": 1}}', "expected outputs"),
            (b'{"outputs": [[1, 2]]}', "expected shape"),
            (b'{"outputs": [[1], [1, 2]]}', "unequal length"),
            (b'{"outputs": ["a"]}', "expected float32, got"),
            (b'{"outputs": null}', "expected float32, got"),
            (b'{"outputs": true}', "expected float32, got"),
            (b"[" * 100_000, "nested too deeply|Expecting value|recursion"),
        ],
    )
    def test_not_what_the_contract_says(self, canned_rest, reply, fault):
        client, canned = canned_rest
        canned.reply = reply
        with pytest.raises(InvalidReplyError, match=fault):
            client.predict("smooth_imgs", {"imgs": IMGS})

    @pytest.mark.parametrize(
        ("status", "body", "code", "text"),
        [
            (400, b'{\n    "error": "k: odd"\n}', "INVALID_ARGUMENT", "k: odd"),
            (404, b'{"error": "gone"}', "NOT_FOUND", "gone"),
            (404, b"<HTML>", "NOT_FOUND", "<HTML>"),
            (400, b"", "INVALID_ARGUMENT", "HTTP status 400"),
            (504, b'{"error": "late"}', "DEADLINE_EXCEEDED", "late"),
            (500, b'{"error": 1}', "INTERNAL", '{"error": 1}'),
        ],
    )
    def test_errors(self, canned_rest, status, body, code, text):
        client, canned = canned_rest
        canned.http_status, canned.reply = status, body
        with pytest.raises(ServingError) as caught:
            client.predict("smooth_imgs", {"imgs": IMGS})
        error = caught.value
        assert (error.code, error.http_status, error.server_text) == (code, status, text)
        assert not isinstance(error, InvalidReplyError)


@given(st.lists(st.floats(width=32), max_size=20))
def test_float32_survives_the_clients_json(values):
    array = np.float32(values)
    body = predict_body("s", {"x": array})
    read = np.float32(parsed(body)["inputs"]["x"])
    nans = np.isnan(array)
    assert np.array_equal(nans, np.isnan(read))
    assert read[~nans].tobytes() == array[~nans].tobytes()


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32(0.25), b"0.25"),
        (np.float32([np.nan, np.inf, -np.inf, 1]), b"[NaN,Infinity,-Infinity,1.0]"),
        (np.int64([[2**62 + 1], [-1]]), b"[[4611686018427387905],[-1]]"),
        (np.array([True]), b"[true]"),
        (np.zeros(0, np.float32), b"[]"),
        (np.array([b"hi"], object), b'[{"b64":"aGk="}]'),
        (np.ones((2, 2), np.float32).T[::-1], b"[[1.0,1.0],[1.0,1.0]]"),
    ],
)
def test_the_clients_json(array, text):
    assert array_text(array) == text
