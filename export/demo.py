"""What the command `demo` does: the whole way, once for each model family."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from export.builder import Exported
from export.hosting import hosted, server_line
from export.proof import (
    Samples,
    compare_with_eager,
    new_console,
    print_report,
    read_or_draw,
    subject_of,
)
from export.publishing import export_and_tell
from export.snippets import curl_snippet
from signatures.contract import PEAK_OPS


def run_demo(model_root: Path, server: str, *, maps_path: Path | None, timeout: float) -> None:
    """Exports, hosts, verifies, and says how to go on.

    Raises:
      VerificationError: A served output differs from eager.
    """
    console = new_console()
    samples = read_or_draw(maps_path, PEAK_OPS, console)
    _, height, width, channels = samples.maps.shape
    maps = {"height": height, "width": width, "channels": channels}
    for model, options in (("peak_ops", {}), ("keypoints", maps)):
        if model != "peak_ops":
            console.print()
        exported = export_and_tell(model, model_root, options=options)
        _prove(console, model, exported, server, samples, timeout)


def _prove(
    console: Console, model: str, exported: Exported, server: str, samples: Samples, timeout: float
) -> None:
    """Hosts a version, compares it with eager, and says how to host and query it."""
    version, base_path = exported.version, exported.directory.parent
    subject = subject_of(exported.directory)
    with hosted(server, model, base_path, version) as host:
        console.print(f"server: {host.text}")
        report = compare_with_eager(
            console, subject, host, samples, version=version, exact=False, timeout=timeout
        )
    print_report(report, console)
    report.raise_if_different()
    numbers = sum(tally.elements for tally in report.tallies)
    console.print(
        f"[bold green]all equal[/]: {numbers:,} numbers from {host.text} compared with eager"
    )
    console.print(f"exported model: {exported.directory}")
    console.print("host it on the stock server, and query it:")
    console.out(server_line(model, base_path), highlight=False)
    contract = subject.contract
    console.out(curl_snippet(contract, contract.default, version=version), highlight=False)
