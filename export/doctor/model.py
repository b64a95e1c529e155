"""A SavedModel directory as it lies on disk, read without running anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from export.doctor.findings import Finding

SERVE_TAG = "serve"
GRAPH_FILE = "saved_model.pb"
# Signatures that savers add for themselves; no client calls them.
_INTERNAL = ("__saved_model_init_op", "__saved_model_train_op")


class Unreadable(Exception):  # noqa: N818 - carried to the report, not to the user
    """A directory in which there is nothing to look at.

    Attributes:
      finding: What to say about it.
    """

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.sentence)
        self.finding = finding


class SavedModel:
    """The graph that a server would load.

    Attributes:
      directory: The version's directory.
      meta_graph: The `MetaGraphDef` with the tag `serve`.
      functions: Name to `FunctionDef`.
    """

    def __init__(self, directory: Path) -> None:
        """Reads the graph.

        Raises:
          Unreadable: There is none, it cannot be parsed, or it has no `serve` tag.
        """
        self.directory = directory
        path = directory / GRAPH_FILE
        if not path.is_file():
            raise Unreadable(
                Finding(
                    "no-saved-model",
                    f"expected {GRAPH_FILE} in {directory}, got none",
                    "copy the whole version directory again, under another name, then rename it",
                )
            )
        model = saved_model_pb2.SavedModel()
        try:
            model.ParseFromString(path.read_bytes())
            parsed = bool(model.meta_graphs)
        except DecodeError:
            parsed = False
        if not parsed:
            raise Unreadable(
                Finding(
                    "unreadable-saved-model",
                    f"expected a SavedModel in {path}, got {path.stat().st_size} bytes that are "
                    "none",
                    "copy the file again and compare its size with the original's",
                )
            )
        tags = [sorted(graph.meta_info_def.tags) for graph in model.meta_graphs]
        served = [graph for graph in model.meta_graphs if SERVE_TAG in graph.meta_info_def.tags]
        if not served:
            raise Unreadable(
                Finding(
                    "no-serve-tag",
                    f"expected a graph with the tag {SERVE_TAG} in {path}, got the tags {tags}",
                    "save with tf.saved_model.save, which tags the graph",
                )
            )
        self.meta_graph: Any = served[0]
        self.functions: dict[str, Any] = {
            function.signature.name: function for function in self.graph.library.function
        }

    @property
    def graph(self) -> Any:
        """The `GraphDef`."""
        return self.meta_graph.graph_def

    @cached_property
    def signatures(self) -> dict[str, Any]:
        """Key to `SignatureDef`, of what clients can call."""
        return {
            key: signature
            for key, signature in sorted(self.meta_graph.signature_def.items())
            if key not in _INTERNAL
        }

    def called(self, nodes: Iterable[Any]) -> dict[str, Any]:
        """Every function that the nodes reach, through calls, branches, loops and datasets."""
        reached: dict[str, Any] = {}
        waiting = [name for node in nodes for name in self.references(node)]
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached[name] = self.functions[name]
                for node in self.functions[name].node_def:
                    waiting += self.references(node)
        return reached

    def references(self, node: Any) -> Iterator[str]:
        """The functions that a node names."""
        if node.op in self.functions:
            yield node.op
        for value in node.attr.values():
            for function in [value.func] if value.HasField("func") else value.list.func:
                if function.name in self.functions:
                    yield function.name
