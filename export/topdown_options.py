"""The options of `export` that only top-down models have, and which networks a family needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from export.options import decorated
from signatures.contract import TopdownOptions


def topdown_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that only `topdown` models have."""
    return decorated(command, _topdown_options())


def _topdown_options() -> tuple[Callable[..., Any], ...]:
    def option(name: str, kind: Any, text: str) -> Callable[..., Any]:
        default = getattr(TopdownOptions, name.replace("-", "_"))
        return click.option(
            f"--{name}", type=kind, default=default, show_default=True, help=f"topdown: {text}"
        )

    return (
        click.option(
            "--centroid",
            "centroid_path",
            type=click.Path(path_type=Path, exists=True),
            help="topdown: a network from images to one map of centroids, as a file like that of "
            "--backbone, which is then the network from crops to maps of nodes.",
        ),
        option("max-instances", int, "most instances of a sample."),
        option("crop-size", int, "side of a crop, pixels of the image after --instance-scale."),
        option("centroid-scale", float, "pixels of the centroid network's input per image pixel."),
        option("centroid-pad-to", int, "that input is padded to a multiple of it."),
        option("centroid-stride", float, "pixels of that input per map pixel; found out."),
        option("centroid-threshold", float, "peaks of the map of centroids above it count."),
        option("instance-scale", float, "pixels of the image that is cropped per image pixel."),
        option("instance-stride", float, "pixels of a crop per pixel of its maps; found out."),
    )


def check_networks(model: str, backbone: Path | None, centroid: Path | None) -> None:
    """Refuses networks that a model family does not have, and its lack of one.

    Raises:
      UsageError: One too many, or too few.
    """
    if backbone is not None and model == "peak_ops":
        raise click.UsageError(f"--backbone is no option of the model {model}")
    if centroid is not None and model != "topdown":
        raise click.UsageError(f"--centroid is no option of the model {model}")
    if model == "topdown" and (backbone is None or centroid is None):
        missing = "--centroid" if centroid is None else "--backbone"
        raise click.UsageError(
            "topdown: expected a centroid network, --centroid, and an instance network, "
            f"--backbone; {missing} is missing"
        )
