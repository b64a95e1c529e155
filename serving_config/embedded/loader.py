"""From a version directory to a `Servable`: the SavedModel's `serve` graph in its own session.

Done with the plain graph API rather than the Python loader, in the order of the C++ loader:
import, restore the variables, run the initialiser with the assets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from serving_config import wire
from serving_config.embedded.failures import StatusError
from serving_config.embedded.meta_graph import read_meta_graph
from serving_config.embedded.metrics import Metrics
from serving_config.embedded.servable import InputSlot, OutputSlot, Servable, Signature
from serving_config.embedded.warmup import replay

INIT_OP = "__saved_model_init_op"
_MAIN_OP_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
_UNKNOWN_SHAPE = {"shape", "_output_shapes"}


@dataclass(frozen=True)
class LoadOptions:
    """How versions are loaded.

    Attributes:
      intra_op_threads: Threads of one operation, 0 for one per core.
      inter_op_threads: Operations at a time, 0 for one per core.
      warmup_iterations: How often every warm-up record is run, 0 for no warm-up.
    """

    intra_op_threads: int = 0
    inter_op_threads: int = 0
    warmup_iterations: int = 1


class Loader:
    """Makes servables of version directories. Safe to use from many threads.

    Args:
      options: How.
      metrics: Where loads, warm-ups and runs are counted.
    """

    def __init__(self, options: LoadOptions, metrics: Metrics) -> None:
        self._options = options
        self._metrics = metrics

    def __call__(self, name: str, version: int, directory: Path) -> Servable:
        """Loads one version and replays its warm-up requests.

        Args:
          name: The model's name.
          version: The version's number.
          directory: The version's directory.

        Raises:
          StatusError: With the stock server's code and text.
        """
        begin = time.perf_counter()
        path = str(directory)
        try:
            servable = self._load(name, version, directory)
        except StatusError:
            self._metrics.load_attempts.add(path, "fail")
            raise
        self._metrics.load_attempts.add(path, "success")
        micros = int((time.perf_counter() - begin) * 1e6)
        self._metrics.load_latency.add(path, amount=micros)
        if self._options.warmup_iterations:
            try:
                replay(
                    servable,
                    directory,
                    self._options.warmup_iterations,
                    self._metrics,
                )
            except StatusError:
                servable.close()
                raise
        return servable

    def _load(self, name: str, version: int, directory: Path) -> Servable:
        meta_graph = read_meta_graph(directory)
        for node in meta_graph.graph_def.node:
            if node.op == "Placeholder":
                _forget_shape(node)
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(meta_graph.graph_def, name="")
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=self._options.intra_op_threads,
            inter_op_parallelism_threads=self._options.inter_op_threads,
            allow_soft_placement=True,
        )
        session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            _initialise(session, meta_graph, directory)
        except tf.errors.OpError as error:
            session.close()
            raise StatusError(wire.code_name(error.error_code), error.message) from error

        def observe(api: str, seconds: float) -> None:
            self._metrics.runtime_latency.add(name, api, "TF1", seconds=seconds)

        definitions = dict(meta_graph.signature_def)
        return Servable(name, version, session, _signatures(meta_graph), definitions, observe)


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
