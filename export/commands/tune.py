"""The command `tune`."""

from __future__ import annotations

from pathlib import Path

import click

from export import options
from export.commands.group import import_tensorflow
from serving_config.batching import BATCHING_FILE
from signatures.contract import FAMILIES

_UNTUNED = {
    "peak_ops": "whose requests are never joined",
    "topdown": "whose time depends on how many instances are in an image, which drawn ones do not "
    "tell; export it with several --max-batch and measure each on your images",
}


@click.command()
@click.option(
    "--max-latency",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="What 99 of 100 requests must stay below, milliseconds.",
)
@click.option(
    "--clients",
    type=click.IntRange(1, 1024),
    default=16,
    show_default=True,
    help="How many ask at a time.",
)
@click.option(
    "--samples", type=click.IntRange(min=1), default=1, show_default=True, help="Of one request."
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(min=2),
    multiple=True,
    default=(4, 8, 16, 32),
    show_default=True,
    help="Batch size to try, beside none. Repeatable.",
)
@click.option(
    "--wait",
    "waits",
    type=click.FloatRange(min=0),
    multiple=True,
    default=(1.0, 2.0, 5.0),
    show_default=True,
    help="Wait for mates to try, milliseconds. Repeatable.",
)
@click.option(
    "--batching",
    type=click.Choice(("in-graph", "server")),
    default="in-graph",
    show_default=True,
    help="Who joins requests.",
)
@click.option("--signature", help="What is asked; images with --backbone, else maps.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=15, show_default=True, help="Of each candidate."
)
@click.option(
    "--requests",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Of each client in one round.",
)
@options.server_option
@options.timeout_option
@click.option("--out", type=options.OUTPUT_FILE, help="Also write it as JSON.")
@click.option(
    "--plot",
    type=options.OUTPUT_FILE,
    help="Also draw it, PNG; needs pip install 'peakserve[plots]'.",
)
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help=f"With --batching server: the folder of a version, where {BATCHING_FILE} is written.",
)
@click.option(
    "--model",
    type=click.Choice(list(FAMILIES)),
    default="keypoints",
    show_default=True,
    help="The model family; only keypoints can be tuned.",
)
@options.untuned_options
@options.json_option
@click.pass_context
def tune(
    context: click.Context,
    max_latency: float,
    clients: int,
    samples: int,
    batches: tuple[int, ...],
    waits: tuple[float, ...],
    batching: str,
    signature: str | None,
    rounds: int,
    requests: int,
    server: str,
    timeout: float,
    out: Path | None,
    plot: Path | None,
    folder: Path | None,
    model: str,
    backbone_path: Path | None,
    backbone_output: str | None,
    as_json: bool,
    **chosen: object,
) -> None:
    """Find the batch size and wait of a keypoints model that give the most within a latency.

    The model's options are those of 'peakserve export --model keypoints'. Every candidate is hosted
    and asked by as many clients; they take turns. Prints the options of 'export' for the best one.
    """
    if model != "keypoints":
        raise click.UsageError(f"--model: expected keypoints, got {model}, {_UNTUNED[model]}")
    if folder is not None and batching != "server":
        raise click.UsageError("--write needs --batching server")
    with_network = backbone_path is not None
    given = options.options_of(context, "keypoints", chosen, with_network=with_network)
    given = options.with_network_facts("keypoints", given, backbone_path)
    from export.hosting import require_server
    from serving_config.programs import split_addresses

    if split_addresses(server):
        raise click.UsageError("--server: expected a server to start, got an address")
    require_server(server)
    import_tensorflow()
    from export.benchmark.tuning import Load
    from export.benchmark.tuning_report import tune_and_tell
    from export.network_source import NetworkSource
    from export.publishing import options_and_network

    source = NetworkSource(backbone_path, backbone_output) if backbone_path else None
    tune_and_tell(
        options_and_network(source, given),
        batches,
        waits,
        Load(clients, samples, rounds, requests, timeout, signature),
        max_latency=max_latency,
        batching=batching,
        server=server,
        out=out,
        plot=plot,
        folder=folder,
        as_json=as_json,
    )
