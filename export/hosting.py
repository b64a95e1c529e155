"""Starting a server on an exported model, or finding the one that runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import NoReturn

import click

from export.manifest import contract_of, read_manifest
from export.store import StoreError, VersionStore
from serving_config.batching import batching_flags
from serving_config.errors import ServerStartError, ServingError
from serving_config.models_config import ServedModel
from serving_config.ports import require_free_ports, require_interface
from serving_config.programs import (
    BINARY_NAME,
    DOCKER,
    EMBEDDED,
    ENVIRONMENT,
    STOCK,
    ServerProgram,
    find_server,
    launch_command,
    split_addresses,
)
from serving_config.tls import ClientTls
from signatures.contract import MODELS, InvalidInputError, ModelContract

GRPC_PORT, REST_PORT = 8500, 8501
# In the model root, beside the models; no model's name starts with a dot.
CONFIGURATIONS = ".serving"
_POLL_SECONDS = 0.2
_REST_SECONDS = 10.0


@dataclass(frozen=True)
class Host:
    """A server that answers.

    Attributes:
      grpc_address: `HOST:PORT`.
      rest_address: `HOST:PORT`, `None` if REST is not asked.
      text: Which server it is, for people.
      is_embedded: Whether it runs this build of TensorFlow on this CPU.
      tls: How its gRPC address is spoken to, and its REST address if that is `https://`.
      version: The program and its version; `None` of a running server, which does not tell.
    """

    grpc_address: str
    rest_address: str | None
    text: str
    is_embedded: bool = False
    tls: ClientTls | None = None
    version: str | None = None


def require_version(model: str, model_root: Path, version: int | None = None) -> Path:
    """The directory of a version, the newest if none is named.

    Raises:
      StoreError: There is none.
    """
    store = VersionStore(model_root, model)
    versions = store.versions()
    if not versions:
        raise StoreError(
            f"no version of {model} in {store.path}; "
            f"run: peakserve export --model-root {shlex.quote(str(model_root))}"
        )
    if version is not None and version not in versions:
        raise StoreError(
            f"expected a version of {model} in {store.path}, one of "
            f"{', '.join(map(str, versions))}, got {version}"
        )
    return store.version_path(versions[-1] if version is None else version)


def require_server(server: str, *, has_model: bool = True, tls: ClientTls | None = None) -> None:
    """Refuses what could be neither reached nor started, before anything slow is done.

    Args:
      server: A `--server` option.
      has_model: Whether there is a model for a server that is started.
      tls: How a running server is to be spoken to.

    Raises:
      ServerStartError: There is no such server, or nothing to host.
    """
    if split_addresses(server):
        return
    if tls is not None:
        raise ServerStartError("expected --address of a running server with --tls-..., got none")
    if not has_model:
        raise ServerStartError(
            "expected --address of a running server or --model-root, got neither"
        )
    find_server(server)


def require_answer(
    server: str, model: str, version: int | None, *, has_model: bool, tls: ClientTls | None
) -> None:
    """Asks a running server for the version; one that is started has yet to be asked.

    Args:
      server: A `--server` option.
      model: The servable.
      version: The version to wait for; any if `None`.
      has_model: Whether the version may just have been published, which the server has yet to find.
      tls: How the server is spoken to.

    Raises:
      ServingError: It does not answer, or does not have the version.
    """
    if addresses := split_addresses(server):
        seconds = 10.0 if has_model else 0.0
        wait_for_version(addresses[0], model, version, seconds=seconds, tls=tls)


def served_contract(
    model: str, model_root: Path | None, version: int | None = None
) -> ModelContract:
    """The contract of a model that a server hosts.

    Args:
      model: The servable, a family's name.
      model_root: Where it was exported, if that is at hand.
      version: The version, the newest if `None`.

    Raises:
      StoreError: The model root has no such version.
      ManifestError: It was not exported by a compatible peakserve.
      InvalidInputError: Without a model root the contract is not known.
    """
    if model_root is not None:
        return contract_of(read_manifest(require_version(model, model_root, version)))
    if model not in MODELS:
        raise InvalidInputError(
            f"{model}: its contract depends on how it was exported; pass --model-root"
        )
    return MODELS[model]


@contextmanager
def hosted(
    server: str,
    model: str,
    base_path: Path | None,
    version: int | None,
    tls: ClientTls | None = None,
) -> Iterator[Host]:
    """A server that a `--server` option names, with the version available.

    Args:
      server: See `serving_config.programs.find_server`, or gRPC and REST address.
      model: The servable.
      base_path: The folder of versions; needed where a server is started.
      version: The version to wait for; any if `None`.
      tls: How a running server is spoken to.

    Raises:
      ServerStartError: No such server, or it does not become available.
      ServingError: A running server does not have the version.
    """
    addresses = split_addresses(server)
    if addresses:
        grpc_address, rest_address = addresses
        require_answer(server, model, version, has_model=base_path is not None, tls=tls)
        if rest_address is not None:
            _require_rest(rest_address, model, tls)
        yield Host(grpc_address, rest_address, f"the server at {grpc_address}", tls=tls)
        return
    require_server(server, has_model=base_path is not None, tls=tls)
    assert base_path is not None
    from serving_config.models_config import MODELS_CONFIG, ServedModel, models_config_text
    from serving_config.process import ModelServer

    # A model that does not load is said at once, not after five minutes of retries.
    flags = ["--max_num_load_retries=0", *batching_flags(base_path)]
    program = find_server(server)
    with ExitStack() as stack:
        folders = []
        if version is not None:
            # By itself a server hosts the newest version only.
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="peakserve-")))
            config = folder / MODELS_CONFIG
            config.write_text(models_config_text([ServedModel(model, base_path, (version,))]))
            flags.append(f"--model_config_file={config}")
            folders.append(folder)
        process = stack.enter_context(
            ModelServer(model, base_path, program=program, extra_flags=flags, folders=folders)
        )
        yield Host(
            process.grpc_address,
            process.rest_address,
            f"{process.version_text} ({process.kind})",
            process.kind == EMBEDDED,
            version=process.version_text,
        )


def served_version(host: Host, model: str, version: int | None) -> int | None:
    """The version that answers where one, or the newest, is asked: the highest available one."""
    if version is not None:
        return version
    from serving_config.grpc_client import GrpcClient

    with GrpcClient(host.grpc_address, model=model, tls=host.tls) as client:
        statuses = client.status()
    return max((n for n, status in statuses.items() if status.is_available), default=None)


def wait_for_version(
    address: str,
    model: str,
    version: int | None,
    *,
    seconds: float,
    tls: ClientTls | None = None,
) -> None:
    """Polls a running server, which may have yet to find a version that was just published.

    Raises:
      ServingError: The server does not answer, or not in time with the version.
    """
    from serving_config.grpc_client import GrpcClient

    deadline = time.monotonic() + seconds
    with GrpcClient(address, model=model, timeout=max(seconds, 5.0), tls=tls) as client:
        while True:
            statuses = client.status()
            available = [number for number, status in statuses.items() if status.is_available]
            if available and version in (None, *available):
                return
            if time.monotonic() >= deadline:
                wanted = "any version" if version is None else f"version {version}"
                states = ", ".join(
                    f"{number} {status.state}" for number, status in statuses.items()
                )
                raise ServingError(
                    f"expected {wanted} of {model} to be AVAILABLE, got {states or 'no version'}",
                    code="UNAVAILABLE",
                    transport=client.transport,
                )
            Event().wait(_POLL_SECONDS)


def server_line(model: str, base_path: Path) -> str:
    """The command that hosts a model on the stock server."""
    program = ServerProgram(STOCK, (BINARY_NAME,))
    return shlex.join(
        launch_command(
            program,
            model_name=model,
            model_base_path=base_path,
            port=GRPC_PORT,
            rest_api_port=REST_PORT,
            extra_flags=batching_flags(base_path),
        )
    )


def serve_in_place(
    model: str,
    model_root: Path,
    server: str,
    *,
    port: int,
    rest_port: int,
    host: str,
    gpu: bool = False,
) -> NoReturn:
    """Replaces this process by a server on a model, with the configuration that `config` writes.

    The configuration is in `MODEL_ROOT/.serving/MODEL`, where `versions promote` moves labels of
    the running server.

    Raises:
      StoreError: There is no version to host.
      ServerStartError: There is no such server, no GPU for it, no such interface, or a port is
        taken.
      ConfigurationError: The configuration cannot be written.
    """
    from export.configuration import chosen_models, write_configuration
    from serving_config.launch import ServerPlan, flags_of

    directory = require_version(model, model_root)
    if split_addresses(server):
        raise ServerStartError(f"expected a server to start, got the address {server}")
    program = find_server(gpu_server(server)) if gpu else find_server(server)
    if gpu:
        require_gpu(program)
    require_free_ports({"--port": port, "--rest-port": rest_port})
    if program.kind == EMBEDDED:
        require_interface("--host", host)
    out = directory.parents[1] / CONFIGURATIONS / model
    batching = bool(batching_flags(directory.parent))
    plan = ServerPlan(port=port, rest_port=rest_port, gpu=gpu, batching=batching)
    tell = partial(click.echo, err=True)
    write_configuration(directory.parents[1], out, plan, models=[model], tell=tell)
    command = [
        *program.launch([port, rest_port], [directory.parent, out]),
        *map(str, flags_of(plan, out)),
        *((f"--host={host}",) if program.kind == EMBEDDED else ()),
    ]
    (hosted_model,) = chosen_models(directory.parents[1], [model])
    click.echo(_hosted_line(hosted_model, int(directory.name), program.version_text), err=True)
    click.echo(shlex.join(command), err=True)
    sys.stdout.flush()
    os.execve(command[0], command, {**ENVIRONMENT, **os.environ})


def _hosted_line(model: ServedModel, newest: int, server: str) -> str:
    """What a server hosts, and that it leaves out a version which nobody has promoted.

    >>> _hosted_line(ServedModel("m", Path("/m"), (2,), {"stable": 2}), 3, "a server")
    'hosting m 2 with a server; the newest, 3, has no label: peakserve versions promote 3 --model m'
    """
    numbers = ", ".join(map(str, model.versions or (newest,)))
    line = f"hosting {model.name} {numbers} with {server}"
    if model.versions and newest not in model.versions:
        line += (
            f"; the newest, {newest}, has no label: peakserve versions promote {newest} "
            f"--model {model.name}"
        )
    return line


def _require_rest(address: str, model: str, tls: ClientTls | None) -> None:
    """Refuses a REST address at which no model server answers; gRPC has been asked already.

    Raises:
      ServerStartError: Nobody answers there, or something else does.
    """
    from serving_config.rest_client import HTTPS, RestClient

    secure = tls if address.startswith(HTTPS) else None
    with RestClient(address, model=model, timeout=_REST_SECONDS, tls=secure) as client:
        try:
            client.status()
        except ServingError as error:
            raise ServerStartError(
                f"expected the REST address of a model server that hosts {model}, got {address}, "
                f"where the answer is {error.code}: {error.sentence[:80]}; name the server's "
                "--rest_api_port, or leave the REST address out"
            ) from error


def gpu_server(server: str) -> str:
    """The `--server` option for a GPU: the container's image is another one."""
    if server == DOCKER:
        return f"{DOCKER}:latest-gpu"
    return server if server.endswith("-gpu") or not server.startswith(DOCKER) else f"{server}-gpu"


def require_gpu(program: ServerProgram) -> None:
    """Refuses a server that would run on the CPU without saying so.

    Raises:
      ServerStartError: It is the embedded host, or the driver shows no GPU.
    """
    if program.kind == EMBEDDED:
        raise ServerStartError(
            "expected a stock server for --gpu, got the embedded host; install "
            f"{BINARY_NAME}, or pass --server docker"
        )
    try:
        done = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=False
        )
        found = done.stdout.strip() if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        found = ""
    if not found:
        raise ServerStartError(
            "expected a GPU for --gpu, got none from nvidia-smi --list-gpus; "
            "leave --gpu out to serve on the CPU"
        )
