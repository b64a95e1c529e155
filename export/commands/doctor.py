"""The command `doctor`: what would go wrong when a model server hosts a SavedModel."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("model_dir", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--gpu", is_flag=True, help="Look at placement and copies on a GPU too.")
@click.option(
    "--batching",
    type=click.Choice(("server", "in-graph")),
    help="How requests will be joined; what the directory shows if left out.",
)
@click.option("--server-version", help="The model server's version, such as 2.20.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(
    context: click.Context,
    model_dir: Path,
    gpu: bool,
    batching: str | None,
    server_version: str | None,
    as_json: bool,
) -> None:
    """Look for faults in MODEL_DIR, ours or not; the exit code is 1 where there are errors.

    MODEL_DIR is a version's directory, or a folder of numbered versions, of which the newest is
    looked at. The model is read, and never run.
    """
    if not context.find_root().params["debug"]:
        from serving_config.quiet import import_tensorflow

        import_tensorflow()
    from export.doctor import examine
    from export.doctor.report import print_diagnosis
    from export.doctor.subject import SERVER_VERSION
    from export.proof import new_console

    diagnosis = examine(
        version_in(model_dir),
        gpu=gpu,
        batching=batching,
        server_version=server_version or SERVER_VERSION,
    )
    if as_json:
        click.echo(json.dumps(diagnosis.as_dict(), indent=2))
    else:
        print_diagnosis(new_console(), diagnosis)
    context.exit(1 if diagnosis.errors else 0)


def version_in(folder: Path) -> Path:
    """The folder itself, or the newest numbered version in it."""
    if (folder / "saved_model.pb").exists():
        return folder
    versions = [path for path in folder.iterdir() if path.is_dir() and path.name.isdigit()]
    return max(versions, key=lambda path: int(path.name)) if versions else folder
