"""The model server's flags, each with the reason for its value, and the script that starts it."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_config.batching import BATCHING_FLAGS
from serving_config.models_config import MODELS_CONFIG
from serving_config.monitoring import MONITORING_CONFIG
from serving_config.programs import BINARY_NAME, ENVIRONMENT
from serving_config.tls import SSL_CONFIG

SCRIPT = "serve.sh"
_FLAG = re.compile(r"(--)?[a-z]\w*=.*")

# Flags that are never written, whoever asks, with the reason.
FORBIDDEN = {
    "enable_serialization_as_tensor_content": "it makes REST replies wrong: numbers become "
    "garbage, and a string output ends the server",
    "batching_parameters_file": "it batches every model, also those with scalar inputs; "
    "versions exported with --batching server carry a file of their own",
    "pad_variable_length_inputs": "with it one request of another rank ends the whole server",
}


@dataclass(frozen=True)
class Flag:
    """One flag of the model server.

    Attributes:
      name: Without dashes.
      value: As the server reads it.
      reason: One or two sentences for operators.
    """

    name: str
    value: str
    reason: str

    def __str__(self) -> str:
        """As it stands on a command line."""
        return f"--{self.name}={self.value}"


@dataclass(frozen=True)
class ServerPlan:
    """How a model server is started.

    Attributes:
      port: gRPC.
      rest_port: REST and metrics; 0 turns both off.
      concurrency: gRPC calls that are answered at a time; more are refused at once.
      gpu: Whether it runs on a GPU.
      gpu_memory_fraction: Of the GPU's memory, what TensorFlow takes.
      threads: Threads of TensorFlow's session; 0 for one per core of the machine.
      batching: Whether some version leaves batching to the server.
      tls: Whether it speaks TLS.
      extra: Further flags as `NAME=VALUE`.

    Raises:
      ValueError: Both ports are one, or an extra flag has another form or is never right.
    """

    port: int = 8500
    rest_port: int = 8501
    concurrency: int = 64
    gpu: bool = False
    gpu_memory_fraction: float = 0.9
    threads: int = 0
    batching: bool = False
    tls: bool = False
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.port == self.rest_port:
            raise ValueError(
                f"--rest-port: expected another port than that of gRPC, got {self.port} for both"
            )
        for flag in self.extra:
            if not _FLAG.fullmatch(flag):
                raise ValueError(
                    f"--flag: expected NAME=VALUE, such as --flag enable_model_warmup=false, got "
                    f"{flag!r}"
                )
            name = flag.lstrip("-").partition("=")[0]
            if name in FORBIDDEN:
                raise ValueError(f"--{name} is never set: {FORBIDDEN[name]}")


def flags_of(plan: ServerPlan, config_dir: str | Path) -> list[Flag]:
    """All flags of a server whose configuration files are in a folder."""
    config_dir = Path(config_dir)
    flags = [
        Flag("port", str(plan.port), "gRPC. Map-sized requests belong here: as JSON they take "
             "six times as long and more."),
        Flag("rest_api_port", str(plan.rest_port), "REST, health and metrics; 0 turns it off."),
        Flag("model_config_file", str(config_dir / MODELS_CONFIG), "Which models, versions and "
             "labels are hosted."),
        Flag("model_config_file_poll_wait_seconds", "5", "The file is read again this often, so "
             "that labels move without a restart."),
        Flag("allow_version_labels_for_unavailable_models", "true", "Without it a label in the "
             "file ends the server at its start, when no version is available yet."),
        Flag("file_system_poll_wait_seconds", "5", "Between two looks for new versions."),
        Flag("max_num_load_retries", "2", "A version that does not load is given up after this "
             "many further attempts (5 by default)."),
        Flag("load_retry_interval_micros", "5000000", "Between two attempts; by default a bad "
             "version stays LOADING for five minutes."),
        Flag("grpc_max_threads", str(plan.concurrency), "gRPC calls at a time. One more is "
             "refused at once with RESOURCE_EXHAUSTED; the default is four per core."),
        Flag("enable_grpc_healthcheck_service", "true", "grpc.health.v1.Health, for probes."),
        Flag("tensorflow_session_parallelism", str(plan.threads), "Threads of TensorFlow; 0 is "
             "one per core of the machine. In a container with a CPU limit set it to the limit, "
             "which the server does not see."),
    ]  # fmt: skip
    if plan.rest_port:
        flags.append(
            Flag("monitoring_config_file", str(config_dir / MONITORING_CONFIG),
                 "Metrics for Prometheus, on the REST port.")
        )  # fmt: skip
    if plan.gpu:
        flags.append(
            Flag("per_process_gpu_memory_fraction", f"{plan.gpu_memory_fraction:g}",
                 "TensorFlow's share of the GPU's memory, taken at the start: what is left is "
                 "for libraries and for others on the card.")
        )  # fmt: skip
    if plan.batching:
        reason = "The server batches the versions that carry batching_params.pbtxt, and only them."
        flags += [Flag(flag.removeprefix("--"), "true", reason) for flag in BATCHING_FLAGS]
    if plan.tls:
        flags.append(
            Flag("ssl_config_file", str(config_dir / SSL_CONFIG), "TLS on the gRPC port; REST "
                 "stays in the clear: keep it inside.")
        )  # fmt: skip
    for flag in plan.extra:
        name, _, value = flag.lstrip("-").partition("=")
        flags.append(Flag(name, value, "As asked."))
    return flags


def script_text(flags: Sequence[Flag]) -> str:
    """A shell script that starts the server, with every flag explained.

    Further arguments of the script go to the server, after the script's own.
    """
    lines = [
        "#!/bin/sh",
        "# Starts the model server on this configuration. TENSORFLOW_MODEL_SERVER names another",
        f"# binary than the {BINARY_NAME} on PATH.",
        "set -eu",
        'extra="$#"',
        "",
        "# Memory comes from the system: oneDNN keeps what large requests once took, and with it a",
        "# request of 88 bytes that declares terabytes stops everybody's for ten seconds.",
        *(f'export {name}="${{{name}:-{value}}}"' for name, value in ENVIRONMENT.items()),
    ]
    for flag in flags:
        reason = textwrap.wrap(flag.reason, 96, initial_indent="# ", subsequent_indent="# ")
        lines += ["", *reason, f'set -- "$@" {shlex.quote(str(flag))}']
    lines += [
        "",
        "# The script's own arguments come last, where they win.",
        'while [ "$extra" -gt 0 ]; do',
        '    first="$1"; shift; set -- "$@" "$first"; extra=$((extra - 1))',
        "done",
        f'exec "${{TENSORFLOW_MODEL_SERVER:-{BINARY_NAME}}}" "$@"',
    ]
    return "\n".join(lines) + "\n"
