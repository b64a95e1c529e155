"""The command `versions`: labels, rollback, pruning and comparison of published versions."""

from __future__ import annotations

import json
from pathlib import Path

import click

from export import options
from serving_config.tls import ClientTls

_LABEL = click.option(
    "--label", default="stable", show_default=True, help="The name that clients ask for."
)
_VERSION = click.argument("version", type=click.IntRange(min=1))


@click.group()
def versions() -> None:
    """List, label, roll back, compare and prune the versions of a model."""


@versions.command("list")
@options.model_option
@options.model_root_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_versions(model: str, model_root: Path, as_json: bool) -> None:
    """Show every version: labels, pins, content, size, when and by what it was made."""
    from export.version_table import rows_of, table_of

    rows = rows_of(model_root, model)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(table_of(rows))


@versions.command()
@options.model_option
@options.model_root_option
@options.rollout_options
@_LABEL
@_VERSION
def promote(
    model: str,
    model_root: Path,
    addresses: tuple[str, ...],
    config_dir: Path | None,
    timeout: float,
    tls: ClientTls | None,
    label: str,
    version: int,
) -> None:
    """Point a label at VERSION, once every server given has loaded it."""
    from export.rollout import Rollout

    Rollout(model_root, model, addresses, config_dir, timeout, click.echo, tls).promote(
        label, version
    )


@versions.command()
@options.model_option
@options.model_root_option
@options.rollout_options
@_LABEL
def rollback(
    model: str,
    model_root: Path,
    addresses: tuple[str, ...],
    config_dir: Path | None,
    timeout: float,
    tls: ClientTls | None,
    label: str,
) -> None:
    """Point a label back at the version that it named before."""
    from export.rollout import Rollout

    Rollout(model_root, model, addresses, config_dir, timeout, click.echo, tls).roll_back(label)


@versions.command()
@options.model_option
@options.model_root_option
@options.rollout_options
@click.argument("label")
def unlabel(
    model: str,
    model_root: Path,
    addresses: tuple[str, ...],
    config_dir: Path | None,
    timeout: float,
    tls: ClientTls | None,
    label: str,
) -> None:
    """Take LABEL away."""
    from export.rollout import Rollout

    Rollout(model_root, model, addresses, config_dir, timeout, click.echo, tls).unlabel(label)


@versions.command()
@options.model_option
@options.model_root_option
@_VERSION
def pin(model: str, model_root: Path, version: int) -> None:
    """Have pruning keep VERSION."""
    from export.version_labels import labels_in

    labels_in(model_root, model).pin(version)
    click.echo(f"pinned {model} {version}")


@versions.command()
@options.model_option
@options.model_root_option
@_VERSION
def unpin(model: str, model_root: Path, version: int) -> None:
    """Let pruning delete VERSION again."""
    from export.version_labels import labels_in

    labels_in(model_root, model).pin(version, pinned=False)
    click.echo(f"no longer pinned: {model} {version}")


@versions.command()
@options.model_option
@options.model_root_option
@click.option(
    "--keep", type=click.IntRange(min=1), required=True, help="How many of the newest stay."
)
def prune(model: str, model_root: Path, keep: int) -> None:
    """Delete old versions, but none that is labelled, pinned, or needed to roll back."""
    from export.version_labels import labels_in

    deleted = labels_in(model_root, model).prune(keep)
    click.echo(f"deleted {', '.join(map(str, deleted)) or 'nothing'}")


@versions.command()
@options.model_option
@options.model_root_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.argument("before", type=click.IntRange(min=1))
@click.argument("after", type=click.IntRange(min=1))
@click.pass_context
def diff(
    context: click.Context, model: str, model_root: Path, as_json: bool, before: int, after: int
) -> None:
    """Show what changes for clients from version BEFORE to AFTER; exit code 1 if it breaks them."""
    import dataclasses

    from export.differences import breaking, differences_of
    from export.hosting import require_version

    changes = differences_of(
        require_version(model, model_root, before), require_version(model, model_root, after)
    )
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(change) for change in changes], indent=2))
    else:
        click.echo("\n".join(map(str, changes)) or "no difference")
    context.exit(1 if breaking(changes) else 0)
