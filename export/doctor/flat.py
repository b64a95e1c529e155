"""The graph of one signature, written out: every call, branch, loop and batcher in its place.

A function that is called twice appears twice, since where a node runs and what reaches it depend
on the call. Arguments of branches and loops are the caller's tensors themselves: the runtime puts
the switch in front of a branch beside its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from export.doctor.nodes import (
    ARGUMENT,
    BATCHER,
    CALLS,
    IFS,
    WHILES,
    Branch,
    Node,
    Tensor,
    input_types,
    output_types,
)

_DEEPEST = 64


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
