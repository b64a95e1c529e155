"""The command `bench`."""

from __future__ import annotations

from pathlib import Path

import click

from export import options
from export.benchmark import CLIENTS, SERVED_WORKS, WORKS
from export.commands.group import import_tensorflow
from serving_config.tls import ClientTls


@click.command()
@click.option(
    "--server",
    metavar="auto|binary|docker[:TAG]|embedded|HOST:PORT[,HOST:PORT]",
    help="Measure a server instead: one that is started on models of the benchmark's own, or one "
    "that runs and hosts --model.",
)
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
    type=click.Choice((*WORKS, *SERVED_WORKS)),
    multiple=True,
    help=f"What to measure; everything if left out. Repeatable. With --server: "
    f"{', '.join(SERVED_WORKS)}.",
)
@click.option(
    "--clients",
    type=click.IntRange(1, 1024),
    multiple=True,
    default=CLIENTS,
    show_default=True,
    help="With --server: how many ask at a time. Repeatable.",
)
@click.option(
    "--input",
    "maps_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --server: maps whose bytes are counted, .npz with 'confmaps' and perhaps 'images', "
    "or .npy.",
)
@options.model_option
@click.option(
    "--model-root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Of --model on a running server: where it was exported, for its contract.",
)
@options.timeout_option
@options.tls_options
@click.option("--out", type=options.OUTPUT_FILE, help="Also write it as JSON.")
@click.option(
    "--plots",
    type=options.OUTPUT_FOLDER,
    help="Also draw curves of cost into this folder, PNG; needs pip install 'peakserve[plots]'.",
)
@click.option("--quick", is_flag=True, help="Small sizes, to try the command: seconds.")
@options.json_option
def bench(
    server: str | None,
    rounds: int,
    works: tuple[str, ...],
    clients: tuple[int, ...],
    maps_path: Path | None,
    model: str,
    model_root: Path | None,
    timeout: float,
    tls: ClientTls | None,
    out: Path | None,
    plots: Path | None,
    quick: bool,
    as_json: bool,
) -> None:
    """Measure what the served functions cost beside other ways to the same result.

    With --server, what a server and its clients cost: latency and throughput, building and reading
    messages, joining requests, bytes of a frame, JSON.

    Ratios of times within one run say more than times: other work on the machine slows all
    contestants alike. No time is an error; what is missed is printed.
    """
    known = WORKS if server is None else SERVED_WORKS
    for work in works:
        if work not in known:
            fix = "needs --server" if server is None else "is measured without --server"
            raise click.UsageError(f"--work {work} {fix}")
    if server is not None:
        from export.hosting import require_server

        require_server(server, tls=tls)
    import_tensorflow()
    from export.benchmark import run

    if server is None:
        run.told(
            lambda console: run.in_graph(works or WORKS, rounds, quick=quick, console=console),
            out=out,
            plots=plots,
            as_json=as_json,
        )
        return
    from export.benchmark.stages import served_sizes, stage_of
    from export.maps import load_images, load_maps

    sizes = served_sizes(quick=quick)
    frames = (load_maps(maps_path), load_images(maps_path)) if maps_path else None
    run.told(
        lambda console: run.of_server(
            works or SERVED_WORKS,
            rounds,
            stage_of(server, sizes, timeout, model=model, model_root=model_root, tls=tls),
            clients=clients,
            sizes=sizes,
            quick=quick,
            frames=frames,
            console=console,
        ),
        out=out,
        plots=plots,
        as_json=as_json,
    )
