"""What the command `export` does, and what it prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from export.builder import Exported, export_model
from signatures.contract import Bounds, peak_ops_contract
from signatures.peak_ops import PeakOps


def export_and_tell(
    model_root: Path, *, version: int | None, force: bool, bounds: Mapping[str, Any]
) -> Exported:
    """Exports `peak_ops` and prints what came of it.

    Raises:
      StoreError: The version exists, or the folder cannot be written.
      ReplayError: The exported model does not answer as eager does.
      InvalidInputError: Impossible bounds.
    """
    module = PeakOps(peak_ops_contract(Bounds(**bounds)))
    exported = export_model(
        model_root,
        module,
        version=version,
        force=force,
        progress=lambda step: click.echo(f"{step} ...", err=True),
    )
    name = module.contract.name
    if exported.replayed:
        counts = exported.replayed
        click.echo(f"replayed {counts.cases:,} cases, {counts.elements:,} numbers equal to eager")
        click.echo(f"published {name} version {exported.version}: {exported.directory}")
    else:
        click.echo(
            f"unchanged: {name} version {exported.version} has this content already, nothing was "
            f"published (--force publishes anyway): {exported.directory}"
        )
    click.echo(f"content {exported.content}")
    return exported
