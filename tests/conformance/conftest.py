"""The server that the suite talks to, and servers of which a test controls process and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED, ServerProgram

from .differences import DIFFERENCES
from .endpoint import Endpoint
from .models import write_models

HERE = Path(__file__).parent
IS_EMBEDDED = pytest.StashKey[bool]()
CASE_IDS = pytest.StashKey[set[str]]()
RUNNING: list[ModelServer] = []


def case_id(item: pytest.Item) -> str:
    """`test_file.py::test_name[id]`."""
    return f"{item.path.name}::{item.name}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expects the listed differences where the embedded host is asked, and only there."""
    own = [item for item in items if item.path.parent == HERE]
    config.stash[CASE_IDS] = {case_id(item) for item in own}
    if config.getoption("--server") not in ("auto", EMBEDDED):
        return
    for item in own:
        if reason := DIFFERENCES.get(case_id(item)):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """A failure shows the end of the log of each server that runs."""
    report = yield
    if report.failed and item.path.parent == HERE:
        for server in RUNNING:
            report.sections.append((f"log of the server of {server.model_name}", server.log_tail))
    return report


@pytest.fixture(scope="session")
def case_ids(pytestconfig: pytest.Config) -> set[str]:
    """Every case that this run collected, as `test_file.py::test_name[id]`."""
    return pytestconfig.stash[CASE_IDS]


StartServer = Callable[..., ModelServer]


@pytest.fixture(scope="module")
def start_server(server_program: ServerProgram) -> Iterator[StartServer]:
    """Starts servers that live as long as the module: `start_server(name, base_path, *flags)`.

    With `wait=False` the process is only started.
    """
    with ExitStack() as servers:

        def start(model_name: str, base_path: Path, *flags: str, wait: bool = True) -> ModelServer:
            server = ModelServer(model_name, base_path, program=server_program, extra_flags=flags)
            servers.callback(_stop, server)
            RUNNING.append(server)
            server.start()
            if wait:
                server.wait_until_available()
            return server

        yield start


def _stop(server: ModelServer) -> None:
    RUNNING.remove(server)
    server.stop()


@pytest.fixture(scope="module")
def endpoint_of() -> Iterator[Callable[[ModelServer], Endpoint]]:
    """How to ask a server that a test started."""
    with ExitStack() as endpoints:

        def open_endpoint(server: ModelServer) -> Endpoint:
            assert server.rest_address
            endpoint = Endpoint(server.grpc_address, server.rest_address)
            endpoints.callback(endpoint.close)
            return endpoint

        yield open_endpoint


@pytest.fixture(scope="session")
def suite_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The addresses of a server that hosts the suite's models: the given one, or ours."""
    if address := request.getfixturevalue("server_address"):
        yield address
        return
    program = request.getfixturevalue("server_program")
    folder = tmp_path_factory.mktemp("suite")
    flags = write_models(folder)
    with ModelServer("m", folder, program=program, extra_flags=flags) as server:
        RUNNING.append(server)
        assert server.rest_address
        yield server.grpc_address, server.rest_address
        RUNNING.remove(server)


@pytest.fixture(scope="session")
def endpoint(suite_server: tuple[str, str]) -> Iterator[Endpoint]:
    """The server that hosts the suite's models."""
    endpoint = Endpoint(*suite_server)
    yield endpoint
    endpoint.close()
