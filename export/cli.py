"""The command `peakserve`. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from export import options
from export.commands.adapt import adapt
from export.commands.bench import bench
from export.commands.completion import completion
from export.commands.config import config
from export.commands.doctor import doctor
from export.commands.group import Commands, import_tensorflow
from export.commands.predict import predict
from export.commands.tune import tune
from export.commands.versions import versions
from export.store import LARGEST_VERSION
from export.topdown_options import check_networks, topdown_options
from serving_config.programs import split_addresses
from serving_config.tls import ClientTls
from signatures.contract import contract_with


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: peakserve demo",
)
@click.version_option(package_name="peakserve")
@click.option("--debug", is_flag=True, help="Show tracebacks and TensorFlow's log.")
def main(debug: bool) -> None:
    """Export peak finding on confidence maps as models that TensorFlow Serving hosts."""
    if not debug:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@main.command()
@options.model_option
@options.model_root_option
@click.option(
    "--version",
    type=click.IntRange(min=1, max=LARGEST_VERSION),
    help="The version's number; the next free one if left out. Never overwrites.",
)
@click.option("--force", is_flag=True, help="Publish even if the newest version has this content.")
@click.option(
    "--warmup-shape",
    "warmup_shapes",
    type=options.MAPS_SHAPE,
    multiple=True,
    metavar="NxHxWxC",
    help="Write warm-up requests for maps of this shape. Repeatable; a sample, and a full batch "
    "where requests are joined, if left out.",
)
@click.option(
    "--allow-breaking",
    is_flag=True,
    help="Publish even if clients of the newest version cannot use this one.",
)
@options.bounds_options
@options.keypoint_options
@topdown_options
@options.json_option
@click.pass_context
def export(
    context: click.Context,
    model: str,
    model_root: Path,
    version: int | None,
    force: bool,
    warmup_shapes: tuple[tuple[int, int, int, int], ...],
    allow_breaking: bool,
    backbone_path: Path | None,
    backbone_output: str | None,
    centroid_path: Path | None,
    as_json: bool,
    **chosen: object,
) -> None:
    """Build a model, replay it in a fresh process, and publish it as a new version."""
    with_network = backbone_path is not None
    check_networks(model, backbone_path, centroid_path)
    if backbone_output is not None and not with_network:
        raise click.UsageError("--backbone-output needs --backbone")
    family_options = options.options_of(context, model, chosen, with_network=with_network)
    family_options = options.with_network_facts(model, family_options, backbone_path, centroid_path)
    if not with_network:
        # Impossible options are said before TensorFlow is imported, which takes seconds.
        contract_with(model, family_options)
    import_tensorflow()
    from export.network_source import NetworkSource
    from export.publishing import export_and_tell

    source = None
    if backbone_path is not None:
        source = NetworkSource(backbone_path, backbone_output, centroid_path)
    export_and_tell(
        model,
        model_root,
        version=version,
        force=force,
        options=family_options,
        source=source,
        warmup_shapes=warmup_shapes or None,
        allow_breaking=allow_breaking,
        as_json=as_json,
    )


@main.command()
@options.model_option
@options.model_root_option
@options.version_option
@options.json_option
def inspect(model: str, model_root: Path, version: int | None, as_json: bool) -> None:
    """Show a version: contracts, bounds, content identity, and how to query each signature."""
    from export.inspection import inspect_and_tell

    inspect_and_tell(model, model_root, version, as_json=as_json)


@main.command()
@options.model_option
@options.model_root_option
@options.server_option
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8500, show_default=True, help="gRPC."
)
@click.option(
    "--rest-port",
    type=click.IntRange(0, 65535),
    default=8501,
    show_default=True,
    help="REST; 0 turns it off.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where the embedded host listens; the stock server listens on every interface.",
)
@click.option("--gpu", is_flag=True, help="On a GPU, or not at all.")
def serve(
    model: str,
    model_root: Path,
    server: str,
    port: int,
    rest_port: int,
    host: str,
    gpu: bool,
) -> None:
    """Host a model with tensorflow_model_server, or with the embedded host if there is none.

    The server takes this command's place: it gets its signals and ends with it.
    """
    from export.hosting import serve_in_place

    serve_in_place(model, model_root, server, port=port, rest_port=rest_port, host=host, gpu=gpu)


@main.command()
@options.model_option
@click.option("--address", help="gRPC address HOST:PORT of a running server.")
@click.option(
    "--rest-address",
    help="REST address HOST:PORT, or https://HOST:PORT of a proxy; left out, REST is not compared.",
)
@options.server_option
@click.option(
    "--model-root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where the model was exported: its manifest gives the contract's bounds, and a server "
    "that is started hosts it. Needed without --address.",
)
@options.version_option
@click.option("--exact", is_flag=True, help="Ask for equal bits where a tolerance is allowed.")
@click.option(
    "--report",
    "report_path",
    type=options.REPORT_FILE,
    help="Also write cases, differences, decision margins, latencies and environment: one page "
    "with pictures (.html, needs pip install 'peakserve[report]') or JSON (.json).",
)
@options.input_option
@options.timeout_option
@options.tls_options
@options.json_option
def verify(
    model: str,
    address: str | None,
    rest_address: str | None,
    server: str,
    model_root: Path | None,
    version: int | None,
    exact: bool,
    report_path: Path | None,
    maps_path: Path | None,
    timeout: float,
    tls: ClientTls | None,
    as_json: bool,
) -> None:
    """Compare what a server answers with what the eager functions return."""
    if address:
        server = ",".join(filter(None, [address, rest_address]))
        if split_addresses(server) is None:
            raise click.UsageError(f"--address: expected HOST:PORT, got {server!r}")
    elif rest_address:
        raise click.UsageError("--rest-address needs --address: status is asked over gRPC")
    from export.hosting import require_answer, require_server
    from export.maps import load_maps
    from export.reporting.files import require_pages

    require_pages(report_path)
    require_server(server, has_model=model_root is not None, tls=tls)
    if maps_path is not None:
        load_maps(maps_path)
    require_answer(server, model, version, has_model=model_root is not None, tls=tls)
    import_tensorflow()
    from export.proof import verify_and_tell

    verify_and_tell(
        model,
        server,
        model_root=model_root,
        version=version,
        exact=exact,
        report_path=report_path,
        maps_path=maps_path,
        timeout=timeout,
        tls=tls,
        as_json=as_json,
    )


@main.command()
@options.json_option
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Labelled maps (.npz with 'confmaps' and 'gt_cm' [samples, channels, 2] as x, y): mean "
    "distances to the labels are printed too. Repeatable.",
)
@click.option(
    "--window", type=click.IntRange(1, 129), default=7, show_default=True, help="For --data."
)
@click.option(
    "--plot",
    type=options.OUTPUT_FILE,
    help="Also draw it, PNG; needs pip install 'peakserve[plots]'.",
)
def accuracy(as_json: bool, data: tuple[Path, ...], window: int, plot: Path | None) -> None:
    """Print how near each refinement comes to the true position on drawn maps."""
    import_tensorflow()
    from export.accuracy import tell_accuracy

    tell_accuracy(data, window, as_json=as_json, plot=plot)


@main.command()
@options.model_root_option
@options.server_option
@options.input_option
@options.timeout_option
def demo(model_root: Path, server: str, maps_path: Path | None, timeout: float) -> None:
    """Export, host, query over gRPC and REST, and prove the answers equal to eager."""
    from export.hosting import require_server
    from export.maps import load_maps

    require_server(server)
    if maps_path is not None:
        load_maps(maps_path)
    click.echo("importing TensorFlow ...", err=True)
    import_tensorflow()
    from export.demo import run_demo

    run_demo(model_root, server, maps_path=maps_path, timeout=timeout)


main.add_command(adapt)
main.add_command(bench)
main.add_command(completion)
main.add_command(config)
main.add_command(doctor)
main.add_command(predict)
main.add_command(tune)
main.add_command(versions)


if __name__ == "__main__":
    sys.exit(main())
