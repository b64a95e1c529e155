"""From a version directory to a `Servable`: the SavedModel's `serve` graph in its own session.

Done with the plain graph API rather than the Python loader, in the order of the C++ loader:
import, restore the variables, run the initialiser with the assets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2

from serving_config import wire
from serving_config.embedded.failures import StatusError
from serving_config.embedded.servable import InputSlot, OutputSlot, Servable, Signature

SERVE_TAG = "serve"
MODEL_FILE = "saved_model.pb"
INIT_OP = "__saved_model_init_op"
_MAIN_OP_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
_UNKNOWN_SHAPE = {"shape", "_output_shapes"}


def load_servable(
    name: str,
    version: int,
    directory: Path,
    *,
    intra_op_threads: int = 0,
    inter_op_threads: int = 0,
) -> Servable:
    """Loads one version.

    Args:
      name: The model's name.
      version: The version's number.
      directory: The version's directory.
      intra_op_threads: Threads of one operation, 0 for one per core.
      inter_op_threads: Operations at a time, 0 for one per core.

    Raises:
      StatusError: With the stock server's code and text.
    """
    meta_graph = read_meta_graph(name, version, directory)
    for node in meta_graph.graph_def.node:
        if node.op == "Placeholder":
            _forget_shape(node)
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(meta_graph.graph_def, name="")
    config = config_pb2.ConfigProto(
        intra_op_parallelism_threads=intra_op_threads,
        inter_op_parallelism_threads=inter_op_threads,
        allow_soft_placement=True,
    )
    session = tf.compat.v1.Session(graph=graph, config=config)
    try:
        _initialise(session, meta_graph, directory)
    except tf.errors.OpError as error:
        session.close()
        raise StatusError(wire.code_name(error.error_code), error.message) from error
    return Servable(name, version, session, _signatures(meta_graph))


def read_meta_graph(name: str, version: int, directory: Path) -> meta_graph_pb2.MetaGraphDef:
    """The `serve` graph of a version directory.

    Raises:
      StatusError: There is none that can be read.
    """
    if not directory.is_dir():
        raise StatusError(
            "FAILED_PRECONDITION",
            "Error while attempting to reserve resources to load servable "
            f"{{name: {name} version: {version}}}: {directory}; Not a directory",
        )
    path = directory / MODEL_FILE
    if not path.is_file():
        raise StatusError(
            "NOT_FOUND",
            "Specified file path does not appear to contain a SavedModel bundle (should have a "
            f"file called `{MODEL_FILE}`)\nSpecified file path: {directory}",
        )
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(path.read_bytes())
    except (DecodeError, OSError) as error:
        raise StatusError("DATA_LOSS", f"Can't parse {path} as binary proto") from error
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == {SERVE_TAG}:
            return meta_graph
    raise StatusError(
        "NOT_FOUND",
        f"Could not find meta graph def matching supplied tags: {{ {SERVE_TAG} }}. To inspect "
        "available tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
    )


def _forget_shape(node: Any) -> None:
    """Makes a Placeholder accept any shape: the stock server lets the graph itself refuse."""
    for key in _UNKNOWN_SHAPE & set(node.attr):
        del node.attr[key]
    node.attr["shape"].shape.unknown_rank = True


def _initialise(session: Any, meta_graph: meta_graph_pb2.MetaGraphDef, directory: Path) -> None:
    """Restores the variables, if there are any, and runs the initialiser."""
    assets = {
        asset.tensor_info.name: str(directory / "assets" / asset.filename)
        for asset in meta_graph.asset_file_def
    }
    saver = meta_graph.saver_def
    prefix = directory / "variables" / "variables"
    # Like the stock server: a missing checkpoint shows only when a variable is read.
    if saver.restore_op_name and Path(f"{prefix}.index").exists():
        session.run(saver.restore_op_name, {saver.filename_tensor_name: str(prefix), **assets})
    if initialiser := _initialiser(meta_graph):
        session.run(initialiser, assets)


def _initialiser(meta_graph: meta_graph_pb2.MetaGraphDef) -> str | None:
    """The name of the operation that fills tables and the like."""
    if INIT_OP in meta_graph.signature_def:
        return str(meta_graph.signature_def[INIT_OP].outputs[INIT_OP].name)
    for key in _MAIN_OP_COLLECTIONS:
        names = (
            meta_graph.collection_def[key].node_list.value
            if key in (meta_graph.collection_def)
            else ()
        )
        if names:
            return str(names[0])
    return None


def _signatures(meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, Signature]:
    signatures = {}
    for key, definition in meta_graph.signature_def.items():
        if key == INIT_OP:
            continue
        signatures[key] = Signature(
            key=key,
            inputs={
                alias: InputSlot(info.name, info.dtype)
                for alias, info in sorted(definition.inputs.items())
            },
            outputs={
                alias: OutputSlot(info.name, info.dtype)
                for alias, info in sorted(definition.outputs.items())
            },
            defaults={
                alias: wire.array_of(tensor) for alias, tensor in definition.defaults.items()
            },
        )
    return signatures
