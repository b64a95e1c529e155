"""What the command `export` does, and what it prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from export.builder import Exported, export_model
from export.eager import module_of
from signatures.contract import contract_with
from signatures.keypoints import Keypoints


def export_and_tell(
    model: str, model_root: Path, *, version: int | None, force: bool, options: Mapping[str, Any]
) -> Exported:
    """Exports a model family and prints what came of it.

    Raises:
      StoreError: The version exists, or the folder cannot be written.
      ReplayError: The exported model does not answer as eager does.
      InvalidInputError: Impossible options.
    """
    module = module_of(contract_with(model, options))
    exported = export_model(
        model_root,
        module,
        version=version,
        force=force,
        progress=lambda step: click.echo(f"{step} ...", err=True),
    )
    name = module.contract.name
    if isinstance(module, Keypoints) and not module.options.batched_in_graph:
        why = (
            "as asked"
            if module.options.batching == "none"
            else "requests of different shapes cannot be joined; fix --height, --width, --channels"
        )
        click.echo(f"not batched: {why}")
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
