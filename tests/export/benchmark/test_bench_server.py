"""The command `bench --server`, as users run it: small sizes, no time is checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from export.benchmark import SERVED_WORKS
from export.benchmark.frames_on_wire import wire_sizes
from export.benchmark.stages import question_of, served_sizes
from export.hosting import hosted
from export.image_cases import draw_images
from export.maps import draw_maps
from serving_config.errors import ServerStartError
from signatures.contract import KeypointOptions, keypoints_contract

ROOT = Path(__file__).parents[3]
CLIENTS = (1, 2)


def peakserve(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "export", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def done(folder):
    clients = [part for count in CLIENTS for part in ("--clients", count)]
    options = ["--quick", "--rounds", 2, *clients, "--out", folder / "bench.json"]
    return peakserve("bench", "--server", "embedded", *options)


def tables(folder, work):
    data = json.loads((folder / "bench.json").read_text())
    return [table for table in data["tables"] if table["work"] == work]


def test_everything_is_measured(done, folder):
    assert done.returncode == 0, done.stderr
    assert "server: peakserve embedded host" in done.stdout
    assert {work for work in SERVED_WORKS if tables(folder, work)} == set(SERVED_WORKS) - {"bytes"}
    (sizes,) = json.loads((folder / "bench.json").read_text())["sizes"]
    assert list(sizes["bytes"]) == ["float32 maps", "float32 maps over REST", "quantized"]


@pytest.mark.parametrize(
    ("work", "contestants"),
    [
        ("grpc", ["peakserve", "raw bytes", "eager"]),
        ("rest", ["peakserve", "raw bytes", "over gRPC"]),
        ("batching", ["in-graph", "unbatched"]),
    ],
)
def test_latency_and_throughput_at_each_number_of_clients(done, folder, work, contestants):
    for table, clients in zip(tables(folder, work), CLIENTS, strict=True):
        assert (table["axis"], table["at"]) == ("clients", clients)
        names = [row["contestant"] for row in table["rows"]]
        assert names == [name for name in contestants if name != "eager" or clients == 1]
        for row in table["rows"]:
            assert 0 < row["milliseconds"] <= row["p90"] <= row["p99"]
            assert row["per_second"] > 0


def test_what_is_to_be_reached(done):
    reach = done.stdout.split("to be reached")[1]
    assert "peakserve / raw bytes" in reach
    assert "in-graph - unbatched, ms" in reach
    assert "unbatched / in-graph" in reach
    assert "Python's json / peakserve" in reach
    assert "missed" not in reach


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--work", "grpc"], "--work grpc needs --server"),
        (["--server", "auto", "--work", "smooth_imgs"], "smooth_imgs is measured without --server"),
        (["--server", "nope"], "expected the server auto, binary, embedded, docker"),
    ],
    ids=["work of a server", "work of the graph", "no such server"],
)
def test_bad_options_are_refused(arguments, text):
    done = peakserve("bench", *arguments)
    assert done.returncode in (1, 2)
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_running_server_is_asked_for_what_it_hosts(server):
    address = f"{server.grpc_address},{server.rest_address}"
    options = ["--quick", "--rounds", 1, "--clients", 1, "--work", "grpc", "--work", "batching"]
    done = peakserve("bench", "--server", address, *options)
    assert done.returncode == 0, done.stderr
    assert "find_global_peaks 1x16x16x3, 1 client" in done.stdout
    assert "unbatched" not in done.stdout


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"height": 8, "width": 9, "channels": 2}, "keypoints 1x8x9x2"),
        ({}, "keypoints 1x16x16x3"),
        ({"backbone": True, "image_height": 32, "image_width": 40}, "images 1x32x40x3"),
    ],
    ids=["maps", "maps of any size", "network"],
)
def test_a_model_is_asked_for_what_it_is_for(options, asked):
    contract = keypoints_contract(KeypointOptions(**options))
    question = question_of(contract, served_sizes(quick=True).small)
    assert str(question) == asked
    contract.signature(question.signature).check_request(question.inputs)
    assert (question.eager is None) == ("backbone" in options)


def test_the_contract_of_a_running_model_has_to_be_known(server):
    done = peakserve("bench", "--server", server.grpc_address, "--model", "keypoints", "--quick")
    assert done.returncode == 1
    assert "its contract depends on how it was exported; pass --model-root" in done.stderr
    assert "Traceback" not in done.stderr


def test_bytes_of_a_frame_are_counted():
    maps = draw_maps(3, 8, 10, 2)[0]
    images = draw_images(3, KeypointOptions(image_height=32, image_width=40))
    sizes = wire_sizes(maps, images)
    assert sizes.frame == "maps 8x10x2, images 32x40x3"
    payloads = {"float32 maps": 8 * 10 * 2 * 4, "quantized": 8 * 10 * 2, "images": 32 * 40 * 3}
    for name, payload in payloads.items():
        assert payload < sizes.bytes[name] < payload + 120
    assert sizes.bytes["float32 maps over REST"] > 2 * sizes.bytes["float32 maps"]
    assert sizes.bytes["encoded_images, JPEG 95"] < sizes.bytes["images"]


@pytest.mark.filterwarnings("error")
def test_bytes_of_what_is_no_number_are_counted_quietly():
    maps = draw_maps(1, 8, 10, 2)[0]
    maps[0, 0, :3, 0] = np.nan, np.inf, -np.inf
    assert wire_sizes(maps).bytes["quantized"] < 8 * 10 * 2 + 120


def test_a_rest_address_of_something_else_is_one_sentence(server):
    """Said before anything is measured, by every command that is given the two addresses."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>a page</html>")

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{other.server_port}"
        with (
            pytest.raises(ServerStartError) as told,
            hosted(f"{server.grpc_address},{address}", "peak_ops", None, None),
        ):
            pass
        other.shutdown()
    assert str(told.value).startswith(
        "expected the REST address of a model server that hosts peak_ops, got "
        f"{address}, where the answer is DATA_LOSS: "
    )
    assert str(told.value).endswith(
        "; name the server's --rest_api_port, or leave the REST address out"
    )
