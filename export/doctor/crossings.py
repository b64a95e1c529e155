"""The copies between host and device memory that one request costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from export.doctor.flat import FlatGraph
from export.doctor.nodes import BATCHER, CALLS, IFS, WHILES, Branch, Node, Tensor
from export.doctor.placement import Placement
from export.doctor.shapes import Shapes

# A map-sized tensor has at least this part of the signature's largest input.
_PART = 4
_LEAST, _MOST = 1024, 65_536


@dataclass(frozen=True)
class Copy:
    """A tensor that one side writes and the other reads.

    Attributes:
      tensor: What is copied.
      to_host: From the device's memory to the host's, or the other way round.
      branches: Where it is read.
      reader: Who reads it, `None` for the reply.
      elements: How many elements it has at least for a typical request.
      is_map: Whether that is map-sized.
    """

    tensor: Tensor
    to_host: bool
    branches: tuple[Branch, ...]
    reader: Node | None
    elements: int
    is_map: bool


class Crossings:
    """All copies of what depends on the request.

    Attributes:
      copies: Each tensor once per place that reads it.
      threshold: From how many elements on a tensor is map-sized.
    """

    def __init__(self, flat: FlatGraph, placement: Placement, shapes: Shapes) -> None:
        """Finds them."""
        self._flat = flat
        self._placement = placement
        self._shapes = shapes
        largest = max((shapes.elements(tensor) for tensor in flat.inputs.values()), default=0)
        self.threshold = min(max(largest // _PART, _LEAST), _MOST)
        depends = dependents(flat)
        found: dict[tuple[Tensor, bool], list[Copy]] = {}
        for tensor, reads_host, branches, reader in self._reads():
            if tensor.node not in depends or placement.is_on_host(tensor) == reads_host:
                continue
            elements = shapes.elements(tensor)
            copy = Copy(tensor, reads_host, branches, reader, elements, elements >= self.threshold)
            others = found.setdefault((tensor, reads_host), [])
            if not any(branches[: len(other.branches)] == other.branches for other in others):
                others.append(copy)
        self.copies = [copy for copies in found.values() for copy in copies]

    def count(self, kind: Callable[[Copy], bool]) -> int:
        """The most copies of a kind that one request can cost: one branch of each condition."""
        return self._most([copy for copy in self.copies if kind(copy)], 0)

    def _most(self, copies: list[Copy], depth: int) -> int:
        here = [copy for copy in copies if len(copy.branches) == depth]
        owners: dict[Node, dict[int, list[Copy]]] = {}
        for copy in copies:
            if len(copy.branches) > depth:
                branch = copy.branches[depth]
                owners.setdefault(branch.owner, {}).setdefault(branch.index, []).append(copy)
        total = len(here)
        for owner, branches in owners.items():
            counts = [self._most(inner, depth + 1) for inner in branches.values()]
            total += max(counts) if owner.op in IFS else sum(counts)
        return total

    def _reads(self) -> Iterator[tuple[Tensor, bool, tuple[Branch, ...], Node | None]]:
        placement = self._placement
        for node in self._flat.nodes:
            for index, tensor in enumerate(node.inputs):
                if tensor is None or node.op == "_Arg":
                    continue
                reads = placement.reads_host(node, index)
                if reads is not None:
                    yield tensor, reads, node.branches, node
            if node.op in CALLS:
                continue
            for port, result in enumerate(node.results):
                for tensor in result:
                    # What leaves a branch is merged where the condition itself would be.
                    reads = placement.is_on_host(Tensor(node, port))
                    if node.op in (*IFS, *WHILES, BATCHER) and tensor.node is not node:
                        yield tensor, reads, tensor.node.branches, node
        for tensor in self._flat.outputs.values():
            yield tensor, True, (), None


def dependents(flat: FlatGraph) -> set[Node]:
    """The nodes whose outputs depend on the request, in value or in shape."""
    found = {tensor.node for tensor in flat.inputs.values()}
    for node in flat.nodes:
        data = [tensor.node for tensor in node.inputs if tensor]
        data += [tensor.node for result in node.results for tensor in result]
        if any(source in found for source in data):
            found.add(node)
    return found
