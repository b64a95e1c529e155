"""Containers: what probes succeed on, and what an operator's paths and names must survive."""

from __future__ import annotations

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from serving_config.containers import Deployment, compose, inference_service, kubernetes
from serving_config.launch import ServerPlan, script_text
from serving_config.models_config import ServedModel
from serving_config.probes import probe_command

NAME = "it's 100% mine"


@pytest.fixture
def status_page():
    """A page of one model's status; returns its port and where to put the versions."""
    versions = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            found = unquote(self.path) == f"/v1/models/{NAME}"
            self.send_response(200 if found else 404)
            self.end_headers()
            if found:
                # The stock server's own layout.
                self.wfile.write(json.dumps({"model_version_status": versions}, indent=1).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, versions
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("states", "ready"),
    [
        ([("AVAILABLE", "OK")], True),
        ([("END", "DATA_LOSS"), ("AVAILABLE", "OK")], True),
        ([("END", "UNAVAILABLE")], False),
        ([("LOADING", "OK")], False),
        ([], False),
    ],
    ids=["available", "newest_failed", "failed_as_unavailable", "loading", "none"],
)
def test_ready_means_an_available_version(status_page, states, ready):
    port, versions = status_page
    versions += [
        {"version": "1", "state": state, "status": {"error_code": code, "error_message": ""}}
        for state, code in states
    ]
    command = probe_command([ServedModel(NAME, Path("/m"))], 0, port)
    assert (subprocess.run(command, check=False, timeout=10).returncode == 0) == ready
    two = probe_command([ServedModel(NAME, Path("/m")), ServedModel("other", Path("/o"))], 0, port)
    assert subprocess.run(two, check=False, timeout=10).returncode


def compose_service(plan=ServerPlan(), folder="/srv/m"):
    deployment = Deployment(plan, (ServedModel("m", Path(folder) / "m"),), user="1000:1000")
    return compose(deployment, Path(folder), Path(folder) / "config")["services"]["model-server"]


def test_compose_leaves_dollar_signs_of_paths_alone():
    service = compose_service(folder="/srv/$HOME")
    texts = [*service["command"], *(mount["source"] for mount in service["volumes"])]
    assert "--model_config_file=/srv/$$HOME/config/models.config" in texts
    assert not [text for text in texts if "$HOME" in text.replace("$$", "")]


def test_compose_gives_requests_the_grace_period():
    """An init process would pass SIGTERM on to a server that dies of it."""
    service = compose_service()
    assert service["init"] is False
    assert service["stop_grace_period"] == "30s"
    assert service["user"] == "1000:1000"


def test_compose_without_rest_looks_at_the_grpc_port(status_page):
    port, _ = status_page
    probe = compose_service(ServerPlan(port=port, rest_port=0))["healthcheck"]["test"]
    assert probe[0] == "CMD"
    assert subprocess.run(probe[1:], check=False, timeout=10).returncode == 0
    closed = [word.replace(str(port), "1") for word in probe[1:]]
    assert subprocess.run(closed, check=False, timeout=10, capture_output=True).returncode


def test_pods_let_go_of_old_connections_and_of_requests():
    plan = ServerPlan(extra=("grpc_channel_arguments=grpc.max_connection_age_ms=1",))
    _, deployment, _ = kubernetes(Deployment(plan, (ServedModel("m", Path("/srv/m")),)))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ages = [flag for flag in container["args"] if "grpc_channel_arguments" in flag]
    assert len(ages) == 2
    assert ages[-1].endswith("_age_ms=1"), "what was asked for wins"
    drain = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > drain
    kserve = inference_service(Deployment(plan, (ServedModel("m", Path("/srv/m")),)))
    predictor = kserve["spec"]["predictor"]
    assert predictor["terminationGracePeriodSeconds"] == pod["terminationGracePeriodSeconds"]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["timeoutSeconds"] > 1


def test_memory_comes_from_the_system_everywhere():
    """A request that declares terabytes would else stop the server for ten seconds."""
    name, value = "TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "true"
    assert compose_service()["environment"] == {name: value}
    models = (ServedModel("m", Path("/srv/m"), (1,), {}),)
    (_, deployment, _) = kubernetes(Deployment(ServerPlan(), models))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": name, "value": value}]
    assert f'export {name}="${{{name}:-{value}}}"' in script_text([])
