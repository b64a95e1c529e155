"""Stores and servers of the chaos runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST, STOCK, ServerProgram, find_server

from .models import STAMPED, Templates, flags_of, write_config, write_store

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
