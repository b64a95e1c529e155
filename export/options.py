"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from signatures.contract import MODELS

model_option = click.option(
    "--model",
    type=click.Choice(list(MODELS)),
    default="peak_ops",
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


def bounds_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that set the guards' bounds."""
    options = (
        click.option(
            "--max-window",
            type=int,
            default=129,
            show_default=True,
            help="Largest window and kernel size, odd.",
        ),
        click.option(
            "--max-crop-elements",
            type=int,
            default=2**26,
            show_default=True,
            help="Largest number of elements of one reply's crops.",
        ),
        click.option(
            "--min-sigma",
            type=float,
            default=1e-3,
            show_default=True,
            help="Smallest standard deviation.",
        ),
        click.option(
            "--max-sigma",
            type=float,
            default=1e6,
            show_default=True,
            help="Largest standard deviation.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


server_option = click.option(
    "--server",
    default="auto",
    show_default=True,
    metavar="auto|binary|docker[:TAG]|embedded|HOST:PORT[,HOST:PORT]",
    help="What hosts the model: the stock binary of PEAKSERVE_MODEL_SERVER or PATH if there is one "
    "and else the embedded host; the stock binary; tensorflow/serving in docker (an image that "
    "is here, never pulled); the embedded host; or a running server's gRPC and REST address.",
)
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that one request may take.",
)
version_option = click.option(
    "--version", type=click.IntRange(min=1), help="The version; the newest if left out."
)
