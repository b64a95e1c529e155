"""Which program hosts a model, and its command line."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from serving_config.errors import ServerStartError

STOCK, EMBEDDED = "stock", "embedded"
BINARY_VARIABLE = "PEAKSERVE_MODEL_SERVER"
BINARY_NAME = "tensorflow_model_server"
_VERSION_TIMEOUT = 30.0


@dataclass(frozen=True)
class ServerProgram:
    """A program that hosts models.

    Attributes:
      kind: `"stock"` or `"embedded"`.
      command: What to run, before any flag.
    """

    kind: str
    command: tuple[str, ...]

    @cached_property
    def version_text(self) -> str:
        """One line that names the program and its version.

        Raises:
          ServerStartError: The stock binary does not say its version.
        """
        if self.kind == EMBEDDED:
            return f"peakserve embedded host, TensorFlow {tensorflow_version()}"
        command = [*self.command, "--version"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_VERSION_TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServerStartError(f"{command[0]}: {error}", command=command) from error
        lines = (done.stdout + done.stderr).strip().splitlines()
        if not lines:
            raise ServerStartError(f"{command[0]} does not say its version", command=command)
        return lines[0]


EMBEDDED_HOST = ServerProgram(EMBEDDED, (sys.executable, "-m", "serving_config.embedded"))


def tensorflow_version() -> str:
    """The installed TensorFlow's version, without importing it."""
    for package in ("tensorflow", "tensorflow-cpu", "tf-nightly"):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of unknown version"


def find_server() -> ServerProgram:
    """The stock server of `PEAKSERVE_MODEL_SERVER` or of PATH, else the embedded host.

    Raises:
      ServerStartError: `PEAKSERVE_MODEL_SERVER` is set to something that cannot be run.
    """
    named = os.environ.get(BINARY_VARIABLE)
    if named:
        binary = shutil.which(named)
        if binary is None:
            raise ServerStartError(
                f"{BINARY_VARIABLE}={named} is not an executable file; "
                f"unset it to use {BINARY_NAME} from PATH or the embedded host"
            )
        return ServerProgram(STOCK, (str(Path(binary).resolve()),))
    binary = shutil.which(BINARY_NAME)
    return ServerProgram(STOCK, (binary,)) if binary else EMBEDDED_HOST


def launch_command(
    program: ServerProgram,
    *,
    model_name: str,
    model_base_path: str | os.PathLike[str],
    port: int,
    rest_api_port: int,
    extra_flags: Sequence[str] = (),
) -> list[str]:
    """The command line that hosts one model; the flags are the same for both programs.

    Args:
      program: From `find_server`.
      model_name: The servable's name.
      model_base_path: The directory with the numbered versions; made absolute.
      port: The gRPC port; 0 turns gRPC off.
      rest_api_port: The REST port; 0 turns REST off.
      extra_flags: Appended as they are.
    """
    return [
        *program.command,
        f"--port={port}",
        f"--rest_api_port={rest_api_port}",
        f"--model_name={model_name}",
        f"--model_base_path={Path(model_base_path).resolve()}",
        *extra_flags,
    ]
