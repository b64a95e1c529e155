"""A server as a process: found, started, watched, stopped."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent import futures

import grpc
import numpy as np
import pytest

from serving_config import (
    GrpcClient,
    ModelServer,
    RestClient,
    ServerStartError,
    ServingError,
    find_server,
    launch_command,
    wire,
)
from serving_config.ports import free_ports, port_is_free
from serving_config.programs import EMBEDDED_HOST, ServerProgram


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether something comes true in time."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        pause.wait(0.02)
    return False


def gone(pid: int) -> bool:
    """Whether a process (not a child of ours) ends soon."""

    def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    return within(10, is_gone)


@pytest.fixture
def fake_stock(tmp_path):
    """A program that behaves as told by the script given to it."""

    def make(script: str) -> ServerProgram:
        path = tmp_path / "tensorflow_model_server"
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(script)}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return ServerProgram("stock", (str(path),))

    return make


class TestFinding:
    def test_the_environment_names_a_binary(self, monkeypatch, fake_stock):
        program = fake_stock("print('TensorFlow ModelServer: 2.20.0')\nprint('TensorFlow: x')")
        monkeypatch.setenv("PEAKSERVE_MODEL_SERVER", program.command[0])
        assert find_server() == program
        assert find_server().version_text == "TensorFlow ModelServer: 2.20.0"

    def test_the_environment_names_nothing(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PEAKSERVE_MODEL_SERVER", str(tmp_path / "nope"))
        with pytest.raises(ServerStartError, match=r"PEAKSERVE_MODEL_SERVER=.*not an executable"):
            find_server()

    def test_path_then_embedded(self, monkeypatch, tmp_path, fake_stock):
        monkeypatch.delenv("PEAKSERVE_MODEL_SERVER", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
        assert find_server() is EMBEDDED_HOST
        assert EMBEDDED_HOST.version_text.startswith("peakserve embedded host, TensorFlow 2.")
        program = fake_stock("")
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_server() == program

    def test_the_flags_are_the_same(self, tmp_path):
        stock = ServerProgram("stock", ("server",))
        lines = [
            launch_command(
                program, model_name="m", model_base_path=tmp_path, port=1, rest_api_port=2
            )[len(program.command) :]
            for program in (stock, EMBEDDED_HOST)
        ]
        assert lines[0] == lines[1]
        assert lines[0] == [
            "--port=1", "--rest_api_port=2", "--model_name=m", f"--model_base_path={tmp_path}"
        ]  # fmt: skip


def test_free_ports():
    first, second = free_ports(2)
    assert first != second
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not port_is_free(taken.getsockname()[1])


class TestLifecycle:
    def test_what_a_running_host_says(self, host):
        assert host.kind == "embedded"
        assert host.version_text in host.log_tail or "TensorFlow" in host.log_tail
        assert "embedded host (not the stock tensorflow_model_server)" in host.log_tail
        assert host.pid is not None
        assert host.exit_code is None
        with pytest.raises(ServerStartError, match="already runs"):
            host.start()

    def test_stop_ends_it_and_frees_the_ports(self, model_base_path):
        server = ModelServer("m", model_base_path, program=EMBEDDED_HOST, rest_api_port=0)
        with server:
            pid = server.pid
            assert server.rest_address is None
            with GrpcClient(server.grpc_address, model="m") as client:
                assert client.status()[1].is_available
        assert server.pid is None
        assert gone(pid)
        assert "gRPC on 127.0.0.1" in server.log_tail
        server.stop()

    def test_a_failing_load_shows_the_stock_text(self, tmp_path):
        (tmp_path / "m" / "1").mkdir(parents=True)
        (tmp_path / "m" / "1" / "saved_model.pb").write_bytes(b"\xff" * 100)
        flags = ("--max_num_load_retries=0",)
        server = ModelServer("m", tmp_path / "m", program=EMBEDDED_HOST, extra_flags=flags)
        with pytest.raises(ServerStartError, match="exit code 255") as caught, server:
            pass
        path = tmp_path / "m" / "1" / "saved_model.pb"
        # A line of its own; the thread that loaded may write its own after it.
        assert (
            "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
            "{{{name: m version: 1} due to error: DATA_LOSS: "
            f"Can't parse {path} as binary proto}}, }}"
        ) in caught.value.log_tail.splitlines()
        assert "--model_name=m" in str(caught.value)

    def test_a_server_that_dies(self, fake_stock, tmp_path):
        program = fake_stock("import sys; print('I am broken'); sys.exit(3)")
        log = tmp_path / "log.txt"
        server = ModelServer("m", tmp_path, program=program, log_path=log)
        with pytest.raises(ServerStartError, match="exit code 3") as caught, server:
            pass
        assert caught.value.log_tail == "I am broken"
        assert log.read_text() == "I am broken\n"

    def test_a_server_that_never_answers(self, fake_stock, tmp_path):
        program = fake_stock("import signal; print('waiting', flush=True); signal.pause()")
        server = ModelServer("m", tmp_path, program=program, start_timeout=1.5)
        with pytest.raises(ServerStartError, match="did not become available") as caught, server:
            pass
        assert caught.value.log_tail == "waiting"
        assert server.pid is None

    def test_a_program_that_cannot_be_run(self, tmp_path):
        server = ModelServer("m", tmp_path, program=ServerProgram("stock", ("/nope/server",)))
        with pytest.raises(ServerStartError, match="No such file"):
            server.start()

    def test_a_given_port_that_is_taken(self, tmp_path):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            server = ModelServer("m", tmp_path, program=EMBEDDED_HOST, port=port)
            with pytest.raises(ServerStartError, match=f"port {port} is taken"):
                server.start()

    def test_a_free_port_that_is_taken_in_between(self, fake_stock, tmp_path):
        program = fake_stock(
            f"""
            import sys
            with open({str(tmp_path / "starts")!r}, "a") as starts:
                starts.write(sys.argv[1] + "\\n")
            print("bind: Address already in use")
            sys.exit(1)
            """
        )
        server = ModelServer("m", tmp_path, program=program)
        with pytest.raises(ServerStartError, match="exit code 1"), server:
            pass
        starts = (tmp_path / "starts").read_text().split()
        assert len(starts) == 3
        assert len(set(starts)) == 3


def run_host(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [*EMBEDDED_HOST.command, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_flags(tmp_path):
    done = run_host("--enable_batching", "--nope=1", "--version")
    assert done.returncode == 0
    assert "--enable_batching: no effect in the embedded host" in done.stdout
    assert "unknown argument: --nope=1\nusage: " in done.stdout
    assert done.stdout.endswith(f"{EMBEDDED_HOST.version_text}\n")
    done = run_host("--port=many")
    assert done.returncode == 255
    assert "invalid int value: 'many'" in done.stdout


def test_no_base_path():
    done = run_host("--model_name=m")
    assert done.returncode == 255
    assert done.stdout.endswith(
        "Failed to start server. Error: INVALID_ARGUMENT: Both server_options.model_base_path and "
        "server_options.model_config_file are empty!\n"
    )


def test_a_taken_port_ends_the_host(model_base_path, host):
    port = host.grpc_address.rpartition(":")[2]
    done = run_host(f"--model_base_path={model_base_path}", "--model_name=m", f"--port={port}")
    assert done.returncode == 255
    assert "Failed to start server. Error:" in done.stdout
    assert "already in use" in (done.stdout + done.stderr).lower()


def test_a_host_that_waits_and_a_host_that_is_crowded(model_base_path, tmp_path):
    """One process for both: it starts without a version, then has one thread for all calls."""
    base = tmp_path / "m"
    flags = ("--grpc_max_threads=1", "--rest_api_num_threads=1", "--rest_api_timeout_in_ms=100",
             "--file_system_poll_wait_seconds=0.1")  # fmt: skip
    server = ModelServer("m", base, program=EMBEDDED_HOST, extra_flags=flags)
    server.start()
    try:
        assert within(20, lambda: "No versions of the servable found" in server.log_tail)
        assert port_is_free(int(server.grpc_address.rpartition(":")[2]))
        (base / "abc").mkdir(parents=True)
        (base / "1").symlink_to(model_base_path / "1")
        server.wait_until_available()
        long = {"n": np.int64(1_000_000)}
        with (
            grpc.insecure_channel(server.grpc_address) as channel,
            GrpcClient(server.grpc_address, model="m") as client,
            RestClient(server.rest_address, model="m") as rest,
            futures.ThreadPoolExecutor(1) as pool,
        ):
            # Without our client's retries the refusal shows.
            status = channel.unary_unary(wire.GET_MODEL_STATUS_METHOD)
            request = wire.status_request(wire.ModelQuery("m"))
            slow = pool.submit(client.predict, "spin", long)

            def is_refused() -> bool:
                try:
                    status(request, timeout=10)
                except grpc.RpcError as error:
                    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                return False

            assert within(10, is_refused)
            assert slow.result()["turns"] == long["n"]
            endless = {"n": np.int64(10**15)}
            with pytest.raises(ServingError, match="Timed out waiting for notification") as caught:
                rest.predict("spin", endless)
            assert caught.value.http_status == 504
            assert caught.value.code == "DEADLINE_EXCEEDED"

            def is_answered() -> bool:
                try:
                    return rest.predict("spin", {"n": np.int64(1)})["outputs"] == 1
                except ServingError:
                    return False

            # The run that nobody waits for has given back the only thread.
            assert within(10, is_answered)
    finally:
        server.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_host_ends_with_its_parent(model_base_path, tmp_path):
    code = f"""
import sys
from serving_config import ModelServer
from serving_config.programs import EMBEDDED_HOST
server = ModelServer("m", {str(model_base_path)!r}, program=EMBEDDED_HOST)
server.start()
server.wait_until_available()
print(server.pid, flush=True)
sys.stdin.read()
"""
    # A killed parent cannot remove the log that it made.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        assert gone(pid)
    finally:
        parent.kill()
        parent.communicate()
