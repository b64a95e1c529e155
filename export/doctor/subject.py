"""What a rule looks at: the model, the options, and everything computed from them, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from export.doctor import SERVER_VERSION
from export.doctor.crossings import Crossings
from export.doctor.findings import Finding
from export.doctor.flat import FlatGraph
from export.doctor.model import SavedModel
from export.doctor.nodes import BATCHER, Node
from export.doctor.placement import Placement
from export.doctor.shapes import Shapes
from serving_config.batching import BATCHING_FILE


@dataclass
class Signature:
    """One signature and what it runs.

    Attributes:
      key: Its key.
      definition: Its `SignatureDef`.
      flat: Its graph, written out.
    """

    key: str
    definition: Any
    flat: FlatGraph

    @cached_property
    def shapes(self) -> Shapes:
        """The sizes of all tensors for a typical request."""
        return Shapes(self.flat, self.definition)

    @cached_property
    def placement(self) -> Placement:
        """Where its nodes run on a machine with a GPU."""
        return Placement(self.flat)

    @cached_property
    def crossings(self) -> Crossings:
        """The copies between host and device."""
        return Crossings(self.flat, self.placement, self.shapes)

    @property
    def batchers(self) -> list[Node]:
        """Its in-graph batchers."""
        return [node for node in self.flat.nodes if node.op == BATCHER]


@dataclass
class Subject:
    """A model under examination.

    Attributes:
      model: The model.
      gpu: Whether it is to be served on a GPU.
      batching: `server`, `in-graph`, or `None` for what the directory shows.
      server_version: The server that will host it.
    """

    model: SavedModel
    gpu: bool = False
    batching: str | None = None
    server_version: str = SERVER_VERSION
    _reached: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def signatures(self) -> list[Signature]:
        """All signatures that clients can call."""
        model = self.model
        return [
            Signature(key, definition, FlatGraph(model.graph, model.functions, definition))
            for key, definition in model.signatures.items()
        ]

    @property
    def has_batching_file(self) -> bool:
        """Whether the version asks for the server's batcher."""
        return (self.model.directory / BATCHING_FILE).is_file()

    @property
    def is_server_batched(self) -> bool:
        """Whether the server's batcher stands before every signature."""
        if self.batching is None:
            return self.has_batching_file
        return self.batching == "server"

    def is_batched(self, signature: Signature) -> bool:
        """Whether requests of a signature are joined, by the server or in its graph."""
        return self.is_server_batched or bool(signature.batchers)

    def definitions(self, signature: Signature) -> list[tuple[str, Any]]:
        """(function, `NodeDef`) of all that a signature reaches, the functions of datasets too."""
        if signature.key not in self._reached:
            nodes = [("", node.definition) for node in signature.flat.nodes]
            reached = self.model.called(definition for _, definition in nodes)
            for name, function in reached.items():
                nodes += [(name, node) for node in function.node_def]
            self._reached[signature.key] = nodes
        found: list[tuple[str, Any]] = self._reached[signature.key]
        return found


Rule = Callable[[Subject], Iterable[Finding]]


def named(signatures: Iterable[str]) -> str:
    """Keys for a sentence, at most five."""
    keys = list(signatures)
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return ", ".join(keys[:5]) + more
