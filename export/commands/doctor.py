"""The command `doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from export import options
from export.commands.group import import_tensorflow
from export.doctor import BATCHING, SERVER_VERSION
from export.reporting.files import require_pages, write_report


@click.command()
@click.argument(
    "directory",
    metavar="MODEL_DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option(
    "--gpu",
    is_flag=True,
    help="Also tell what would run where on a machine with a GPU; none is needed for that.",
)
@click.option(
    "--batching",
    type=click.Choice(BATCHING),
    help="How requests are to be joined; what the directory shows if left out.",
)
@click.option(
    "--server-version",
    default=SERVER_VERSION,
    show_default=True,
    help="The model server that will host it, MAJOR.MINOR.",
)
@click.option(
    "--report",
    "report_path",
    type=options.REPORT_FILE,
    help="Also write findings, what was looked for, and the table of places: one page (.html, "
    "needs pip install 'peakserve[report]') or JSON (.json).",
)
@options.json_option
@click.pass_context
def doctor(
    context: click.Context,
    directory: Path,
    gpu: bool,
    batching: str | None,
    server_version: str,
    report_path: Path | None,
    as_json: bool,
) -> None:
    """Look for what would go wrong when a model server hosts a SavedModel, ours or any other.

    MODEL_DIR is a version directory, or a folder of numbered versions, of which the newest is
    taken. Nothing of the model is run. The exit code is 1 if there are errors.
    """
    require_pages(report_path)
    import_tensorflow()
    from rich.console import Console

    from export.doctor.diagnosis import examine, version_directory
    from export.doctor.report import as_data, tell
    from export.writing import print_json

    diagnosis = examine(
        version_directory(directory),
        gpu=gpu,
        batching=batching,
        server_version=server_version,
    )
    content = as_data(diagnosis)
    if as_json:
        print_json(content)
    else:
        tell(diagnosis, Console())
    if report_path is not None:

        def page() -> str:
            from export.reporting.doctor_page import doctor_page

            return doctor_page(content)

        write_report(report_path, content, page)
        click.echo(f"report: {report_path}", err=as_json)
    context.exit(int(bool(diagnosis.errors)))
