"""Shared settings of the tests."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

    from serving_config.grpc_client import GrpcClient
    from serving_config.process import ModelServer
    from serving_config.programs import ServerProgram
    from serving_config.rest_client import RestClient

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--server`."""
    parser.addoption(
        "--server",
        default="auto",
        help="what hosts the conformance suite: auto (the embedded host), embedded, binary "
        "(tensorflow_model_server), docker or docker:TAG, or HOST:PORT,HOST:PORT (gRPC and REST "
        "of a running server)",
    )
    parser.addoption(
        "--long",
        action="store_true",
        help="the long form of the chaos, fuzz and store runs: more requests, inputs and kills",
    )


@pytest.fixture(scope="session")
def server_address(pytestconfig: pytest.Config) -> tuple[str, str] | None:
    """GRPC and REST address of a server that runs already; `None` if the tests start one."""
    from serving_config.programs import split_addresses

    addresses = split_addresses(pytestconfig.getoption("--server"))
    if addresses is None:
        return None
    grpc_address, rest_address = addresses
    if rest_address is None:
        pytest.fail("--server HOST:PORT,HOST:PORT needs both addresses here, gRPC and REST")
    return grpc_address, rest_address


@pytest.fixture(scope="session")
def server_program(
    pytestconfig: pytest.Config, server_address: tuple[str, str] | None
) -> ServerProgram:
    """The program that `--server` names; one that is not here is an error, not a skip."""
    from serving_config.programs import EMBEDDED_HOST, find_server

    if server_address:
        pytest.skip("--server names a running server: its process and files are not ours")
    wanted = pytestconfig.getoption("--server")
    return EMBEDDED_HOST if wanted == "auto" else find_server(wanted)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real maps and reference outputs; a visible skip without it."""
    folder = os.environ.get("PEAKSERVE_REAL_DATA")
    if not folder:
        pytest.skip("PEAKSERVE_REAL_DATA is not set: no real maps to check")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"PEAKSERVE_REAL_DATA names no folder: {path}")
    return path


@pytest.fixture(scope="session")
def long_run(pytestconfig: pytest.Config) -> bool:
    """Whether `--long` asks for the long form of the chaos, fuzz and store runs."""
    return bool(pytestconfig.getoption("--long"))


# Figures of a worker process, which has no terminal: they travel with the test's report.
_FIGURES: list[str] = []
_FIGURE = "figure"


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Prints a figure into the test run's own output, captured or not."""
    if hasattr(pytestconfig, "workerinput"):
        return _FIGURES.append
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"\n  {line}")

    return write


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Gives a worker's figures to the report of the phase that found them."""
    report = yield
    report.user_properties += [(_FIGURE, line) for line in _FIGURES]
    _FIGURES.clear()
    return report


class _Figures:
    """Prints the figures that reports of workers bring."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See pytest."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        for name, line in report.user_properties:
            if name == _FIGURE and reporter is not None:
                reporter.write_line(f"\n  {line}")


def pytest_configure(config: pytest.Config) -> None:
    """Listens to reports where the terminal is."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Figures(config), "peakserve-figures")


# Its files share models, which one process makes once. It is the first folder: as a last one, that
# process would end long after the others.
_ONE_PROCESS = "tests/chaos/"
# Its tests take long, share nothing, and come last: each is given to whichever process is free.
_EACH_ALONE = "tests/test_docs_run.py::"


class _ByFixtures(LoadFileScheduling):
    """A file is the work of one process, but for what shares much and what shares nothing."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_EACH_ALONE):
            return nodeid
        return _ONE_PROCESS if nodeid.startswith(_ONE_PROCESS) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Who gets which tests."""
    return _ByFixtures(config, log)


def load_module(path: Path) -> ModuleType:
    """A helper module beside the tests, which are no packages."""
    spec = importlib.util.spec_from_file_location(f"peakserve_tests_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The loop reference of all functions."""
    return load_module(Path(__file__).parent / "signatures" / "reference.py")


@pytest.fixture(scope="session")
def sweep() -> ModuleType:
    """The sweep over image sizes."""
    return load_module(Path(__file__).with_name("sweep.py"))


@pytest.fixture(scope="session")
def strict_text() -> ModuleType:
    """Strict readers of protobuf text."""
    return load_module(Path(__file__).parent / "serving_config" / "strict_text.py")


@pytest.fixture(scope="session")
def fake_servers() -> ModuleType:
    """Servers that are cheap to start and to kill."""
    return load_module(Path(__file__).parent / "serving_config" / "fake_servers.py")


@pytest.fixture(scope="session")
def certificates() -> ModuleType:
    """Certificates of two authorities."""
    return load_module(Path(__file__).parent / "serving_config" / "certificates.py")


@pytest.fixture(scope="session")
def networks() -> ModuleType:
    """Small networks whose maps are known."""
    return load_module(Path(__file__).with_name("networks.py"))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an exported `peak_ops` version, which nobody changes."""
    from export.builder import export_model

    # An export takes ten seconds: processes of one run share it.
    folder = tmp_path_factory.getbasetemp()
    root = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "published"
    directory = root / "peak_ops" / "1"
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            assert export_model(root).directory == directory
    return directory


@pytest.fixture(scope="session", params=["embedded", "stock"])
def server(request: pytest.FixtureRequest, published: Path) -> Iterator[ModelServer]:
    """A running server on the exported model, once per kind; no stock binary is a visible skip."""
    from serving_config.process import ModelServer
    from serving_config.programs import BINARY_NAME, BINARY_VARIABLE, EMBEDDED_HOST, find_server

    program = EMBEDDED_HOST if request.param == "embedded" else find_server()
    if program.kind != request.param:
        pytest.skip(f"no stock server: no {BINARY_NAME} on PATH and {BINARY_VARIABLE} is not set")
    with ModelServer("peak_ops", published.parent, program=program) as server:
        yield server


@pytest.fixture(scope="session")
def grpc_client(server: ModelServer) -> Iterator[GrpcClient]:
    """A gRPC client of the running server."""
    from serving_config.grpc_client import GrpcClient

    with GrpcClient(server.grpc_address) as client:
        yield client


@pytest.fixture(scope="session")
def rest_client(server: ModelServer) -> Iterator[RestClient]:
    """A REST client of the running server."""
    from serving_config.rest_client import RestClient

    assert server.rest_address
    with RestClient(server.rest_address) as client:
        yield client


@pytest.fixture(params=["gRPC", "REST"])
def client(request: pytest.FixtureRequest) -> GrpcClient | RestClient:
    """Both clients, one after the other."""
    return request.getfixturevalue(f"{request.param.lower()}_client")
