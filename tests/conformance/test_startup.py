"""How a server starts that cannot serve yet or at all, and how it ends."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from serving_config.programs import DOCKER

from .cases import I64, matches, pattern, predict
from .disk import Factory
from .endpoint import until
from .models import config_entry, save_all_signatures, write_config
from .warm_up import warm_up

FLAGS = (
    "--max_num_load_retries=0",
    "--load_retry_interval_micros=0",
    "--file_system_poll_wait_seconds=1",
)
SECONDS = 60.0


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    return Factory(tmp_path_factory.mktemp("startup"))


def damage(copy):
    (copy / "saved_model.pb").write_bytes(b"\xff no protocol buffer")


@pytest.fixture(scope="module")
def started(factory, start_server):
    """All processes at once, so that they start side by side."""
    missing, empty = factory.folder / "missing", factory.model("empty")
    good, damaged, bad_warm_up = (
        factory.model("good", 1), factory.model("damaged"), factory.model("bad_warm_up"),
    )  # fmt: skip
    factory.publish(damaged, 1, spoil=damage)
    factory.publish(bad_warm_up, 1, spoil=warm_up("unknown-signature"))
    labels = 'version_labels { key: "stable" value: 1 }'
    label_file = write_config(
        factory.folder / "labels.config", [config_entry("good", good, labels)]
    )
    every_signature = save_all_signatures(factory.folder / "m" / "1").parent
    processes = {
        "missing": ("missing", missing.parent, f"--model_base_path={missing}"),
        "empty": ("empty", empty),
        "damaged": ("damaged", damaged),
        "one-of-two": ("good", factory.folder, factory.config("good", "damaged")),
        "labels": ("good", factory.folder, f"--model_config_file={label_file}"),
        "bad-warm-up": ("bad_warm_up", bad_warm_up),
        "nothing-to-serve": ("m", good, "--model_base_path="),
        "sigterm": ("m", every_signature),
        "sigint": ("m", every_signature),
    }
    return {
        key: start_server(name, base, *FLAGS, *more, wait=False)
        for key, (name, base, *more) in processes.items()
    }


def listens(address: str) -> bool:
    """Whether somebody takes connections there."""
    host, _, port = address.rpartition(":")
    with socket.socket() as connection:
        return connection.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_nothing_to_serve_yet(factory, started, kind):
    server = started[kind]
    # The others have ended by then, so this one has had its time.
    until(lambda: started["damaged"].exit_code, lambda code: code is not None, SECONDS)
    assert server.exit_code is None, "it waits"
    if server.kind != DOCKER:  # There the container's runtime listens.
        assert not any(map(listens, (server.grpc_address, server.rest_address))), "no port is open"
    base = factory.folder / kind
    base.mkdir(exist_ok=True)
    factory.publish(base, 1)
    server.wait_until_available(SECONDS)


EXIT = "Failed to start server. Error: "
NOT_AVAILABLE = (
    EXIT
    + "UNKNOWN: 1 servable(s) did not become available: {{{{{{name: {} version: 1}} due to error: {}}}, }}"
)


DAMAGED = "DATA_LOSS: Can't parse …/damaged/1/saved_model.pb as binary proto"
EXITS = {
    "damaged": NOT_AVAILABLE.format("damaged", DAMAGED),
    "one-of-two": NOT_AVAILABLE.format("damaged", DAMAGED),
    "bad-warm-up": NOT_AVAILABLE.format(
        "bad_warm_up", 'FAILED_PRECONDITION: Serving signature key "nope" not found.'
    ),
    "labels": EXIT + "FAILED_PRECONDITION: Request to assign label to version 1 of model good, "
    "which is not currently available for inference",
    "nothing-to-serve": EXIT + "INVALID_ARGUMENT: Both server_options.model_base_path and "
    "server_options.model_config_file are empty!",
}


@pytest.mark.parametrize("key", EXITS)
def test_exits(started, key):
    server = started[key]
    code = until(lambda: server.exit_code, lambda code: code is not None, SECONDS)
    assert code == 255
    assert matches(server.log_tail, pattern(f"…{EXITS[key]}…")), server.log_tail


@pytest.mark.parametrize("name", ["sigterm", "sigint"])
def test_signal_ends_it_at_once(started, endpoint_of, name):
    server, number = started[name], signal.Signals[name.upper()]
    if server.kind == DOCKER:
        pytest.skip("a container's exit code is not the server's")
    server.wait_until_available(SECONDS)
    endpoint = endpoint_of(server)
    in_flight = endpoint.prediction.Predict.future(predict("slow", ms=I64(500)), timeout=10)
    # Requests of one connection arrive in order: after this answer the slow one is inside.
    assert endpoint.predict(predict("total", x=[1])).code == "OK"
    os.kill(server.pid, number)
    assert until(lambda: server.exit_code, lambda code: code is not None, 5) == -number
    assert in_flight.code().name == "UNAVAILABLE", "the request in flight is lost"
