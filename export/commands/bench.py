"""The command `bench`."""

from __future__ import annotations

from pathlib import Path

import click

from export.benchmark import WORKS


@click.command()
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=15,
    show_default=True,
    help="Times taken of each contestant; contestants take turns.",
)
@click.option(
    "--work",
    "works",
    type=click.Choice(WORKS),
    multiple=True,
    help="What to measure; everything if left out. Repeatable.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write it as JSON."
)
@click.option(
    "--plots",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also draw curves of cost into this folder, PNG; needs pip install 'peakserve[plots]'.",
)
@click.option("--quick", is_flag=True, help="Small sizes, to try the command: seconds.")
@click.pass_context
def bench(
    context: click.Context,
    rounds: int,
    works: tuple[str, ...],
    out: Path | None,
    plots: Path | None,
    quick: bool,
) -> None:
    """Measure what the served functions cost beside other ways to the same result.

    Ratios of times within one run say more than times: other work on the machine slows all
    contestants alike. No time is an error; what is missed is printed.
    """
    if not context.find_root().params.get("debug"):
        from serving_config.quiet import import_tensorflow

        import_tensorflow()
    from export.benchmark.report import bench_and_tell

    bench_and_tell(works or WORKS, rounds, quick=quick, out=out, plots=plots)
