"""The command `versions`: labels, rollback, pruning and comparison of published versions."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from export import options
from export.writing import print_json
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
@options.json_option
def list_versions(model: str, model_root: Path, as_json: bool) -> None:
    """Show every version: labels, pins, content, size, when and by what it was made."""
    from export.version_table import rows_of, table_of

    rows = rows_of(model_root, model)
    if as_json:
        print_json(rows)
    else:
        click.echo(table_of(rows))


@versions.command()
@options.model_option
@options.model_root_option
@options.rollout_options
@options.json_option
@_LABEL
@_VERSION
def promote(
    model: str,
    model_root: Path,
    addresses: tuple[str, ...],
    config_dir: Path | None,
    timeout: float,
    tls: ClientTls | None,
    as_json: bool,
    label: str,
    version: int,
) -> None:
    """Point a label at VERSION, once every server given has loaded it."""
    from export.rollout import Rollout

    tell = partial(click.echo, err=as_json)
    rollout = Rollout(model_root, model, addresses, config_dir, timeout, tell, tls)
    left = rollout.promote(label, version)
    if as_json:
        print_json(_moved(model, label, version, left))


@versions.command()
@options.model_option
@options.model_root_option
@options.rollout_options
@options.json_option
@_LABEL
def rollback(
    model: str,
    model_root: Path,
    addresses: tuple[str, ...],
    config_dir: Path | None,
    timeout: float,
    tls: ClientTls | None,
    as_json: bool,
    label: str,
) -> None:
    """Point a label back at the version that it named before."""
    from export.rollout import Rollout

    tell = partial(click.echo, err=as_json)
    rollout = Rollout(model_root, model, addresses, config_dir, timeout, tell, tls)
    version, left = rollout.roll_back(label)
    if as_json:
        print_json(_moved(model, label, version, left))


@versions.command()
@options.model_option
@options.model_root_option
@options.rollout_options
@options.json_option
@click.argument("label")
def unlabel(
    model: str,
    model_root: Path,
    addresses: tuple[str, ...],
    config_dir: Path | None,
    timeout: float,
    tls: ClientTls | None,
    as_json: bool,
    label: str,
) -> None:
    """Take LABEL away."""
    from export.rollout import Rollout

    tell = partial(click.echo, err=as_json)
    rollout = Rollout(model_root, model, addresses, config_dir, timeout, tell, tls)
    left = rollout.unlabel(label)
    if as_json:
        print_json(_moved(model, label, None, left))


def _moved(model: str, label: str, version: int | None, left: int | None) -> dict[str, object]:
    """What a label names now, and what it named before, as plain data."""
    return {"model": model, "label": label, "version": version, "was": left}


@versions.command()
@options.model_option
@options.model_root_option
@options.json_option
@_VERSION
def pin(model: str, model_root: Path, as_json: bool, version: int) -> None:
    """Have pruning keep VERSION."""
    from export.version_labels import labels_in

    labels_in(model_root, model).pin(version)
    if as_json:
        print_json({"model": model, "version": version, "pinned": True})
    else:
        click.echo(f"pinned {model} {version}")


@versions.command()
@options.model_option
@options.model_root_option
@options.json_option
@_VERSION
def unpin(model: str, model_root: Path, as_json: bool, version: int) -> None:
    """Let pruning delete VERSION again."""
    from export.version_labels import labels_in

    labels_in(model_root, model).pin(version, pinned=False)
    if as_json:
        print_json({"model": model, "version": version, "pinned": False})
    else:
        click.echo(f"no longer pinned: {model} {version}")


@versions.command()
@options.model_option
@options.model_root_option
@click.option(
    "--keep", type=click.IntRange(min=1), required=True, help="How many of the newest stay."
)
@options.json_option
def prune(model: str, model_root: Path, keep: int, as_json: bool) -> None:
    """Delete old versions, but none that is labelled, pinned, or needed to roll back."""
    from export.version_labels import labels_in

    deleted = labels_in(model_root, model).prune(keep)
    if as_json:
        print_json({"model": model, "deleted": deleted})
    else:
        click.echo(f"deleted {', '.join(map(str, deleted)) or 'nothing'}")


@versions.command()
@options.model_option
@options.model_root_option
@options.json_option
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
        print_json([dataclasses.asdict(change) for change in changes])
    else:
        click.echo("\n".join(map(str, changes)) or "no difference")
    context.exit(1 if breaking(changes) else 0)
