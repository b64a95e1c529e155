"""A diagnosis as text for people, and as plain data for programs. Needs no TensorFlow to import."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from export.doctor.findings import ERROR, INFO, SEVERITIES, WARNING, Finding
from export.manifest import ManifestError, read_manifest
from export.reporting.environment import environment, now

if TYPE_CHECKING:
    from export.doctor.diagnosis import Diagnosis, PlacementRow

FORMAT = 1
_COLOURS = {ERROR: "red", WARNING: "yellow", INFO: "cyan"}
_LISTED = 8


def as_data(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as plain data: what `--json` prints and reports hold."""
    counts = Counter(finding.severity for finding in diagnosis.findings)
    return {
        "format": FORMAT,
        "directory": str(diagnosis.directory),
        "content": _content(diagnosis.directory),
        "server_version": diagnosis.server_version,
        "gpu": diagnosis.gpu,
        "batching": diagnosis.batching,
        "started": now(),
        "signatures": list(diagnosis.signatures),
        "counts": {severity: counts[severity] for severity in SEVERITIES},
        "findings": [finding.as_dict() for finding in diagnosis.findings],
        "placement": [dataclasses.asdict(row) for row in diagnosis.placement],
        "environment": environment(),
    }


def _content(directory: Path) -> str | None:
    """The content identity, if the model is one of ours."""
    try:
        content: str | None = read_manifest(directory)["content"]
    except ManifestError:
        return None
    return content


def tell(diagnosis: Diagnosis, console: Console) -> None:
    """Prints findings, the table of places, and one line that sums up."""
    for finding in diagnosis.findings:
        _tell_finding(finding, console)
    if diagnosis.placement:
        console.print(_table(diagnosis.placement))
        for row in diagnosis.placement:
            _tell_row(row, console)
    counts = Counter(finding.severity for finding in diagnosis.findings)
    summary = ", ".join(f"{counts[s]} {s}{'s' * (counts[s] != 1)}" for s in (ERROR, WARNING))
    _line(console, f"{summary}, {counts[INFO]} notes: {diagnosis.directory}")


def _tell_finding(finding: Finding, console: Console) -> None:
    where = f" {finding.signature}:" if finding.signature else ""
    head = f"{finding.severity} {finding.code}:{where} "
    _line(console, head + finding.sentence, style=_COLOURS[finding.severity])
    _line(console, f"  fix: {finding.fix}")


def _table(rows: tuple[PlacementRow, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("signature", no_wrap=True)
    for header in (
        "nodes",
        "on GPU",
        "pinned to host",
        "host by design",
        "no GPU kernel",
        "copies to GPU (maps)",
        "copies to host (maps)",
    ):
        table.add_column(header, justify="right")
    for row in rows:
        numbers = (row.nodes, row.on_gpu, row.pinned, row.by_design, row.missing)
        table.add_row(
            row.signature,
            *(str(number) for number in numbers),
            f"{row.to_device} ({row.maps_to_device})",
            f"{row.to_host} ({row.maps_to_host})" + ("*" if row.maps_in_reply else ""),
        )
    return table


def _tell_row(row: PlacementRow, console: Console) -> None:
    for title, counts in (
        ("no GPU kernel", row.missing_ops),
        ("on the host", row.host_ops),
        ("arguments in host memory", row.host_arguments),
    ):
        if counts:
            listed = [f"{name} {number}" for name, number in list(counts.items())[:_LISTED]]
            more = [f"{len(counts) - _LISTED} more"] if len(counts) > _LISTED else []
            _line(console, f"{row.signature}: {title}: {', '.join(listed + more)}")
    if row.maps_in_reply:
        _line(console, f"{row.signature}: * the reply itself is of the maps' size")


def _line(console: Console, text: str, style: str | None = None) -> None:
    """One line as it is: no wrapping, so that it can be searched, and no markup."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
