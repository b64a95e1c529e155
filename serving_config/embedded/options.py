"""The host's flags: the stock server's names and defaults, `--name=value`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_config.embedded.failures import StatusError, invalid_argument

_THREADS_PER_CORE = 4


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
      port: gRPC port, 0 for none.
      rest_api_port: REST port, 0 for none.
      host: The interface to listen on.
      model_name: The servable's name.
      model_base_path: The directory with the numbered versions.
      rest_api_timeout_in_ms: When a REST request is answered with 504.
      rest_api_num_threads: REST requests at a time; more wait.
      grpc_max_threads: gRPC calls at a time; more are refused.
      file_system_poll_wait_seconds: How often the base path is looked at.
      tensorflow_intra_op_parallelism: Threads of one operation, 0 for one per core.
      tensorflow_inter_op_parallelism: Operations at a time, 0 for one per core.
      version: Whether to print the version and leave.
    """

    port: int
    rest_api_port: int
    host: str
    model_name: str
    model_base_path: str
    rest_api_timeout_in_ms: int
    rest_api_num_threads: int
    grpc_max_threads: int
    file_system_poll_wait_seconds: float
    tensorflow_intra_op_parallelism: int
    tensorflow_inter_op_parallelism: int
    version: bool

    def base_path(self) -> Path:
        """The base path.

        Raises:
          StatusError: It is missing or relative.
        """
        if not self.model_base_path:
            raise invalid_argument(
                "Both server_options.model_base_path and server_options.model_config_file are "
                "empty!"
            )
        path = Path(self.model_base_path)
        if not path.is_absolute():
            raise StatusError(
                "INVALID_ARGUMENT",
                f"Expected model {self.model_name} to have an absolute path or URI; "
                f"got base_path()={self.model_base_path}",
            )
        return path


def parse_options(arguments: Sequence[str]) -> Options:
    """Reads the command line; unknown flags end the program, they are never ignored."""
    threads = _THREADS_PER_CORE * (os.cpu_count() or 1)
    parser = argparse.ArgumentParser(
        prog="python -m serving_config.embedded",
        description="peakserve's embedded host: TensorFlow Serving's wire API in one process.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=8500, help="gRPC port, 0 for none")
    add("--rest_api_port", type=int, default=0, help="REST port, 0 for none")
    add("--host", default="127.0.0.1", help="interface to listen on")
    add("--model_name", default="default", help="the servable's name")
    add("--model_base_path", default="", help="absolute directory with the numbered versions")
    add("--rest_api_timeout_in_ms", type=int, default=30000, help="until a 504")
    add("--rest_api_num_threads", type=int, default=threads, help="REST requests at a time")
    add("--grpc_max_threads", type=int, default=threads, help="gRPC calls at a time")
    add("--file_system_poll_wait_seconds", type=float, default=1.0, help="between two looks")
    add("--tensorflow_intra_op_parallelism", type=int, default=0, help="threads of one operation")
    add("--tensorflow_inter_op_parallelism", type=int, default=0, help="operations at a time")
    add("--version", action="store_true", help="print the version and leave")
    return Options(**vars(parser.parse_args(arguments)))
