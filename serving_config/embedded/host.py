"""The host's life: configure, wait for the models, listen, drain, stop."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from serving_config.embedded.core import Core
from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.grpc_service import GrpcServer
from serving_config.embedded.http_protocol import HttpLimits
from serving_config.embedded.http_server import HttpServer
from serving_config.embedded.lifecycle import Retries
from serving_config.embedded.loader import Loader, LoadOptions
from serving_config.embedded.manager import Manager
from serving_config.embedded.metrics import Metrics
from serving_config.embedded.model_config import ModelEntry, read_model_config
from serving_config.embedded.monitoring_config import prometheus_path
from serving_config.embedded.options import Options
from serving_config.embedded.rest_app import RestOptions, rest_app
from serving_config.embedded.ssl_config import server_credentials
from serving_config.process import STDIN_WATCH_VARIABLE

# What the stock server's `exit(-1)` becomes.
FAILED_START = 255

# How long requests in flight may take once the host was told to stop.
DRAIN_SECONDS = 5
_SWITCH_SECONDS = 0.0005


def announce(text: str) -> None:
    """One line of the log."""
    # In one piece: several threads have something to say.
    print(f"{text}\n", end="", flush=True)


def run(options: Options) -> int:
    """Runs the host until it is told to stop.

    Args:
      options: The parsed command line.

    Returns:
      The process's exit code.
    """
    _keep_modules()
    # A request needs the interpreter several times; each time it would wait 5 ms for a thread that
    # reads a large JSON text.
    sys.setswitchinterval(_SWITCH_SECONDS)
    stop = threading.Event()
    _stop_on_signals(stop)
    _stop_with_parent(stop)
    with ExitStack() as cleanup:
        try:
            entries = _entries(options)
            metrics = Metrics()
            manager = _manager(options, metrics)
            cleanup.callback(manager.close)
            if not manager.reload(entries, go_on=lambda: not stop.is_set()):
                return 0
            _listen(cleanup, Core(manager, metrics), options)
        except StatusError as error:
            announce(f"Failed to start server. Error: {error.code}: {error.text}")
            return FAILED_START
        except (OSError, RuntimeError) as error:
            announce(f"Failed to start server. Error: UNAVAILABLE: {error}")
            return FAILED_START
        poll_seconds = options.model_config_file_poll_wait_seconds
        if options.model_config_file and poll_seconds > 0:
            manager.follow_config_file(options.model_config_file, poll_seconds)
        stop.wait()
        announce("stopping: new requests are refused, those in flight are finished")
    announce("stopped")
    return 0


def _keep_modules() -> None:
    """Takes what was imported out of the search for garbage.

    Among TensorFlow's objects it takes 0.15 s, in which no request is answered, and every few
    bodies with many lists set it off.
    """
    gc.collect()
    gc.freeze()


def _entries(options: Options) -> list[ModelEntry] | None:
    """The models to host at first.

    Raises:
      StatusError: None are named, or the config file cannot be read.
    """
    if options.model_config_file:
        return read_model_config(options.model_config_file)
    if not options.model_base_path:
        raise invalid_argument(
            "Both server_options.model_base_path and server_options.model_config_file are empty!"
        )
    return [ModelEntry(options.model_name, options.model_base_path)]


def _manager(options: Options, metrics: Metrics) -> Manager:
    intra = options.tensorflow_intra_op_parallelism
    inter = options.tensorflow_inter_op_parallelism
    if not intra and not inter:
        intra = inter = options.tensorflow_session_parallelism
    iterations = max(options.num_request_iterations_for_warmup, 1)
    load_options = LoadOptions(
        intra_op_threads=intra,
        inter_op_threads=inter,
        warmup_iterations=iterations if options.enable_model_warmup else 0,
    )
    seconds = options.load_retry_interval_micros / 1e6
    return Manager(
        Loader(load_options, metrics),
        retries=Retries(options.max_num_load_retries, seconds),
        poll_seconds=options.file_system_poll_wait_seconds,
        labels_before_versions=options.allow_version_labels_for_unavailable_models,
        say=announce,
    )


def _listen(cleanup: ExitStack, core: Core, options: Options) -> None:
    """Opens the ports; `cleanup` drains and closes them.

    Raises:
      OSError: The REST port is taken.
      RuntimeError: The gRPC port is taken.
      StatusError: The monitoring or TLS config cannot be read or used.
    """
    http = None
    if options.rest_api_port:
        threads = ThreadPoolExecutor(options.rest_api_num_threads, thread_name_prefix="rest")
        cleanup.callback(threads.shutdown, wait=False, cancel_futures=True)
        metrics_path = None
        if options.monitoring_config_file:
            metrics_path = prometheus_path(options.monitoring_config_file)
        rest_options = RestOptions(
            timeout=max(options.rest_api_timeout_in_ms, 0) / 1000 or None,
            allow_cross_origin=options.rest_api_enable_cors_support,
            metrics_path=metrics_path,
            largest_body=options.rest_api_max_body_bytes,
            deepest_json=options.rest_api_max_json_depth,
            most_pending=options.rest_api_max_pending_bytes,
        )
        app = rest_app(core, threads, rest_options)
        http = HttpServer(
            app,
            options.host,
            options.rest_api_port,
            DRAIN_SECONDS,
            HttpLimits(
                head_bytes=options.rest_api_max_header_bytes,
                seconds=rest_options.timeout,
                connections=options.rest_api_max_connections,
            ),
        )
        cleanup.callback(http.stop)
    if options.port:
        file = options.ssl_config_file
        credentials = server_credentials(file) if file else None
        server = GrpcServer(
            core,
            options.host,
            options.port,
            options.grpc_max_threads,
            options.grpc_max_message_bytes,
            with_health=options.enable_grpc_healthcheck_service,
            credentials=credentials,
        )
        server.start()
        cleanup.callback(_drain, server, http)
        announce(f"gRPC on {options.host}:{options.port}")
    if http is not None:
        http.start()
        announce(f"REST on {options.host}:{options.rest_api_port}")


def _drain(server: GrpcServer, http: HttpServer | None) -> None:
    """Lets gRPC calls in flight end while REST, if it is on, does the same."""
    if http is not None:
        http.begin_to_stop()
    server.stop(DRAIN_SECONDS).wait()


def _stop_on_signals(stop: threading.Event) -> None:
    def on_signal(number: int, _: object) -> None:
        # Who asks twice does not want to wait for the requests in flight.
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def _stop_with_parent(stop: threading.Event) -> None:
    """Ends the host when the process that holds the other end of standard input does."""
    if not os.environ.get(STDIN_WATCH_VARIABLE):
        return

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
