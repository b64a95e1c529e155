"""Containers: what probes succeed on, and what an operator's paths and names must survive."""

from __future__ import annotations

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from serving_config.containers import probe_command
from serving_config.models_config import ServedModel

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
    command = probe_command([ServedModel(NAME, Path("/m"))], port)
    assert (subprocess.run(command, check=False, timeout=10).returncode == 0) == ready
    two = probe_command([ServedModel(NAME, Path("/m")), ServedModel("other", Path("/o"))], port)
    assert subprocess.run(two, check=False, timeout=10).returncode
