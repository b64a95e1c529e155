"""The command `config`: everything that a stock model server needs to host the models."""

from __future__ import annotations

from pathlib import Path

import click

from export import options
from export.writing import print_json

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@options.model_root_option
@click.option(
    "--out",
    required=True,
    type=options.OUTPUT_FOLDER,
    help="The folder to write to; files that are there already are replaced.",
)
@click.option("--model", "models", multiple=True, help="Host only this model. Repeatable.")
@click.option("--gpu", is_flag=True, help="For a machine with a GPU.")
@click.option("--rest/--no-rest", default=True, show_default=True, help="REST and metrics.")
@click.option("--port", type=click.IntRange(1, 65535), default=8500, show_default=True)
@click.option("--rest-port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="gRPC calls that are answered at a time; more are refused at once.",
)
@click.option(
    "--gpu-memory-fraction",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.9,
    show_default=True,
    help="TensorFlow's share of the GPU's memory.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Threads of TensorFlow's session; 0 for one per core of the machine.",
)
@click.option("--image-tag", help="Of tensorflow/serving, without -gpu.")
@click.option("--tls-key", type=_FILE, help="The server's private key, PEM.")
@click.option("--tls-cert", type=_FILE, help="The server's certificate chain, PEM.")
@click.option("--tls-ca", type=_FILE, help="Accept only clients signed by this authority, PEM.")
@click.option("--flag", "flags", multiple=True, metavar="NAME=VALUE", help="Another server flag.")
@options.json_option
def config(
    model_root: Path,
    out: Path,
    models: tuple[str, ...],
    gpu: bool,
    rest: bool,
    port: int,
    rest_port: int,
    concurrency: int,
    gpu_memory_fraction: float,
    threads: int,
    image_tag: str | None,
    tls_key: Path | None,
    tls_cert: Path | None,
    tls_ca: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write models.config, a start script, metrics and alerts, Compose, Kubernetes and KServe."""
    from export.configuration import TlsFiles, write_configuration
    from serving_config.containers import IMAGE_TAG
    from serving_config.launch import ServerPlan

    tls = None
    if tls_key or tls_cert or tls_ca:
        if tls_key is None or tls_cert is None:
            raise click.UsageError("TLS needs both --tls-key and --tls-cert")
        tls = TlsFiles(tls_key, tls_cert, tls_ca)
    try:
        plan = ServerPlan(
            port=port,
            rest_port=rest_port if rest else 0,
            concurrency=concurrency,
            gpu=gpu,
            gpu_memory_fraction=gpu_memory_fraction,
            threads=threads,
            extra=flags,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    written = write_configuration(
        model_root,
        out,
        plan,
        models=models,
        image_tag=image_tag or IMAGE_TAG,
        tls=tls,
        tell=lambda line: click.echo(line, err=True),
    )
    if as_json:
        files = [{"path": str(file.path), "purpose": file.purpose} for file in written]
        print_json({"files": files, "start": str(out.resolve() / "serve.sh")})
        return
    width = max(len(file.path.name) for file in written)
    for file in written:
        click.echo(f"{file.path.name:{width}}  {file.purpose}")
    click.echo(f"start the server: {out / 'serve.sh'}")
