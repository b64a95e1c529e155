"""Comparing a server with eager, for people: progress, a table, a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from export.case import Case
from export.cases import make_cases
from export.eager import Eager
from export.hosting import Host, hosted, require_version
from export.manifest import contract_of, read_manifest
from export.maps import draw_maps, load_maps
from export.report import write_report
from export.verification import Client, Report, verify
from serving_config.grpc_client import GrpcClient
from serving_config.rest_client import RestClient
from signatures.contract import MODELS, InvalidInputError, ModelContract


def new_console() -> Console:
    """A console that neither colours numbers nor breaks paths."""
    return Console(highlight=False, soft_wrap=True)


def verify_and_tell(
    model: str,
    server: str,
    *,
    model_root: Path | None,
    version: int | None,
    exact: bool,
    report_path: Path | None,
    maps_path: Path | None,
    timeout: float,
) -> None:
    """Compares a server with eager, prints the table, and writes the report.

    Raises:
      ServingError: A running server does not answer.
      VerificationError: A served output differs from eager.
    """
    console = new_console()
    maps = read_or_draw_maps(maps_path, console)
    contract, base_path = MODELS.get(model), None
    if contract is None and model_root is None:
        raise InvalidInputError(
            f"{model}: its contract depends on how it was exported; pass --model-root"
        )
    if model_root:
        directory = require_version(model, model_root, version)
        contract, base_path = contract_of(read_manifest(directory)), directory.parent
    assert contract
    with hosted(server, model, base_path, version) as host:
        console.print(f"server: {host.text}")
        report = compare_with_eager(
            console, contract, host, maps, version=version, exact=exact, timeout=timeout
        )
    print_report(report, console)
    if report_path:
        write_report(report_path, report, contract, host, maps, maps_path)
        console.print(f"report: {report_path}")
    report.raise_if_different()
    how = (
        "to the last bit, where the contract promises it" if report.exact else "within the contract"
    )
    console.print(f"[bold green]equal {how}[/]")


def compare_with_eager(
    console: Console,
    contract: ModelContract,
    host: Host,
    maps: np.ndarray,
    *,
    version: int | None,
    exact: bool,
    timeout: float,
) -> Report:
    """Sends every case over every transport; the embedded host must give equal bits."""
    cases = make_cases(maps, contract)
    with ExitStack() as stack:
        name, contracts = contract.name, {contract.name: contract}
        clients: list[Client] = [
            stack.enter_context(
                GrpcClient(host.grpc_address, model=name, timeout=timeout, contracts=contracts)
            )
        ]
        if host.rest_address:
            clients.append(
                stack.enter_context(
                    RestClient(host.rest_address, model=name, timeout=timeout, contracts=contracts)
                )
            )
            # Where nobody listens, one sentence at once instead of one per case.
            clients[-1].status()
        return verify(
            cases,
            clients,
            Eager(contract),
            contract,
            version=version,
            exact=exact or host.is_embedded,
            progress=stack.enter_context(_progress(console, len(cases))),
        )


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


def read_or_draw_maps(path: Path | None, console: Console) -> np.ndarray:
    """The maps of a file, or drawn ones; says which."""
    maps = draw_maps()[0] if path is None else load_maps(path)
    source = "drawn Gaussians with noise" if path is None else str(path)
    samples, height, width, channels = maps.shape
    console.print(
        f"maps: {source}, {samples} samples, {height} x {width} pixels, {channels} channels"
    )
    return maps


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
