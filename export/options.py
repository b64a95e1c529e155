"""The options that several commands share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from signatures.contract import FAMILIES, KeypointOptions
from signatures.contract.keypoints import BATCHING, REFINEMENTS

model_option = click.option(
    "--model",
    type=click.Choice(list(FAMILIES)),
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


_DEFAULTS = KeypointOptions()


def keypoint_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that fix a `keypoints` model."""

    def option(name: str, kind: Any, text: str) -> Callable[..., Any]:
        default = getattr(_DEFAULTS, name.replace("-", "_"))
        return click.option(
            f"--{name}", type=kind, default=default, show_default=default is not None, help=text
        )

    options = (
        option("height", int, "keypoints: rows of the maps; batching needs it fixed."),
        option("width", int, "keypoints: columns of the maps; batching needs it fixed."),
        option("channels", int, "keypoints: landmarks; batching needs it fixed."),
        option("refinement", click.Choice(REFINEMENTS), "keypoints: the sub-pixel method."),
        option("window", int, "keypoints: window of integral and gaussian, pixels of the map."),
        option("threshold", float, "keypoints: confidences above it are valid."),
        option("max-peaks", int, "keypoints: most local peaks of a sample."),
        option("output-stride", float, "keypoints: pixels of the image per pixel of the map."),
        option(
            "batching",
            click.Choice(BATCHING),
            "keypoints: join requests inside the graph, or not at all.",
        ),
        option("max-batch", int, "keypoints: most samples of one batch."),
        option("batch-timeout", float, "keypoints: longest wait for mates, milliseconds."),
    )
    for decorate in reversed(options):
        command = decorate(command)
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


def options_of(
    context: click.Context, model: str, chosen: Mapping[str, object]
) -> dict[str, object]:
    """The chosen options that belong to a model family.

    Raises:
      UsageError: An option of another family was given.
    """
    own = {field.name for field in dataclasses.fields(FAMILIES[model].options)}
    for name in chosen:
        given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if given and name not in own:
            raise click.UsageError(f"--{name.replace('_', '-')} is no option of the model {model}")
    return {name: value for name, value in chosen.items() if name in own}
