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

STOCK, EMBEDDED, DOCKER = "stock", "embedded", "docker"
AUTO, BINARY = "auto", "binary"
BINARY_VARIABLE = "PEAKSERVE_MODEL_SERVER"
BINARY_NAME = "tensorflow_model_server"
IMAGE, LATEST = "tensorflow/serving", "latest"
_VERSION_TIMEOUT = 60.0


@dataclass(frozen=True)
class ServerProgram:
    """A program that hosts models.

    Attributes:
      kind: `"stock"` (a binary), `"docker"` (the stock server in a container) or `"embedded"`.
      command: What to run, before any flag.
      image: The container's image, empty for a program that runs on this machine.
    """

    kind: str
    command: tuple[str, ...]
    image: str = ""

    @cached_property
    def version_text(self) -> str:
        """One line that names the program and its version.

        Raises:
          ServerStartError: The stock server does not say its version.
        """
        if self.kind == EMBEDDED:
            return f"peakserve embedded host, TensorFlow {tensorflow_version()}"
        command = [*self.command, *self._container([]), "--version"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_VERSION_TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServerStartError(f"{command[0]}: {error}", command=command) from error
        lines = (done.stdout + done.stderr).strip().splitlines()
        if not lines:
            raise ServerStartError(f"{command[0]} does not say its version", command=command)
        return lines[0] if not self.image else f"{lines[0]} in {self.image}"

    def _container(self, options: Sequence[str]) -> list[str]:
        """The container's own options and image; nothing for a program of this machine."""
        if not self.image:
            return []
        return [*options, f"--entrypoint={BINARY_NAME}", self.image]

    def launch(self, ports: Sequence[int], folders: Sequence[Path]) -> list[str]:
        """The command before the server's flags.

        Args:
          ports: What the server listens on; a container publishes them on loopback.
          folders: What it reads; a container sees them read-only under the same path.
        """
        published = [f"--publish=127.0.0.1:{port}:{port}" for port in ports if port]
        mounts = [f"--mount=type=bind,source={path},target={path},readonly" for path in folders]
        return [*self.command, *self._container([*published, *mounts])]


# Variables of every server that is started, unless its caller has set them. With oneDNN's own
# allocator, which a server on a CPU has by default, a request of 88 bytes that declares terabytes
# stops everybody's requests for ten seconds, and what large requests once took is kept for good.
ENVIRONMENT = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "true"}

EMBEDDED_HOST = ServerProgram(EMBEDDED, (sys.executable, "-m", "serving_config.embedded"))


def tensorflow_version() -> str:
    """The installed TensorFlow's version, without importing it."""
    for package in ("tensorflow", "tensorflow-cpu", "tf-nightly"):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of unknown version"


def find_server(wanted: str = AUTO) -> ServerProgram:
    """The program that a `--server` option names.

    Args:
      wanted: `auto` (the stock binary of `PEAKSERVE_MODEL_SERVER` or of PATH, else the embedded
        host), `binary`, `embedded`, or `docker` with an optional `:TAG` of `tensorflow/serving`.
        Docker is used only when it is asked for, and never pulls an image.

    Raises:
      ServerStartError: There is no such program; the sentence says how to get one.
    """
    kind, _, tag = wanted.partition(":")
    if kind == DOCKER:
        return _docker(tag or LATEST)
    if tag or kind not in (AUTO, BINARY, EMBEDDED):
        raise ServerStartError(
            f"expected the server auto, binary, embedded, docker or docker:TAG, got {wanted!r}"
        )
    if kind == EMBEDDED:
        return EMBEDDED_HOST
    binary = _binary()
    if binary is None:
        if kind == AUTO:
            return EMBEDDED_HOST
        raise ServerStartError(
            f"expected {BINARY_NAME} on PATH or its path in {BINARY_VARIABLE}, got neither; "
            "install it, or use --server embedded"
        )
    return ServerProgram(STOCK, (binary,))


def _binary() -> str | None:
    """The stock server's binary on this machine, if there is one."""
    named = os.environ.get(BINARY_VARIABLE)
    if not named:
        return shutil.which(BINARY_NAME)
    binary = shutil.which(named)
    if binary is None:
        raise ServerStartError(
            f"{BINARY_VARIABLE}={named} is not an executable file; "
            f"unset it to use {BINARY_NAME} from PATH or the embedded host"
        )
    return str(Path(binary).resolve())


def _docker(tag: str) -> ServerProgram:
    """The stock server in a container, from an image that is already here."""
    client = shutil.which("docker")
    if client is None:
        raise ServerStartError("expected docker on PATH, got none; use --server binary or embedded")
    image = f"{IMAGE}:{tag}"
    done = subprocess.run(
        [client, "image", "inspect", image],
        capture_output=True,
        text=True,
        timeout=_VERSION_TIMEOUT,
        check=False,
    )
    if done.returncode:
        reason = " ".join(done.stderr.split()) or "docker gave no reason"
        raise ServerStartError(
            f"expected the image {image}, got: {reason}; run: docker pull {image}"
        )
    # The server is a container's first process, which ignores SIGTERM without --init.
    variables = (f"--env={name}={value}" for name, value in ENVIRONMENT.items())
    command = (client, "run", "--rm", "--init", "--pull=never", *variables)
    return ServerProgram(DOCKER, (*command, "--gpus=all") if "gpu" in tag else command, image)


def launch_command(
    program: ServerProgram,
    *,
    model_name: str,
    model_base_path: str | os.PathLike[str],
    port: int,
    rest_api_port: int,
    extra_flags: Sequence[str] = (),
    folders: Sequence[Path] = (),
) -> list[str]:
    """The command line that hosts one model; the flags are the same for every program.

    Args:
      program: From `find_server`.
      model_name: The servable's name.
      model_base_path: The directory with the numbered versions; made absolute.
      port: The gRPC port; 0 turns gRPC off.
      rest_api_port: The REST port; 0 turns REST off.
      extra_flags: Appended as they are.
      folders: What the flags name beside the base path; a container sees them too.
    """
    base_path = Path(model_base_path).resolve()
    return [
        *program.launch([port, rest_api_port], [base_path, *folders]),
        f"--port={port}",
        f"--rest_api_port={rest_api_port}",
        f"--model_name={model_name}",
        f"--model_base_path={base_path}",
        *extra_flags,
    ]


def split_addresses(server: str) -> tuple[str, str | None] | None:
    """GRPC and REST address where a `--server` option names a running server, else `None`.

    >>> split_addresses("10.0.0.7:8500,10.0.0.7:8501"), split_addresses("rig:8500")
    (('10.0.0.7:8500', '10.0.0.7:8501'), ('rig:8500', None))
    >>> split_addresses("docker:2.20.0"), split_addresses("auto")
    (None, None)
    """
    grpc_address, _, rest_address = server.partition(",")
    host, separator, port = grpc_address.rpartition(":")
    if not separator or host == DOCKER or not port.isdigit():
        return None
    return grpc_address, rest_address or None
