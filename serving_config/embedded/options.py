"""The host's flags: the stock server's names and defaults, `--name=value`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

_THREADS_PER_CORE = 4
_FLAG_FAULT = 255

# Flags of the stock server that mean nothing here: accepted, named in the log, without effect.
WITHOUT_EFFECT = frozenset(
    (
        "grpc_socket_path",
        "enable_batching",
        "batching_parameters_file",
        "grpc_channel_arguments",
        "enable_per_model_batching_parameters",
        "num_load_threads",
        "num_unload_threads",
        "flush_filesystem_caches",
        "tensorflow_session_config_file",
        "use_alts_credentials",
        "platform_config_file",
        "per_process_gpu_memory_fraction",
        "saved_model_tags",
        "remove_unused_fields_from_bundle_metagraph",
        "prefer_tflite_model",
        "num_tflite_pools",
        "num_tflite_interpreters_per_pool",
        "enable_signature_method_name_check",
        "xla_cpu_compilation_enabled",
        "xla_gpu_compilation_enabled",
        "enable_profiler",
        "thread_pool_factory_config_file",
        "mixed_precision",
        "skip_initialize_tpu",
        "enable_serialization_as_tensor_content",
    )
)


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


def _threads() -> int:
    return _THREADS_PER_CORE * (os.cpu_count() or 1)


def _per_core(text: str) -> Any:
    return field(default_factory=_threads, metadata={"help": text})


@dataclass(frozen=True)
class Options:
    """What the command line asks for; every field is the flag of its name."""

    port: int = _flag(8500, "gRPC port, 0 for none")
    rest_api_port: int = _flag(0, "REST port, 0 for none")
    host: str = _flag("127.0.0.1", "interface to listen on")
    model_name: str = _flag("default", "the servable's name")
    model_base_path: str = _flag("", "absolute directory with the numbered versions")
    model_config_file: str = _flag("", "ModelServerConfig text file, instead of one model")
    model_config_file_poll_wait_seconds: float = _flag(
        0.0, "between two readings of the model config file, 0 to read it once"
    )
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "let a new label name a version that is not available"
    )
    file_system_poll_wait_seconds: float = _flag(
        1.0, "between two looks for versions, 0 to look once, negative for never"
    )
    max_num_load_retries: int = _flag(5, "further attempts to load a version that fails")
    load_retry_interval_micros: int = _flag(60_000_000, "between two such attempts")
    enable_model_warmup: bool = _flag(True, "replay assets.extra/tf_serving_warmup_requests")
    num_request_iterations_for_warmup: int = _flag(0, "times each record is replayed, 0 for once")
    rest_api_timeout_in_ms: int = _flag(30000, "until a REST request is answered with 504")
    rest_api_num_threads: int = _per_core("REST requests at a time; more wait")
    rest_api_enable_cors_support: bool = _flag(False, "send Access-Control-Allow headers")
    rest_api_max_body_bytes: int = _flag(
        1 << 28,
        "size of a REST request's body, also unzipped; larger ones get 413 (not a flag "
        "of the stock server)",
    )
    rest_api_max_pending_bytes: int = _flag(
        1 << 30,
        "size of all bodies in memory; a request beyond it gets 503 (not a flag of the stock "
        "server)",
    )
    rest_api_max_header_bytes: int = _flag(
        1 << 16,
        "size of a request line with its headers; larger ones get 431 (not a flag of the stock "
        "server)",
    )
    rest_api_max_json_depth: int = _flag(
        100,
        "lists and objects within one another in a REST request (not a flag of the stock server)",
    )
    rest_api_max_connections: int = _flag(
        256, "REST connections at a time; more get 503 (not a flag of the stock server)"
    )
    grpc_max_message_bytes: int = _flag(
        2**31 - 1, "size of a gRPC request (not a flag of the stock server, where this is fixed)"
    )
    grpc_max_threads: int = _per_core("gRPC calls at a time; more are refused")
    ssl_config_file: str = _flag("", "SSLConfig text file: TLS on the gRPC port")
    enable_grpc_healthcheck_service: bool = _flag(False, "answer grpc.health.v1.Health")
    monitoring_config_file: str = _flag("", "MonitoringConfig text file: Prometheus metrics")
    tensorflow_session_parallelism: int = _flag(0, "both of the next two")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads of one operation, 0 for one per core")
    tensorflow_inter_op_parallelism: int = _flag(0, "operations at a time, 0 for one per core")
    version: bool = _flag(False, "print the version and leave")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Ends like the stock server does after a value that cannot be read."""
        print(message)
        self.print_usage(sys.stdout)
        raise SystemExit(_FLAG_FAULT)


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise ValueError(text)


_PARSERS: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str}


def parse_options(arguments: Sequence[str], say: Callable[[str], None] = print) -> Options:
    """Reads the command line.

    Flags that the stock server has and this host has not are named and have no effect. Unknown
    ones are named together with the usage, and the host goes on, as the stock server does.

    Args:
      arguments: The command line without the program.
      say: Where the remarks go.

    Raises:
      SystemExit: With code 255, a value cannot be read.
    """
    parser = _Parser(
        prog="python -m serving_config.embedded",
        description="peakserve's embedded host: TensorFlow Serving's wire API in one process.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    defaults = Options()
    for option in fields(Options):
        kind: dict[str, Any] = {"type": _PARSERS.get(str(option.type))}
        if option.type == "bool":
            kind = {"type": _boolean, "nargs": "?", "const": True}
        parser.add_argument(
            f"--{option.name}",
            default=getattr(defaults, option.name),
            help=option.metadata["help"],
            **kind,
        )
    known, others = parser.parse_known_args(arguments)
    for argument in others:
        if argument.lstrip("-").partition("=")[0] in WITHOUT_EFFECT:
            say(f"{argument}: no effect in the embedded host")
        else:
            say(f"unknown argument: {argument}")
            say(parser.format_usage().rstrip())
    return Options(**vars(known))
