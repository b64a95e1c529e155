"""How commands end: exit codes, one sentence or one document, Ctrl-C; and completion of their names."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from export.commands.group import sentence_of
from serving_config.errors import InvalidReplyError
from serving_config.ports import free_ports

ROOT = Path(__file__).parents[2]


# As from a terminal: what a shell starts in the background, such as this run, ignores SIGINT, and so
# do its children.
FROM_A_TERMINAL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("export", run_name="__main__", alter_sys=True)
"""


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", FROM_A_TERMINAL, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def ended(process):
    """Exit code, standard output and standard error."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def root(tmp_path):
    """A model root with three versions, whose graphs are empty files."""
    for version in ("1", "2", "3"):
        (tmp_path / "peak_ops" / version).mkdir(parents=True)
        (tmp_path / "peak_ops" / version / "saved_model.pb").touch()
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell):
    code, out, err = ended(start("completion", shell))
    assert (code, err) == (0, "")
    assert "_PEAKSERVE_COMPLETE=" in out


def test_completion_offers_commands():
    words = {"COMP_WORDS": "peakserve ver", "COMP_CWORD": "1"}
    _, out, _ = ended(start(_PEAKSERVE_COMPLETE="bash_complete", **words))
    assert out.split() == ["plain,verify", "plain,versions"]


def test_ctrl_c_is_one_line(root):
    """While a server is waited for that takes the connection and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        promote = ["versions", "promote", "1", "--address", address, "--model-root", root]
        process = start(*promote)
        with silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            assert ended(process) == (130, "", "interrupted\n")


def test_wrong_usage_and_errors_differ(root):
    code, out, err = ended(start("versions", "promote", "nine", "--model-root", root, "--json"))
    assert (code, out) == (2, "")
    assert "'nine' is not a valid integer" in err
    code, out, err = ended(start("versions", "promote", 9, "--model-root", root, "--json"))
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    _, _, err = ended(start("--debug", "versions", "promote", 9, "--model-root", root))
    assert err.startswith("Traceback")


class Page(http.server.BaseHTTPRequestHandler):
    """A server of pages is no model server."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html></html>")

    def log_message(self, *about):
        pass


def test_asking_what_is_no_model_server(root):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{pages.server_port}"
        promote = ["versions", "promote", 1, "--model-root", root, "--timeout", 5]
        code, out, err = ended(start(*promote, "--address", address))
        pages.shutdown()
    assert (code, out) == (1, "")
    assert err.startswith("Error: status over gRPC: UNAVAILABLE: ")
    hint = "; is that a model server's port for gRPC, usually 8500? start one with: peakserve serve"
    assert err.endswith(f"{hint}\n")
    assert err.count("\n") == 1


def test_a_page_for_a_model_status_is_one_sentence():
    error = InvalidReplyError("no model status: b'<html></html>'", transport="REST")
    assert sentence_of(error) == (
        "status over REST: DATA_LOSS: no model status: b'<html></html>'; is a model server at that "
        "address? start one with: peakserve serve"
    )


def test_serving_on_a_taken_port(root):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = ["--port", *free_ports(1), "--rest-port", port]
        code, out, err = ended(start("serve", "--model-root", root, "--server", "embedded", *ports))
    assert (code, out) == (1, "")
    assert err == (
        f"Error: expected a free port, got {port}, which is taken or not for this user; "
        "name another with --rest-port\n"
    )


STABLE = {"model": "peak_ops", "label": "stable"}
OF_2 = {"model": "peak_ops", "version": 2}


def test_json_is_one_document(root):
    def told(*arguments):
        code, out, err = ended(start(*arguments, "--model-root", root, "--json"))
        assert code == 0, err
        return json.loads(out)

    assert told("versions", "promote", 1) == STABLE | {"version": 1, "was": None}
    assert told("versions", "promote", 3) == STABLE | {"version": 3, "was": 1}
    assert told("versions", "rollback") == STABLE | {"version": 1, "was": 3}
    assert told("versions", "unlabel", "stable") == STABLE | {"version": None, "was": 1}
    assert told("versions", "pin", 2) == OF_2 | {"pinned": True}
    assert told("versions", "unpin", 2) == OF_2 | {"pinned": False}
    configuration = told("config", "--out", root / ".serving")
    files = [Path(file["path"]) for file in configuration["files"]]
    assert Path(configuration["start"]) in files
    assert all(file.is_file() for file in files)
    assert told("versions", "prune", "--keep", 1)["model"] == "peak_ops"
