"""The command `peakserve`. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

MODELS = ("peak_ops",)


class Commands(click.Group):
    """Shows our own errors as one sentence and no traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs the chosen command."""
        try:
            return super().invoke(ctx)
        except (ValueError, RuntimeError, AssertionError, OSError) as error:
            # click's own exceptions are RuntimeErrors, and know how to show themselves.
            if isinstance(error, click.ClickException | click.exceptions.Exit | click.Abort):
                raise
            if ctx.params.get("debug") or not _is_ours(error):
                raise
            raise click.ClickException(str(error)) from error


def _is_ours(error: Exception) -> bool:
    """Whether the error was raised for users to read: its class is one of this project's."""
    package = type(error).__module__.partition(".")[0]
    return package in ("export", "signatures", "serving_config")


model_option = click.option(
    "--model",
    type=click.Choice(MODELS),
    default=MODELS[0],
    show_default=True,
    help="The model family.",
)
model_root_option = click.option(
    "--model-root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("models"),
    show_default=True,
    help="The folder of all models; versions go to MODEL_ROOT/MODEL/VERSION/.",
)
input_option = click.option(
    "--input",
    "maps_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Confidence maps [samples, height, width, channels]: .npz with the key 'confmaps', or "
    ".npy. Without it, Gaussian maps with noise are drawn.",
)
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that one request may take.",
)


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


def _import_tensorflow() -> None:
    """Quietly, unless `--debug` was given."""
    if not click.get_current_context().find_root().params["debug"]:
        from serving_config.quiet import import_tensorflow

        import_tensorflow()


@main.command()
@model_option
@model_root_option
@click.option(
    "--version",
    type=click.IntRange(min=1, max=2**63 - 1),
    help="The version's number; the next free one if left out. Never overwrites.",
)
def export(model: str, model_root: Path, version: int | None) -> None:
    """Build a model and publish it as a new version."""
    _import_tensorflow()
    from export.builder import export_model

    number, directory = export_model(model_root, version=version)
    click.echo(f"published {model} version {number}: {directory}")


@main.command()
@model_option
@model_root_option
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
def serve(model: str, model_root: Path, port: int, rest_port: int, host: str) -> None:
    """Host a model with tensorflow_model_server, or with the embedded host if there is none.

    The server is the program named by PEAKSERVE_MODEL_SERVER, else tensorflow_model_server on
    PATH. It takes this command's place: it gets its signals and ends with it.
    """
    from export.hosting import serve_in_place

    serve_in_place(model, model_root, port=port, rest_port=rest_port, host=host)


@main.command()
@model_option
@click.option("--address", required=True, help="gRPC address HOST:PORT of a running server.")
@click.option("--rest-address", help="REST address HOST:PORT; left out, REST is not compared.")
@click.option(
    "--version", type=click.IntRange(min=1), help="The version asked; the newest if left out."
)
@click.option("--exact", is_flag=True, help="Ask for equal bits where a tolerance is allowed.")
@input_option
@timeout_option
def verify(
    model: str,
    address: str,
    rest_address: str | None,
    version: int | None,
    exact: bool,
    maps_path: Path | None,
    timeout: float,
) -> None:
    """Compare what a running server answers with what the eager functions return."""
    _import_tensorflow()
    from export.demo import verify_server

    verify_server(
        model,
        address,
        rest_address,
        version=version,
        exact=exact,
        maps_path=maps_path,
        timeout=timeout,
    )


@main.command()
@model_root_option
@input_option
@timeout_option
def demo(model_root: Path, maps_path: Path | None, timeout: float) -> None:
    """Export, host, query over gRPC and REST, and prove the answers equal to eager."""
    click.echo("importing TensorFlow ...", err=True)
    _import_tensorflow()
    from export.demo import run_demo

    run_demo(model_root, maps_path=maps_path, timeout=timeout)


if __name__ == "__main__":
    sys.exit(main())
