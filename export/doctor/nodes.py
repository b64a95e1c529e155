"""Nodes and tensors of a written-out graph, and what their ops' definitions say about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tensorflow.python.framework import op_def_registry

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
IFS = ("If", "StatelessIf", "Case", "StatelessCase")
WHILES = ("While", "StatelessWhile")
BATCHER = "BatchFunction"
ARGUMENT = "_Arg"


@dataclass(eq=False)
class Node:
    """A node at one place of the written-out graph.

    Attributes:
      definition: Its `NodeDef`.
      name: Its name with the names of the calls around it.
      device: The device that it or a call around it asks for, empty for any.
      branches: The branches, loops and batchers around it, the outermost one first.
      caller: The call, branch, loop or batcher whose function it is part of.
      inputs: Its data inputs; `None` where a cycle of old-style loops was cut.
      controls: What it waits for.
      results: Of branches, loops and batchers: for each output, where it may come from.
      runs: Of calls: what must run although no output needs it.
    """

    definition: Any
    name: str
    device: str
    branches: tuple[Branch, ...]
    caller: Node | None
    inputs: list[Tensor | None] = field(default_factory=list)
    controls: list[Node] = field(default_factory=list)
    results: list[list[Tensor]] = field(default_factory=list)
    runs: list[Node] = field(default_factory=list)

    @property
    def op(self) -> str:
        """The op's name."""
        return str(self.definition.op)

    def sources(self) -> Iterator[Node]:
        """The nodes without which this one cannot run."""
        yield from (tensor.node for tensor in self.inputs if tensor)
        yield from self.controls
        yield from self.runs
        yield from (tensor.node for result in self.results for tensor in result)


@dataclass(frozen=True)
class Tensor:
    """One output of a node."""

    node: Node
    port: int


@dataclass(frozen=True)
class Branch:
    """A function that its owner runs perhaps, repeatedly, or for several requests at once.

    Attributes:
      owner: The `If`, `Case`, `While` or `BatchFunction`.
      index: Which of its functions.
    """

    owner: Node
    index: int


def attribute(node: Any, name: str) -> Any:
    """A node's attribute, the op's default where it was stripped, `None` where there is none."""
    if name in node.attr:
        return node.attr[name]
    definition = op_def_registry.get(node.op)
    for attr in definition.attr if definition else ():
        if attr.name == name and attr.HasField("default_value"):
            return attr.default_value
    return None


def argument_types(node: Any, arguments: Iterable[Any]) -> list[tuple[str, int]]:
    """(name of the argument, dtype) for each tensor of an op's inputs or outputs."""
    types = []
    for argument in arguments:
        if argument.type_list_attr:
            value = attribute(node, argument.type_list_attr)
            dtypes = list(value.list.type) if value is not None else []
        else:
            value = attribute(node, argument.type_attr) if argument.type_attr else None
            dtype = value.type if value is not None else argument.type
            number = attribute(node, argument.number_attr) if argument.number_attr else None
            dtypes = [dtype] * (number.i if number is not None else 1)
        types += [(str(argument.name), int(dtype)) for dtype in dtypes]
    return types


def output_types(node: Any) -> list[tuple[str, int]]:
    """(name of the argument, dtype) for each output of a node."""
    if node.op == ARGUMENT:
        return [("output", int(node.attr["T"].type))]
    definition = op_def_registry.get(node.op)
    return argument_types(node, definition.output_arg) if definition else []


def input_types(node: Any) -> list[tuple[str, int]]:
    """(name of the argument, dtype) for each data input of a node."""
    definition = op_def_registry.get(node.op)
    return argument_types(node, definition.input_arg) if definition else []
