"""The command `predict`."""

from __future__ import annotations

from pathlib import Path

import click

from export import options
from serving_config.tls import ClientTls

_POSITIVE = click.IntRange(min=1)


@click.command()
@click.argument("given", metavar="INPUT")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    required=True,
    metavar="HOST:PORT",
    help="gRPC address of a running server; requests are spread over several. Repeatable.",
)
@click.option("--model", default="keypoints", show_default=True, help="The model on the server.")
@click.option(
    "--signature",
    help="The signature; if left out, images for a video, encoded_images (or images) for "
    "pictures, keypoints for maps, quantized for maps of bytes.",
)
@options.version_option
@click.option("--label", help="A version's label instead of a version.")
@click.option(
    "--model-root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where the model was exported: its manifest says what is checked; the server is asked if "
    "left out.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of points: .csv, .json, .npz or .slp; CSV on standard output if left out. "
    "Written over.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "dlc", "json", "npz", "slp"]),
    help="The format, if not what the ending of --out says; dlc is DeepLabCut's CSV.",
)
@click.option(
    "--names",
    help="What the channels are called: nose,tail or a file with one name a line; if left out as "
    "in the manifest (--model-root), or node0 and so on.",
)
@click.option(
    "--overlay",
    type=click.Path(path_type=Path),
    help="Also draw points, names and confidences on the frames: a .mp4 file, a folder, or a .png "
    "file for one picture.",
)
@click.option(
    "--maps",
    is_flag=True,
    help="Blend the confidence maps into the overlay: those of INPUT, or those of a model that was "
    "exported with --with-maps.",
)
@click.option(
    "--batch", type=_POSITIVE, default=4, show_default=True, help="Frames of one request."
)
@click.option(
    "--in-flight",
    type=_POSITIVE,
    default=4,
    show_default=True,
    help="Requests at a time; so many batches are in memory.",
)
@click.option(
    "--retry-for",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds that a server which went away is waited for.",
)
@options.timeout_option
@options.tls_options
@click.pass_context
def predict(
    context: click.Context,
    given: str,
    addresses: tuple[str, ...],
    model: str,
    signature: str | None,
    version: int | None,
    label: str | None,
    model_root: Path | None,
    out: Path | None,
    kind: str | None,
    names: str | None,
    overlay: Path | None,
    maps: bool,
    batch: int,
    in_flight: int,
    retry_for: float,
    timeout: float,
    tls: ClientTls | None,
) -> None:
    """Send frames to a running server, and write where the landmarks are.

    INPUT is a video (.mp4, .avi, .mov, .mkv, .webm), a folder of pictures or a quoted pattern
    such as 'shots/*.png' (.png, .jpg, .jpeg; 2 comes before 10), one picture, or maps (.npy, or
    .npz with confmaps or images). Videos and overlays need pip install 'peakserve[video]', .slp
    files 'peakserve[slp]'; TensorFlow is not needed.

    Coordinates are pixels of the frames as they are stored, pixel centres at whole numbers. On
    Ctrl-C, or where something fails, what is done is kept; Ctrl-C ends with exit code 130.
    """
    if version is not None and label is not None:
        raise click.UsageError("expected --version or --label, got both")
    if maps and overlay is None:
        raise click.UsageError("--maps needs --overlay: maps are blended into drawn frames")
    from export.prediction.predicting import Server, Task, predict_and_tell

    task = Task(given, batch, in_flight, out, kind, overlay, names, maps)
    server = Server(
        addresses, model, signature, model_root, version, label, timeout, retry_for, tls
    )
    context.exit(predict_and_tell(task, server))
