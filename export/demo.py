"""What the commands `demo` and `verify` do, and what they print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from export.builder import export_model
from export.cases import Case, make_cases
from export.hosting import curl_line, server_line
from export.maps import draw_maps, load_maps
from export.verification import Client, Eager, Report, verify
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.process import ModelServer
from serving_config.rest_client import RestClient
from signatures.contract import MODELS, ModelContract
from signatures.peak_ops import FUNCTIONS

MODEL = "peak_ops"


def run_demo(model_root: Path, *, maps_path: Path | None, timeout: float) -> None:
    """Exports, hosts, verifies, and says how to go on.

    Raises:
      VerificationError: A served output differs from eager.
    """
    console = Console(highlight=False, soft_wrap=True)
    maps = _maps(maps_path, console)

    version, directory = export_model(model_root)
    console.print(f"published {MODEL} version {version}: {directory}")
    with ModelServer(MODEL, directory.parent) as server:
        console.print(f"server: {server.version_text} ({server.kind})")
        report = _verify_addresses(
            console,
            MODELS[MODEL],
            server.grpc_address,
            server.rest_address,
            maps,
            version=version,
            exact=server.kind == "embedded",
            timeout=timeout,
        )
        print_report(report, console)
        server_text = f"{server.version_text} ({server.kind})"
    report.raise_if_different()
    compared = sum(tally.elements for tally in report.tallies)
    console.print(
        f"[bold green]all equal[/]: {compared:,} numbers from {server_text} compared with eager"
    )
    console.print(f"exported model: {directory}")
    console.print("host it on the stock server, and query it:")
    console.out(server_line(MODEL, directory.parent), highlight=False)
    console.out(curl_line(MODEL, version), highlight=False)


def verify_server(
    model: str,
    address: str,
    rest_address: str | None,
    *,
    version: int | None,
    exact: bool,
    maps_path: Path | None,
    timeout: float,
) -> None:
    """Compares a running server with eager.

    Raises:
      ServingError: The server does not answer.
      VerificationError: A served output differs from eager.
    """
    console = Console(highlight=False, soft_wrap=True)
    maps = _maps(maps_path, console)
    contract = MODELS[model]
    report = _verify_addresses(
        console,
        contract,
        address,
        rest_address,
        maps,
        version=version,
        exact=exact,
        timeout=timeout,
    )
    print_report(report, console)
    report.raise_if_different()
    console.print(f"[bold green]{'equal' if exact else 'equal within the contract'}[/]")


def print_report(report: Report, console: Console) -> None:
    """Prints one row per signature and transport."""
    # Without a frame it fits a terminal of 80 columns.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("signature", no_wrap=True)
    table.add_column("via", no_wrap=True)
    for heading in ("cases", "refused", "numbers", "largest difference", "ulps", "wrong"):
        table.add_column(heading, justify="right")
    for tally in report.tallies:
        table.add_row(
            tally.signature,
            tally.transport,
            str(tally.cases),
            str(tally.refusals),
            str(tally.elements),
            f"{tally.difference:.3g}",
            f"{tally.ulps:.3g}",
            f"[red]{tally.mismatches}[/]" if tally.mismatches else "0",
        )
    console.print(table)


def _maps(path: Path | None, console: Console) -> np.ndarray:
    maps = draw_maps()[0] if path is None else load_maps(path)
    source = "drawn Gaussians with noise" if path is None else str(path)
    samples, height, width, channels = maps.shape
    console.print(
        f"maps: {source}, {samples} samples, {height} x {width} pixels, {channels} channels"
    )
    return maps


def _verify_addresses(
    console: Console,
    contract: ModelContract,
    address: str,
    rest_address: str | None,
    maps: np.ndarray,
    *,
    version: int | None,
    exact: bool,
    timeout: float,
) -> Report:
    cases = make_cases(maps, contract)
    with ExitStack() as stack:
        clients: list[Client] = [
            stack.enter_context(GrpcClient(address, model=contract.name, timeout=timeout))
        ]
        if rest_address:
            clients.append(
                stack.enter_context(RestClient(rest_address, model=contract.name, timeout=timeout))
            )
        for client in clients:
            _require_available(client, version)
        advance = stack.enter_context(_progress(console, len(cases)))
        return verify(
            cases,
            clients,
            Eager(contract, FUNCTIONS),
            contract,
            version=version,
            exact=exact,
            progress=advance,
        )


def _require_available(client: Client, version: int | None) -> None:
    """Fails at once, in one sentence, where there is nobody to ask.

    Raises:
      ServingError: No answer, or no version that is available.
    """
    statuses = client.status()
    available = [number for number, status in statuses.items() if status.is_available]
    if not available or version not in (None, *available):
        wanted = "any version" if version is None else f"version {version}"
        states = ", ".join(f"{number} {status.state}" for number, status in statuses.items())
        raise ServingError(
            f"expected {wanted} to be AVAILABLE, got {states or 'no version'}",
            code="UNAVAILABLE",
            transport=client.transport,
        )


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[Case], None]]:
    """A bar while cases run; gone when they are done."""
    columns = (
        TextColumn("comparing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda case: progress.update(task, advance=1, description=case.id)
