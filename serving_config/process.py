"""A model server as a process: started, watched until it is available, and always stopped.

Nothing here speaks for the model; the one question that is asked, whether a version is
available, goes through the clients.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType

from serving_config.errors import ServerStartError, ServingError
from serving_config.ports import LOOPBACK, free_ports, port_is_free
from serving_config.programs import (
    EMBEDDED,
    ENVIRONMENT,
    ServerProgram,
    find_server,
    launch_command,
)
from serving_config.status import VersionStatus
from serving_config.tls import ClientTls

StatusQuestion = Callable[..., dict[int, VersionStatus]]

# Set for an embedded host that ends when its standard input does, that is with its parent.
STDIN_WATCH_VARIABLE = "PEAKSERVE_STOP_WHEN_STDIN_CLOSES"

START_TIMEOUT = 120.0
_STOP_TIMEOUT = 10.0
_POLL_SECONDS = 0.1
_CALL_SECONDS = 0.5
_TAIL_LINES = 40
_TAIL_BYTES = 1 << 16
_PORT_ATTEMPTS = 3
_PORT_TAKEN = re.compile(
    r"(?i)address already in use|failed to (?:bind|start http|add)|no address added"
)


class ModelServer:
    """One server process. `start`, `wait_until_available`, `stop`; or a `with` block for all.

    Args:
      model_name: The servable's name.
      model_base_path: The directory with the numbered versions.
      program: What to run; by default what `find_server` finds.
      port: The gRPC port; by default a free one.
      rest_api_port: The REST port; by default a free one, 0 turns REST off.
      log_path: Where the process writes; by default a temporary file that `stop` removes.
      start_timeout: Seconds that a `with` block waits for the model.
      extra_flags: Appended to the command line.
      folders: What the flags name beside the base path; a container sees them too.
      tls: How its gRPC port is asked for the model, if the flags have it speak TLS.
    """

    def __init__(
        self,
        model_name: str,
        model_base_path: str | os.PathLike[str],
        *,
        program: ServerProgram | None = None,
        port: int | None = None,
        rest_api_port: int | None = None,
        log_path: str | os.PathLike[str] | None = None,
        start_timeout: float = START_TIMEOUT,
        extra_flags: Sequence[str] = (),
        folders: Sequence[Path] = (),
        tls: ClientTls | None = None,
    ) -> None:
        self.program = program or find_server()
        self.model_name = model_name
        self.model_base_path = Path(model_base_path).resolve()
        self.start_timeout = start_timeout
        self.extra_flags = tuple(extra_flags)
        self.folders = tuple(folders)
        self.tls = tls
        self.command: list[str] = []
        self._wanted_ports = (port, rest_api_port)
        self._ports = (0, 0)
        self._log_path = Path(log_path) if log_path is not None else None
        self._log_is_ours = log_path is None
        self._process: subprocess.Popen[bytes] | None = None
        self._last_tail = ""

    @property
    def kind(self) -> str:
        """`"stock"`, `"docker"` or `"embedded"`."""
        return self.program.kind

    @property
    def version_text(self) -> str:
        """One line that names the server and its version."""
        return self.program.version_text

    @property
    def grpc_address(self) -> str:
        """`HOST:PORT` of gRPC."""
        return f"{LOOPBACK}:{self._ports[0]}"

    @property
    def rest_address(self) -> str | None:
        """`HOST:PORT` of REST, `None` if it is turned off."""
        return f"{LOOPBACK}:{self._ports[1]}" if self._ports[1] else None

    @property
    def pid(self) -> int | None:
        """The process's id, `None` before `start` and after `stop`."""
        return self._process.pid if self._process is not None else None

    @property
    def exit_code(self) -> int | None:
        """How the process ended, `None` while it runs or before it started."""
        return self._process.poll() if self._process is not None else None

    @property
    def log_tail(self) -> str:
        """The last lines that the process wrote; kept after `stop`."""
        if self._log_path is None or not self._log_path.exists():
            return self._last_tail
        with self._log_path.open("rb") as log:
            log.seek(max(0, self._log_path.stat().st_size - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-_TAIL_LINES:])

    def start(self) -> None:
        """Starts the process; it is not available yet.

        Raises:
          ServerStartError: It runs already, cannot be run, or a given port is taken.
        """
        if self._process is not None:
            raise ServerStartError(f"the server already runs as process {self.pid}")
        for port in self._wanted_ports:
            if port and not port_is_free(port):
                raise ServerStartError(
                    f"port {port} is taken; stop what listens there or name another"
                )
        grpc_port, rest_port = self._wanted_ports
        free = free_ports(2)
        self._ports = (
            free[0] if grpc_port is None else grpc_port,
            free[1] if rest_port is None else rest_port,
        )
        self.command = launch_command(
            self.program,
            model_name=self.model_name,
            model_base_path=self.model_base_path,
            port=self._ports[0],
            rest_api_port=self._ports[1],
            extra_flags=self.extra_flags,
            folders=self.folders,
        )
        if self._log_path is None:
            handle, name = tempfile.mkstemp(prefix="peakserve-server-", suffix=".log")
            os.close(handle)
            self._log_path = Path(name)
        with self._log_path.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE if self.kind == EMBEDDED else subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment(),
                    # Ctrl-C in the terminal must reach us only: we stop the server in order.
                    start_new_session=True,
                )
            except OSError as error:
                self._forget_log()
                raise ServerStartError(
                    f"{self.command[0]}: {error}", command=self.command
                ) from error

    def wait_until_available(self, timeout: float | None = None) -> None:
        """Returns as soon as a version of the model answers on every transport.

        Args:
          timeout: Seconds; by default `start_timeout`.

        Raises:
          ServerStartError: The process ended or the time is over; with the end of its log.
        """
        deadline = time.monotonic() + (self.start_timeout if timeout is None else timeout)
        attempts = _PORT_ATTEMPTS if None in self._wanted_ports else 1
        while True:
            code = self._ended_before_available(deadline)
            if code is None:
                return
            attempts -= 1
            tail = self.log_tail
            if not attempts or not _PORT_TAKEN.search(tail):
                self.stop()
                reason = f"the server ended with exit code {code} before the model was available"
                raise ServerStartError(reason, command=self.command, log_tail=tail)
            # Somebody took the free port between our looking and the server's listening.
            self.stop()
            self.start()

    def _ended_before_available(self, deadline: float) -> int | None:
        """The exit code of a process that ended, `None` once the model is available."""
        process = self._process
        if process is None:
            raise ServerStartError("the server was not started")
        with ExitStack() as clients:
            unanswered = self._questions(clients)
            while unanswered:
                left = deadline - time.monotonic()
                if left <= 0:
                    tail = self.log_tail
                    self.stop()
                    raise ServerStartError(
                        f"the model {self.model_name} did not become available in time",
                        command=self.command,
                        log_tail=tail,
                    )
                if _is_available(unanswered[0], min(left, _CALL_SECONDS)):
                    del unanswered[0]
                    continue
                try:
                    # The pause between two questions ends early when the process does.
                    return process.wait(timeout=min(left, _POLL_SECONDS))
                except subprocess.TimeoutExpired:
                    continue
        return process.poll()

    def _questions(self, clients: ExitStack) -> list[StatusQuestion]:
        """One way to ask for the model's status per transport that is turned on."""
        from serving_config.grpc_client import GrpcClient
        from serving_config.rest_client import RestClient

        questions: list[StatusQuestion] = []
        if self._ports[0]:
            grpc_client = GrpcClient(self.grpc_address, model=self.model_name, tls=self.tls)
            clients.enter_context(grpc_client)
            questions.append(partial(grpc_client.status, wait_for_ready=True))
        if self.rest_address:
            rest_client = RestClient(self.rest_address, model=self.model_name)
            clients.enter_context(rest_client)
            questions.append(rest_client.status)
        return questions

    def stop(self) -> None:
        """Ends the process that was started here, and only that; may be called at any time."""
        process, self._process = self._process, None
        if process is not None:
            try:
                process.terminate()
                try:
                    process.wait(timeout=_STOP_TIMEOUT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            finally:
                if process.stdin is not None:
                    process.stdin.close()
        self._forget_log()

    def _forget_log(self) -> None:
        self._last_tail = self.log_tail
        if self._log_is_ours and self._log_path is not None:
            self._log_path.unlink(missing_ok=True)
            self._log_path = None

    def _environment(self) -> dict[str, str]:
        environment = {**ENVIRONMENT, **os.environ}
        if self.kind == EMBEDDED:
            root = str(Path(__file__).resolve().parents[1])
            paths = [root, *filter(None, [environment.get("PYTHONPATH")])]
            environment["PYTHONPATH"] = os.pathsep.join(paths)
            environment["PYTHONUNBUFFERED"] = "1"
            environment[STDIN_WATCH_VARIABLE] = "1"
        return environment

    def __enter__(self) -> ModelServer:
        try:
            self.start()
            self.wait_until_available()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _is_available(question: StatusQuestion, timeout: float) -> bool:
    """Whether some version answers; a server that is not up yet is no error."""
    try:
        versions = question(timeout=timeout)
    except ServingError:
        return False
    return any(status.is_available for status in versions.values())
