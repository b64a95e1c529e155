"""The host's life: wait for a version, load it, listen, stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from serving_config.embedded.core import Core
from serving_config.embedded.failures import StatusError
from serving_config.embedded.grpc_service import start_grpc_server
from serving_config.embedded.http_server import HttpServer
from serving_config.embedded.loader import load_servable
from serving_config.embedded.manager import Manager, version_directories
from serving_config.embedded.options import Options
from serving_config.embedded.rest_app import rest_app
from serving_config.process import STDIN_WATCH_VARIABLE
from serving_config.status import VersionStatus

# What the stock server's `exit(-1)` becomes.
FAILED_START = 255
_GRACE_SECONDS = 1.0


def announce(text: str) -> None:
    """One line of the log."""
    print(text, flush=True)


def run(options: Options) -> int:
    """Runs the host until it is told to stop.

    Args:
      options: The parsed command line.

    Returns:
      The process's exit code.
    """
    stop = threading.Event()
    _stop_on_signals(stop)
    _stop_with_parent(stop)
    with ExitStack() as cleanup:
        manager = Manager()
        cleanup.callback(manager.close)
        try:
            base_path = options.base_path()
            found = _first_version(base_path, options.file_system_poll_wait_seconds, stop)
            if found is None:
                return 0
            _load(manager, options, *found)
            if stop.is_set():
                return 0
            _listen(cleanup, Core(manager), options)
        except StatusError as error:
            announce(f"Failed to start server. Error: {error.code}: {error.text}")
            return FAILED_START
        except (OSError, RuntimeError) as error:
            announce(f"Failed to start server. Error: UNAVAILABLE: {error}")
            return FAILED_START
        stop.wait()
        announce("stopping")
    return 0


def _first_version(base_path: Path, poll: float, stop: threading.Event) -> tuple[int, Path] | None:
    """The newest version directory, as soon as there is one; `None` if told to stop before."""
    told = False
    while not stop.is_set():
        if found := version_directories(base_path):
            version = max(found)
            return version, found[version]
        if not told:
            announce(f"No versions of the servable found under base path {base_path}; waiting")
            told = True
        stop.wait(max(poll, 0.01))
    return None


def _load(manager: Manager, options: Options, version: int, directory: Path) -> None:
    """Loads a version and makes it answer.

    Raises:
      StatusError: With the text of a stock server that cannot start.
    """
    name = options.model_name
    manager.set_state(name, version, VersionStatus("LOADING"))
    try:
        servable = load_servable(
            name,
            version,
            directory,
            intra_op_threads=options.tensorflow_intra_op_parallelism,
            inter_op_threads=options.tensorflow_inter_op_parallelism,
        )
    except StatusError as error:
        manager.set_state(name, version, VersionStatus("END", error.code, error.text))
        raise StatusError(
            "UNKNOWN",
            f"1 servable(s) did not become available: {{{{{{name: {name} version: {version}}} "
            f"due to error: {error.code}: {error.text}}}, }}",
        ) from error
    manager.add(servable)
    keys = ", ".join(sorted(servable.signatures))
    announce(f"loaded {name} version {version} from {directory}: {keys}")


def _listen(cleanup: ExitStack, core: Core, options: Options) -> None:
    """Opens the ports; `cleanup` closes them.

    Raises:
      OSError: The REST port is taken.
      RuntimeError: The gRPC port is taken.
    """
    if options.rest_api_port:
        threads = ThreadPoolExecutor(options.rest_api_num_threads, thread_name_prefix="rest")
        cleanup.callback(threads.shutdown, wait=False, cancel_futures=True)
        app = rest_app(core, threads, options.rest_api_timeout_in_ms / 1000)
        http = HttpServer(app, options.host, options.rest_api_port)
        cleanup.callback(http.stop)
    if options.port:
        server = start_grpc_server(core, options.host, options.port, options.grpc_max_threads)
        cleanup.callback(lambda: server.stop(_GRACE_SECONDS).wait())
        announce(f"gRPC on {options.host}:{options.port}")
    if options.rest_api_port:
        http.start()
        announce(f"REST on {options.host}:{options.rest_api_port}")


def _stop_on_signals(stop: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())


def _stop_with_parent(stop: threading.Event) -> None:
    """Ends the host when the process that holds the other end of standard input does."""
    if not os.environ.get(STDIN_WATCH_VARIABLE):
        return

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
