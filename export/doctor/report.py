"""The diagnosis for people: findings with their fixes, and the table of a GPU."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from export.doctor.diagnosis import Diagnosis
from export.doctor.findings import ERROR, SEVERITIES, WARNING

_STYLES = {ERROR: "bold red", WARNING: "yellow"}
_COLUMNS = {
    "on_gpu": "on the GPU",
    "pinned_to_host": "pinned to host",
    "on_host_by_design": "host by design",
    "without_kernel": "no kernel",
    "copies_to_device": "copies there",
    "copies_to_host": "copies back",
    "copies_of_maps_to_device": "maps there",
    "copies_of_maps_to_host": "maps back",
}


def print_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    """Prints everything that was found."""
    console.print(f"model: {diagnosis.directory}", markup=False)
    for finding in diagnosis.findings:
        where = f" in {finding.signature}" if finding.signature else ""
        style = _STYLES.get(finding.severity, "default")
        console.print(f"[{style}]{finding.severity:7}[/] {finding.code}{where}")
        console.print(f"        {finding.sentence}", markup=False)
        console.print(f"        fix: {finding.fix}", markup=False)
    if diagnosis.placement:
        console.print()
        console.print(_table(diagnosis))
        console.print(
            "ops by place, and copies that one request costs at most; what TensorFlow keeps in "
            "host memory by design (shapes, decoding of pictures) is counted apart"
        )
    counts = [
        f"{sum(f.severity == severity for f in diagnosis.findings)} {severity}s"
        for severity in SEVERITIES[:2]
    ]
    console.print(f"{', '.join(counts)}")


def _table(diagnosis: Diagnosis) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("signature", no_wrap=True)
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right")
    for row in diagnosis.placement:
        table.add_row(row["signature"], *(str(row[column]) for column in _COLUMNS))
    return table
