"""Stores and servers of the chaos runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from export.hosting import wait_for_version
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST, STOCK, ServerProgram, find_server

from .models import STAMPED, Templates, flags_of, write_config, write_store

RUNNING = "running"
NO_STOCK = "no stock server: no binary on PATH or in PEAKSERVE_MODEL_SERVER"
NOT_OURS = "--server names a running server: its process and files are not ours"

StartServer = Callable[..., ModelServer]


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """Every model, written once."""
    return Templates(tmp_path_factory.mktemp("templates"))


def program_of(kind: str) -> ServerProgram:
    """The program of a kind; a visible skip where it is not here."""
    program = EMBEDDED_HOST if kind == "embedded" else find_server()
    if program.kind != kind:
        pytest.skip(NO_STOCK)
    return program


@pytest.fixture(scope="session", params=["embedded", STOCK])
def program(
    request: pytest.FixtureRequest, server_address: tuple[str, str] | None
) -> ServerProgram:
    """What hosts the models: both kinds, one after the other."""
    if server_address:
        pytest.skip(NOT_OURS)
    return program_of(request.param)


@dataclass(frozen=True)
class Target:
    """A server that answers, ours or not.

    Attributes:
      kind: Of the program, or `running`.
      grpc_address: `HOST:PORT`.
      rest_address: `HOST:PORT`.
    """

    kind: str
    grpc_address: str
    rest_address: str


@pytest.fixture(params=["embedded", STOCK, RUNNING])
def target(
    request: pytest.FixtureRequest, server_address: tuple[str, str] | None
) -> Callable[..., Target]:
    """Starts a server with flags, or finds the one that `--server` names.

    That one must host the models named, else it is a visible skip.
    """
    kind = request.param
    if (kind == RUNNING) != bool(server_address):
        pytest.skip(NOT_OURS if server_address else "no running server: --server names none")

    def give(models: Sequence[str], *flags: str) -> Target:
        if server_address:
            return _running(server_address, models)
        folder = request.getfixturevalue("tmp_path")
        store = write_store(request.getfixturevalue("templates"), folder / "models", models)
        config = write_config(store, store.parent)
        server = ModelServer(
            models[0],
            store / models[0],
            program=program_of(kind),
            extra_flags=(*flags_of(config), *flags),
        )
        request.addfinalizer(server.stop)
        server.__enter__()
        for model in models:
            wait_for_version(server.grpc_address, model, 1, seconds=60)
        assert server.rest_address
        return Target(kind, server.grpc_address, server.rest_address)

    return give


def _running(addresses: tuple[str, str], models: Sequence[str]) -> Target:
    for model in models:
        try:
            with GrpcClient(addresses[0], model=model) as client:
                statuses = client.status()
        except ServingError as error:
            pytest.skip(f"the server at {addresses[0]} does not host {model}: {error.sentence}")
        if not any(status.is_available for status in statuses.values()):
            pytest.skip(f"the server at {addresses[0]} has no version of {model} available")
    return Target(RUNNING, *addresses)


@pytest.fixture
def root(templates: Templates, tmp_path: Path) -> Path:
    """A store with the first version of the stamped model, which is `stable`."""
    return write_store(templates, tmp_path / "models", [STAMPED])


@pytest.fixture
def start(program: ServerProgram, root: Path, tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers on the store's labelled versions; they end with the test."""
    running: list[ModelServer] = []

    def start_one(*flags: str, **options) -> ModelServer:
        config = write_config(root, tmp_path)
        extra_flags = (*flags_of(config), "--grpc_max_threads=64", *flags)
        options = {"program": program, "extra_flags": extra_flags, **options}
        server = ModelServer(STAMPED, root / STAMPED, **options)
        running.append(server)
        return server.__enter__()

    yield start_one
    for server in running:
        server.stop()
