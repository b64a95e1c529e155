"""The options that several commands share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from export.reporting.files import ENDINGS
from export.store import LARGEST_VERSION
from export.writing import unwritable
from serving_config.tls import ClientTls
from signatures.contract import FAMILIES, KeypointOptions
from signatures.contract.keypoint_options import BATCHING, COORDINATES, REFINEMENTS


class MapsShape(click.ParamType):
    """Samples, height, width and channels of maps, such as `8x256x256x13`."""

    name = "shape"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int, int]:
        """Reads the text."""
        sizes = str(value).split("x")
        if len(sizes) != 4 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
            self.fail(f"expected a shape such as 8x256x256x13, got {value!r}", param, ctx)
        samples, height, width, channels = map(int, sizes)
        return samples, height, width, channels


MAPS_SHAPE = MapsShape()


class OutputPath(click.Path):
    """A file or folder to be written: what would fail after the work is said before it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Checks where it would be written."""
        path = Path(str(super().convert(value, param, ctx)))
        if fault := unwritable(path, is_folder=not self.file_okay):
            self.fail(fault, param, ctx)
        return path


class ReportPath(OutputPath):
    """A report, whose form its ending tells."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Checks the ending, too."""
        path: Path = super().convert(value, param, ctx)
        if path.suffix.lower() not in ENDINGS:
            self.fail(
                f"expected a file that ends in {' or '.join(ENDINGS)}, got {path}", param, ctx
            )
        return path


OUTPUT_FILE = OutputPath(path_type=Path, dir_okay=False)
REPORT_FILE = ReportPath(path_type=Path, dir_okay=False)
OUTPUT_FOLDER = OutputPath(path_type=Path, file_okay=False)

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
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON document and nothing else; notes and progress go to standard error.",
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
        click.option(
            "--max-map-elements",
            type=int,
            default=2**26,
            show_default=True,
            help="Largest number of elements of one request's maps, of both families.",
        ),
        click.option(
            "--max-rows",
            type=int,
            default=2**17,
            show_default=True,
            help="Most rows of peaks, or patches, of one request.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


_DEFAULTS = KeypointOptions()
# What only models with a network have.
IMAGE_OPTIONS = (
    "with_maps",
    "image_height",
    "image_width",
    "input_scale",
    "pad_to",
    "input_max",
    "grayscale",
    "coordinates",
    "max_pixels",
)


def keypoint_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that fix a `keypoints` model."""
    return decorated(command, (*_model_options(), *_batching_options()))


def untuned_options(command: Callable[..., None]) -> Callable[..., None]:
    """The same without those of batching."""
    return decorated(command, _model_options())


def decorated(
    command: Callable[..., None], options: tuple[Callable[..., Any], ...]
) -> Callable[..., None]:
    """A command with several options, shown in their order."""
    for decorate in reversed(options):
        command = decorate(command)
    return command


def _option(name: str, kind: Any, text: str, **more: Any) -> Callable[..., Any]:
    """One that is a field of `KeypointOptions`, with its default."""
    default = getattr(_DEFAULTS, name.replace("-", "_"))
    shown = default is not None and not more
    return click.option(
        f"--{name}",
        type=kind,
        default=default,
        show_default=shown,
        help=f"keypoints: {text}",
        **more,
    )


def _read_names(context: click.Context, option: click.Parameter, given: str) -> str:
    """Names in one text, wherever they come from."""
    from export.prediction.names import read_names

    return ",".join(read_names(given)) if given else ""


def _model_options() -> tuple[Callable[..., Any], ...]:
    return (
        _option("height", int, "rows of the maps; batching needs it fixed."),
        _option("width", int, "columns of the maps; batching needs it fixed."),
        _option("channels", int, "landmarks; batching needs it fixed."),
        _option("refinement", click.Choice(REFINEMENTS), "the sub-pixel method."),
        _option("window", int, "window of integral and gaussian, pixels of the map."),
        _option("threshold", float, "confidences above it are valid."),
        _option("max-peaks", int, "most local peaks of a sample."),
        _option(
            "output-stride",
            float,
            "pixels of the network's input per pixel of the map; found out with --backbone.",
        ),
        click.option(
            "--backbone",
            "backbone_path",
            type=click.Path(path_type=Path, exists=True),
            help="keypoints: a network from images to maps: a SavedModel's folder, a .keras or an "
            ".h5 file. Adds the signatures images and encoded_images.",
        ),
        click.option(
            "--backbone-output",
            help="keypoints: which output of the network holds the maps, if it has several.",
        ),
        _option(
            "with-maps",
            bool,
            "also answer the maps: the signature images_with_maps, for predict --maps.",
            is_flag=True,
        ),
        _option("image-height", int, "rows of the images; batching of images needs it fixed."),
        _option("image-width", int, "columns of the images; batching of images needs it fixed."),
        _option("input-scale", float, "pixels of the network's input per pixel of the image."),
        _option("pad-to", int, "the network's input is padded to a multiple of it."),
        _option("input-max", float, "what a white pixel is in the network's input."),
        _option("grayscale", bool, "images have one channel, not three.", is_flag=True),
        _option(
            "coordinates",
            click.Choice(COORDINATES),
            "scaled: x stride / scale, as SLEAP's networks; half-pixel: as geometric resizing; "
            "cells: (x + 1/2) stride / scale, as DeepLabCut's; corners: as MMPose's UDP.",
        ),
        _option("max-pixels", int, "most pixels of one picture."),
        _option(
            "names",
            str,
            "what the channels are called: nose,tail or a file with one name a line.",
            callback=_read_names,
        ),
        _option("max-samples", int, "most samples of one request, where they may be small."),
    )


def _batching_options() -> tuple[Callable[..., Any], ...]:
    return (
        _option(
            "batching",
            click.Choice(BATCHING),
            "join requests inside the graph, by the model server, or not at all.",
        ),
        _option("max-batch", int, "most samples of one batch, and of one run of the network."),
        _option(
            "batch-timeout",
            float,
            "longest wait for mates, milliseconds; up to 1 batches fill only while others run.",
        ),
    )


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
    "--version",
    type=click.IntRange(min=1, max=LARGEST_VERSION),
    help="The version; the newest if left out.",
)


def rollout_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which servers a label moves on."""
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=300.0,
            show_default=True,
            help="Seconds that the servers may take to load the version.",
        ),
        click.option(
            "--config-dir",
            type=click.Path(path_type=Path, file_okay=False, exists=True),
            help="Where 'peakserve config' wrote: its models.config is written again at each step.",
        ),
        click.option(
            "--address",
            "addresses",
            multiple=True,
            metavar="HOST:PORT",
            help="gRPC address of a running server, told at each step and waited for. Repeatable.",
        ),
    ):
        command = option(command)
    return tls_options(command)


