"""What the command `demo` does: the whole way, once."""

from __future__ import annotations

from pathlib import Path

from export.hosting import hosted, server_line
from export.proof import compare_with_eager, new_console, print_report, read_or_draw_maps
from export.publishing import export_and_tell
from export.snippets import curl_snippet
from serving_config.programs import find_server, split_addresses
from signatures.contract import MODELS

MODEL = "peak_ops"


def run_demo(model_root: Path, server: str, *, maps_path: Path | None, timeout: float) -> None:
    """Exports, hosts, verifies, and says how to go on.

    Raises:
      VerificationError: A served output differs from eager.
    """
    console = new_console()
    contract = MODELS[MODEL]
    # A server that is not there is said before anything is exported.
    if not split_addresses(server):
        find_server(server)
    maps = read_or_draw_maps(maps_path, console)
    exported = export_and_tell(MODEL, model_root, version=None, force=False, options={})
    base_path = exported.directory.parent
    with hosted(server, MODEL, base_path, exported.version) as host:
        console.print(f"server: {host.text}")
        report = compare_with_eager(
            console, contract, host, maps, version=exported.version, exact=False, timeout=timeout
        )
    print_report(report, console)
    report.raise_if_different()
    numbers = sum(tally.elements for tally in report.tallies)
    console.print(
        f"[bold green]all equal[/]: {numbers:,} numbers from {host.text} compared with eager"
    )
    console.print(f"exported model: {exported.directory}")
    console.print("host it on the stock server, and query it:")
    console.out(server_line(MODEL, base_path), highlight=False)
    curl = curl_snippet(contract, contract.default, version=exported.version)
    console.out(curl, highlight=False)
