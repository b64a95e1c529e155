"""The graph of one signature, written out: every call, branch, loop and batcher in its place.

A function that is called twice appears twice, since where a node runs and what reaches it depend
on the call. Arguments of branches and loops are the caller's tensors themselves: the runtime puts
the switch in front of a branch beside its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tensorflow.python.framework import op_def_registry

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
IFS = ("If", "StatelessIf", "Case", "StatelessCase")
WHILES = ("While", "StatelessWhile")
BATCHER = "BatchFunction"
ARGUMENT = "_Arg"
_DEEPEST = 64


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


class FlatGraph:
    """What one signature runs.

    Attributes:
      nodes: Every node that an output or a side effect needs, sources before their consumers.
      inputs: Name to the tensor that a request feeds.
      outputs: Name to the tensor that a reply carries.
    """

    def __init__(self, graph: Any, functions: Mapping[str, Any], signature: Any) -> None:
        """Writes out the graph.

        Args:
          graph: The `GraphDef`.
          functions: Its function library.
          signature: The `SignatureDef`.
        """
        self._functions = functions
        self._all: list[Node] = []
        outer = {node.name: node for node in graph.node}
        wanted = [info.name for info in signature.outputs.values() if info.name]
        placed = self._body(_ancestors(outer, wanted), {}, None, ())
        self.inputs = {
            name: tensor
            for name, info in sorted(signature.inputs.items())
            if (tensor := placed.tensor(info.name)) is not None
        }
        self.outputs = {
            name: tensor
            for name, info in sorted(signature.outputs.items())
            if (tensor := placed.tensor(info.name)) is not None
        }
        needed = _needed(tensor.node for tensor in self.outputs.values())
        self.nodes = [node for node in self._all if node in needed]

    def _body(
        self,
        definitions: Iterable[Any],
        arguments: Mapping[str, Tensor],
        caller: Node | None,
        branches: tuple[Branch, ...],
    ) -> _Body:
        body = _Body(arguments)
        path = f"{caller.name}/@" if caller else ""
        around = caller.device if caller else ""
        for definition in _ordered(definitions):
            device = definition.device or around
            node = Node(definition, path + definition.name, device, branches, caller)
            for reference in definition.input:
                if reference.startswith("^"):
                    if before := body.nodes.get(reference[1:]):
                        node.controls.append(before)
                else:
                    node.inputs.append(body.tensor(reference))
            self._open(node, body)
            body.nodes[definition.name] = node
            self._all.append(node)
        return body

    def _open(self, node: Node, body: _Body) -> None:
        """Writes out the functions of a node, and says what its outputs are."""
        definition = node.definition
        attr = definition.attr
        data = node.inputs
        op = node.op
        if op in CALLS or op in self._functions:
            name = attr["f"].func.name if op in CALLS else op
            results = self._function(name, data, node, node.branches)
            node.results = [[tensor] for tensor in results]
            # A call is not a place: its outputs are those of the function.
            body.aliases[definition.name] = list(results)
            return
        if op in IFS:
            chosen = (
                attr["branches"].list.func
                if "branches" in attr
                else (attr["then_branch"].func, attr["else_branch"].func)
            )
            inner = [
                self._function(f.name, data[1:], node, (*node.branches, Branch(node, index)))
                for index, f in enumerate(chosen)
            ]
            node.results = [list(tensors) for tensors in zip(*inner, strict=False)]
        elif op in WHILES:
            for index, key in enumerate(("cond", "body")):
                around = (*node.branches, Branch(node, index))
                inner_results = self._function(attr[key].func.name, data, node, around)
                if key == "cond":
                    node.runs += [tensor.node for tensor in inner_results]
                else:
                    node.results = [[tensor] for tensor in inner_results]
        elif op == BATCHER:
            around = (*node.branches, Branch(node, 0))
            joined = [
                self._argument(node, i, dtype, around)
                for i, (_, dtype) in enumerate(input_types(definition))
            ]
            node.results = [
                [tensor] for tensor in self._function(attr["f"].func.name, joined, node, around)
            ]

    def _argument(
        self, batcher: Node, index: int, dtype: int, branches: tuple[Branch, ...]
    ) -> Tensor:
        """A batch, as the function of a batcher gets it."""
        definition = type(batcher.definition)()
        definition.name = f"batch_{index}"
        definition.op = ARGUMENT
        definition.attr["T"].type = dtype
        definition.attr["index"].i = index
        node = Node(definition, f"{batcher.name}/{definition.name}", "", branches, batcher)
        node.inputs.append(batcher.inputs[index])
        self._all.append(node)
        return Tensor(node, 0)

    def _function(
        self,
        name: str,
        values: Sequence[Tensor | None],
        caller: Node,
        branches: tuple[Branch, ...],
    ) -> list[Tensor]:
        function = self._functions[name]
        if caller.name.count("/@") > _DEEPEST:
            return []
        arguments = {
            arg.name: value
            for arg, value in zip(function.signature.input_arg, values, strict=False)
            if value is not None
        }
        body = self._body(function.node_def, arguments, caller, branches)
        caller.runs += [
            body.nodes[node] for node in function.control_ret.values() if node in body.nodes
        ]
        results = (body.tensor(function.ret[arg.name]) for arg in function.signature.output_arg)
        return [tensor for tensor in results if tensor is not None]


class _Body:
    """The nodes of one function while it is written out."""

    def __init__(self, arguments: Mapping[str, Tensor]) -> None:
        self.arguments = arguments
        self.nodes: dict[str, Node] = {}
        self.aliases: dict[str, list[Tensor]] = {}

    def tensor(self, reference: str) -> Tensor | None:
        """What `name`, `name:port` or `name:output:index` stands for."""
        name, *place = reference.split(":")
        if name in self.arguments and name not in self.nodes:
            return self.arguments[name]
        node = self.nodes.get(name)
        if node is None:
            return None
        port = _port(node.definition, place)
        alias = self.aliases.get(name)
        if alias is None:
            return Tensor(node, port)
        return alias[port] if port < len(alias) else None


def _port(definition: Any, place: list[str]) -> int:
    if len(place) < 2:
        return int(place[0]) if place else 0
    names = [name for name, _ in output_types(definition)]
    # The op of a direct call of a function is in no registry; its outputs have one name each.
    start = names.index(place[0]) if place[0] in names else 0
    return start + int(place[1])


def _name(reference: str) -> str:
    return reference.lstrip("^").split(":")[0]


def _ancestors(nodes: Mapping[str, Any], references: Iterable[str]) -> list[Any]:
    waiting = [_name(reference) for reference in references]
    found: dict[str, Any] = {}
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in found:
            found[name] = nodes[name]
            waiting += [_name(reference) for reference in nodes[name].input]
    return list(found.values())


def _ordered(definitions: Iterable[Any]) -> list[Any]:
    """Sources before consumers; what remains of the cycles of old-style loops comes last."""
    waiting = {definition.name: definition for definition in definitions}
    missing = {
        name: {source for reference in definition.input if (source := _name(reference)) in waiting}
        for name, definition in waiting.items()
    }
    consumers: dict[str, list[str]] = {}
    for name, sources in missing.items():
        for source in sources:
            consumers.setdefault(source, []).append(name)
    ready = [name for name, sources in missing.items() if not sources]
    order = []
    while ready:
        name = ready.pop()
        order.append(waiting.pop(name))
        for consumer in consumers.get(name, ()):
            missing[consumer].discard(name)
            if not missing[consumer]:
                ready.append(consumer)
    return order + list(waiting.values())


def _needed(wanted: Iterable[Node]) -> set[Node]:
    """What must run for the wanted nodes. The calls around a node bring their side effects."""
    waiting = list(wanted)
    needed: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.sources()
            waiting += [node.caller] if node.caller else []
    return needed