_PEM_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_TLS_OPTIONS = (
    click.option(
        "--tls-ca", type=_PEM_FILE, help="TLS: the authority that signed the servers, PEM."
    ),
    click.option("--tls-cert", type=_PEM_FILE, help="TLS: the certificate to show, PEM."),
    click.option("--tls-key", type=_PEM_FILE, help="TLS: the private key of --tls-cert, PEM."),
    click.option("--tls-server-name", help="TLS: the name in the servers' certificate."),
)


def tls_options(command: Callable[..., None]) -> Callable[..., None]:
    """How running servers are spoken to; the command gets them as one argument, `tls`."""

    @functools.wraps(command)
    def with_tls(
        *arguments: Any,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        tls_server_name: str | None,
        **others: Any,
    ) -> None:
        tls = None
        if tls_ca or tls_cert or tls_key or tls_server_name:
            tls = ClientTls(tls_ca, tls_cert, tls_key, tls_server_name)
        command(*arguments, tls=tls, **others)

    return decorated(with_tls, _TLS_OPTIONS)


def options_of(
    context: click.Context, model: str, chosen: Mapping[str, object], *, with_network: bool
) -> dict[str, object]:
    """The options of a model family that were given; the others keep the family's defaults.

    Raises:
      UsageError: An option of another family was given, or one of images without a network.
    """
    own = {field.name for field in dataclasses.fields(FAMILIES[model].options)}
    given = {
        name: value
        for name, value in chosen.items()
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    for name in given:
        option = f"--{name.replace('_', '-')}"
        if name not in own:
            raise click.UsageError(f"{option} is no option of the model {model}")
        if name in IMAGE_OPTIONS and not with_network:
            raise click.UsageError(f"{option} is about images: it needs --backbone")
    return given


def with_network_facts(
    model: str, given: Mapping[str, object], backbone: Path | None, centroid: Path | None = None
) -> dict[str, object]:
    """The options that were given, and those that an adapted network says; tells which.

    Raises:
      AdapterError: What is said beside the network does not fit.
    """
    from export.adapters.facts import with_facts

    all_options, lines = with_facts(model, given, backbone, centroid)
    for line in lines:
        click.echo(line, err=True)
    return all_options
