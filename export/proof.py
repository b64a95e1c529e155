"""Comparing a server with eager, for people: progress, a table, a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from export.backbone import networks_of_version
from export.case import Case
from export.cases import make_cases
from export.eager import Eager, needs_network
from export.hosting import Host, hosted, require_version, served_contract, served_version
from export.manifest import contract_of, read_manifest
from export.maps import draw_maps, load_images, load_maps
from export.reporting.environment import now
from export.reporting.files import is_page, write_report
from export.reporting.pictured import Collector
from export.reporting.verification import Run, report_of
from export.verification import Observer, Report, verify
from export.writing import print_json
from serving_config.grpc_client import GrpcClient
from serving_config.rest_client import HTTPS, RestClient
from serving_config.tls import ClientTls
from signatures.contract import ModelContract
from signatures.network import Networks

# [N, H, W, C]
_DRAWN = (2, 40, 48, 3)


def new_console(*, stderr: bool = False) -> Console:
    """A console that neither colours numbers nor breaks paths."""
    return Console(highlight=False, soft_wrap=True, stderr=stderr)


@dataclass(frozen=True)
class Samples:
    """What the cases are made of.

    Attributes:
      maps: float32 [N, H, W, C].
      images: uint8 [N, Hi, Wi, 1 or 3]; `None` to draw them.
    """

    maps: np.ndarray
    images: np.ndarray | None = None


@dataclass(frozen=True)
class Subject:
    """The model that is verified.

    Attributes:
      contract: Its family and options.
      network: Its network, or two, which eager results are made with; `None` if it has none.
      base_path: The folder of its versions, `None` if it is known by its name only.
      contents: The content identity of the version that is at hand, by its number.
    """

    contract: ModelContract
    network: Networks | None = None
    base_path: Path | None = None
    contents: Mapping[int, str | None] = field(default_factory=dict)


def subject_of(directory: Path) -> Subject:
    """The model of a version's directory.

    Raises:
      ManifestError: It was not exported by a compatible peakserve.
    """
    manifest = read_manifest(directory)
    contract = contract_of(manifest)
    network = networks_of_version(directory) if needs_network(contract) else None
    contents = {int(directory.name): manifest["content"]} if directory.name.isdigit() else {}
    return Subject(contract, network, directory.parent, contents)


def _subject(model: str, model_root: Path | None, version: int | None) -> Subject:
    if model_root:
        return subject_of(require_version(model, model_root, version))
    return Subject(served_contract(model, None))


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
    tls: ClientTls | None = None,
    as_json: bool = False,
) -> None:
    """Compares a server with eager, prints the table or JSON, and writes the report.

    Raises:
      ServingError: A running server does not answer.
      VerificationError: A served output differs from eager.
    """
    console = new_console(stderr=as_json)
    subject = _subject(model, model_root, version)
    samples = read_or_draw(maps_path, subject.contract, console)
    # Pictures cost time that only a page is worth.
    collector = Collector(subject.contract) if report_path and is_page(report_path) else None
    with hosted(server, model, subject.base_path, version, tls) as host:
        console.print(f"server: {host.text}")
        asked = served_version(host, model, version)
        started, start = now(), time.monotonic()
        report = compare_with_eager(
            console, subject, host, samples,
            version=version, exact=exact, timeout=timeout, observe=collector,
        )  # fmt: skip
        content = None if asked is None else subject.contents.get(asked)
        run = Run(asked, content, started, time.monotonic() - start)
    data = report_of(report, subject.contract, host, samples.maps, maps_path, run)
    if as_json:
        # Also where answers differ: that is what was asked.
        print_json(data)
    else:
        print_report(report, console)
    if report_path:

        def page() -> str:
            from export.reporting.verification_page import verification_page

            pictured = collector.pictured() if collector else []
            return verification_page(data, subject.contract, pictured)

        write_report(report_path, data, page)
        console.print(f"report: {report_path}")
    report.raise_if_different()
    how = (
        "to the last bit, where the contract promises it" if report.exact else "within the contract"
    )
    console.print(f"[bold green]equal {how}[/]")


def compare_with_eager(
    console: Console,
    subject: Subject,
    host: Host,
    samples: Samples,
    *,
    version: int | None,
    exact: bool,
    timeout: float,
    observe: Observer | None = None,
) -> Report:
    """Sends every case over every transport; the embedded host must give equal bits."""
    contract = subject.contract
    cases = make_cases(samples.maps, contract, samples.images)
    with ExitStack() as stack:
        clients: list[GrpcClient | RestClient] = []
        for client in _clients(contract, host, timeout):
            stack.callback(client.close)
            clients.append(client)
        if host.rest_address:
            # Where nobody listens, one sentence at once instead of one per case.
            clients[-1].status()
        return verify(
            cases,
            clients,
            Eager(contract, subject.network),
            contract,
            version=version,
            exact=exact or host.is_embedded,
            progress=stack.enter_context(_progress(console, len(cases))),
            observe=observe,
        )


def _clients(
    contract: ModelContract, host: Host, timeout: float
) -> Iterator[GrpcClient | RestClient]:
    """One client per transport; the row form where every signature has samples as its rows."""
    about: dict[str, Any] = {
        "model": contract.name,
        "timeout": timeout,
        "contracts": {contract.name: contract},
    }
    yield GrpcClient(host.grpc_address, tls=host.tls, **about)
    if host.rest_address:
        if host.rest_address.startswith(HTTPS):
            # The server's own REST port speaks no TLS, a proxy in front of it may.
            about["tls"] = host.tls
        yield RestClient(host.rest_address, **about)
        if contract.has_row_form:
            yield RestClient(host.rest_address, rows=True, **about)


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
    for line in report.excused:
        console.print(f"undecided: {line}")


def read_or_draw(path: Path | None, contract: ModelContract, console: Console) -> Samples:
    """The samples of a file, or drawn ones of the model's own size; says which."""
    maps = draw_maps(*_drawn_shape(contract))[0] if path is None else load_maps(path)
    source = "drawn Gaussians with noise" if path is None else str(path)
    samples, height, width, channels = maps.shape
    console.print(
        f"maps: {source}, {samples} samples, {height} x {width} pixels, {channels} channels"
    )
    images = load_images(path) if path is not None and needs_network(contract) else None
    if needs_network(contract):
        text = "drawn" if images is None else f"{path}, {len(images)} samples"
        console.print(f"images: {text}")
    return Samples(maps, images)


def _drawn_shape(contract: ModelContract) -> list[int]:
    """Small maps, but for what the model fixes."""
    for key in contract.signature_keys():
        for tensor in contract.signature(key).inputs:
            if tensor.name == "confmaps":
                fixed = zip(tensor.static_shape, _DRAWN, strict=True)
                return [size or usual for size, usual in fixed]
    return list(_DRAWN)


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
