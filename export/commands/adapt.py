"""The command `adapt`: networks of other frameworks become backbones of `export`."""

from __future__ import annotations

from pathlib import Path

import click

from export import options
from export.commands.group import import_tensorflow

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_out_option = click.option(
    "--out",
    required=True,
    type=options.OUTPUT_FOLDER,
    help="The folder to write, new or empty; it is then the --backbone or --centroid of export.",
)


@click.group()
def adapt() -> None:
    """Turn a network of SLEAP, DeepLabCut or MMPose into a backbone of 'peakserve export'.

    What the framework does to images before its network goes into it or into options of export,
    which reads them from a file beside the network.
    """


@adapt.command(short_help="A network of SLEAP 1.x.")
@click.argument("source", type=_FOLDER)
@_out_option
@options.json_option
def sleap(source: Path, out: Path, as_json: bool) -> None:
    """Adapt a network of SLEAP 1.x (TensorFlow): single instance, centroid or centered instance.

    SOURCE is a model folder with training_config.json and best_model.h5.
    """
    from export.adapters.sleap_config import read_sleap

    model = read_sleap(source)
    import_tensorflow()
    from export.adapters.sleap import adapt_sleap
    from export.adapters.telling import write_and_tell

    write_and_tell(out, lambda: adapt_sleap(model, out), as_json=as_json)


@adapt.command(short_help="A network of DeepLabCut's TensorFlow engine.")
@click.argument("source", type=_FOLDER)
@_out_option
@click.option(
    "--offsets/--no-offsets",
    default=True,
    show_default=True,
    help="Draw maps where the network's location refinement puts body parts; else its own scores.",
)
@options.json_option
def deeplabcut(source: Path, out: Path, offsets: bool, as_json: bool) -> None:
    """Adapt a network of one animal of DeepLabCut's TensorFlow engine.

    SOURCE is the folder that deeplabcut.export_model writes: pose_cfg.yaml and a frozen graph.
    """
    from export.adapters.deeplabcut_config import read_deeplabcut

    model = read_deeplabcut(source)
    import_tensorflow()
    from export.adapters.deeplabcut import adapt_deeplabcut
    from export.adapters.telling import write_and_tell

    write_and_tell(out, lambda: adapt_deeplabcut(model, out, offsets=offsets), as_json=as_json)


@adapt.command(short_help="A converted network of MMPose.")
@click.argument("source", type=_FOLDER)
@click.option(
    "--config",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The network's resolved configuration, .json or .py, as mmengine's Config.dump writes it; "
    "read, never run.",
)
@_out_option
@click.option(
    "--backbone-output", help="Which output of the network holds the maps, if it has several."
)
@options.json_option
def mmpose(
    source: Path, config: Path, out: Path, backbone_output: str | None, as_json: bool
) -> None:
    """Adapt a network with a heatmap head of MMPose, converted to a SavedModel.

    SOURCE is the SavedModel's folder, channels first or last.
    """
    from export.adapters.mmpose_config import read_mmpose

    model = read_mmpose(config)
    import_tensorflow()
    from export.adapters.mmpose import adapt_mmpose
    from export.adapters.telling import write_and_tell

    write_and_tell(
        out, lambda: adapt_mmpose(model, source, out, output=backbone_output), as_json=as_json
    )
