"""DeepLabCut's networks: frozen graphs of its TensorFlow engine.

The mean pixel is subtracted inside the graph, whose input is red, green, blue of 0..255.
"""

from __future__ import annotations

import re
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

from export.adapters.deeplabcut_config import DeepLabCutModel
from export.adapters.drawing import WINDOW, drawn
from export.adapters.facts import AdapterError, NetworkFacts
from export.adapters.saving import save_network

# Scores before the sigmoid, and offsets; the layer in between has another name in some networks.
_SCORES = re.compile(r"pose/part_pred/[^/]+/BiasAdd")
_OFFSETS = re.compile(r"pose/locref_pred/[^/]+/BiasAdd")


def adapt_deeplabcut(model: DeepLabCutModel, out: Path, *, offsets: bool = True) -> NetworkFacts:
    """Writes a network that takes images of 0..255 and answers with scores 0..1.

    Args:
      model: What its folder says.
      out: The folder to write, new or empty.
      offsets: Draw maps where DeepLabCut's offsets put the landmarks; else the network's own.

    Raises:
      AdapterError: The graph cannot be read, or has no such outputs.
    """
    graph = _read_graph(model.graph)
    image = _only_node(model.graph, graph, re.compile(r".*"), op="Placeholder")
    scores = _only_node(model.graph, graph, _SCORES)
    wanted = [f"{scores}:0"]
    unit = model.offsets_unit if offsets else None
    if unit is not None:
        wanted.append(f"{_only_node(model.graph, graph, _OFFSETS)}:0")
    run = _function(graph, f"{image}:0", wanted)

    def function(images: tf.Tensor) -> tf.Tensor:
        results = [_inside(result, images, model.stride) for result in run(images)]
        maps = tf.sigmoid(results[0][..., : len(model.names)])
        if unit is None:
            return maps
        return drawn(maps, results[1] * tf.constant(unit / model.stride, tf.float32))

    facts = model.facts(window=None if unit is None else WINDOW)
    save_network(function, out, facts, channels=3)
    return facts


def _read_graph(path: Path) -> tf.compat.v1.GraphDef:
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except (DecodeError, OSError) as error:
        raise AdapterError(f"{path}: expected a frozen graph, got a damaged file") from error
    for node in graph.node:
        if node.op == "Placeholder" and "shape" in node.attr:
            # Any number of samples, whatever the batch size was at the time of the export.
            for dim in node.attr["shape"].shape.dim[:1]:
                dim.size = -1
    return graph


def _only_node(
    path: Path, graph: tf.compat.v1.GraphDef, pattern: re.Pattern[str], op: str | None = None
) -> str:
    found = [n.name for n in graph.node if pattern.fullmatch(n.name) and op in (None, n.op)]
    if len(found) != 1:
        what = op or pattern.pattern
        raise AdapterError(
            f"{path}: expected one node {what}, as of DeepLabCut's TensorFlow engine, got "
            f"{len(found)}: {', '.join(found) or 'none'}"
        )
    return str(found[0])


def _function(
    graph: tf.compat.v1.GraphDef, image: str, outputs: list[str]
) -> tf.types.experimental.ConcreteFunction:
    """One tensor to the tensors of those names."""

    def load() -> None:
        tf.import_graph_def(graph, name="")

    whole = tf.compat.v1.wrap_function(load, [])
    tensor = whole.graph.as_graph_element
    return whole.prune(tensor(image), [tensor(name) for name in outputs])


def _inside(maps: tf.Tensor, images: tf.Tensor, stride: float) -> tf.Tensor:
    """The map's pixels that begin inside the image; networks make an even number of them."""
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    rows_cols = tf.cast(tf.math.ceil(size / stride), tf.int32)
    return maps[:, : rows_cols[0], : rows_cols[1]]
