"""Where each node of a signature would run on a machine with a GPU, as TensorFlow places it."""

from __future__ import annotations

from tensorflow.core.framework import types_pb2

from export.doctor.flat import FlatGraph
from export.doctor.kernels import GpuKernel, gpu_kernel, merge_is_on_host
from export.doctor.nodes import (
    ARGUMENT,
    BATCHER,
    CALLS,
    IFS,
    WHILES,
    Node,
    Tensor,
    input_types,
    output_types,
)

GPU = "on the GPU"
PINNED = "pinned to the host"
DESIGN = "on the host by design"
MISSING = "no GPU kernel"
CONTROL = "control flow"

# Where the input is, so is the op that asks for its shape.
_METADATA = ("Shape", "ShapeN", "Size", "Rank")
# Reading pictures is work for the host, whatever it hands on.
_DECODING = ("Decode", "ExtractJpegShape")
_DATA = ("Dataset", "Iterator")
_FEEDS = ("Placeholder", "PlaceholderWithDefault", ARGUMENT)
_STRING = types_pb2.DT_STRING
_VARIANT = types_pb2.DT_VARIANT


class Placement:
    """The place of every node, and which memory its inputs and outputs are in.

    Attributes:
      kernels: The GPU kernel of each node that has one.
      places: Node to one of the constants of this module.
    """

    def __init__(self, flat: FlatGraph) -> None:
        """Places all nodes, sources before their consumers."""
        self.kernels: dict[Node, GpuKernel] = {}
        self.places: dict[Node, str] = {}
        fed = {tensor.node for tensor in flat.inputs.values()}
        consumers = _consumers(flat)
        for node in flat.nodes:
            self.places[node] = self._place(node, fed)
        # A constant with one consumer is put beside it.
        for node in flat.nodes:
            if node.inputs or self.places[node] != GPU or node.device:
                continue
            places = {self._reads_host(consumer, i) for consumer, i in consumers.get(node, [])}
            if places == {True}:
                self.places[node] = DESIGN

    def _place(self, node: Node, fed: set[Node]) -> str:
        op = node.op
        if op in (*CALLS, *IFS, *WHILES, BATCHER, "NoOp"):
            return CONTROL
        if node in fed or op in _FEEDS:
            return DESIGN
        kernel = gpu_kernel(node.definition)
        if kernel:
            self.kernels[node] = kernel
        if "CPU" in node.device.upper():
            return PINNED
        if op in _METADATA and node.inputs[0] and self.is_on_host(node.inputs[0]):
            return DESIGN
        if kernel:
            return GPU
        if op.startswith(_DECODING) or any(part in op for part in _DATA):
            return DESIGN
        # What only reads or hands on pictures' bytes and datasets goes with them.
        types = [dtype for _, dtype in input_types(node.definition)]
        types += [dtype for _, dtype in output_types(node.definition)]
        if any(dtype in (_STRING, _VARIANT) for dtype in types):
            return DESIGN
        return MISSING

    def is_on_host(self, tensor: Tensor) -> bool:
        """Whether an output is written to host memory."""
        node = tensor.node
        place = self.places.get(node, DESIGN)
        if place == CONTROL:
            if node.op == BATCHER or "CPU" in node.device.upper():
                return True
            if node.op in WHILES:
                # A loop's variable stays beside what it starts from.
                start = node.inputs[tensor.port] if tensor.port < len(node.inputs) else None
                return start is None or self.is_on_host(start)
            types = output_types(node.definition)
            return tensor.port >= len(types) or merge_is_on_host(types[tensor.port][1])
        if place != GPU:
            return True
        outputs = self.kernels[node].host_outputs
        return tensor.port < len(outputs) and outputs[tensor.port]

    def reads_host(self, node: Node, index: int) -> bool | None:
        """Whether an input is read from host memory; `None` where the node only hands it on."""
        if self.places.get(node) == CONTROL:
            if node.op == BATCHER:
                return True
            # The predicate; what the branches get goes to their own nodes.
            return True if node.op in IFS and index == 0 else None
        return self._reads_host(node, index)

    def _reads_host(self, node: Node, index: int) -> bool:
        if self.places[node] == GPU:
            inputs = self.kernels[node].host_inputs
            return index < len(inputs) and inputs[index]
        return self.places[node] != CONTROL or node.op == BATCHER or index == 0


def _consumers(flat: FlatGraph) -> dict[Node, list[tuple[Node, int]]]:
    consumers: dict[Node, list[tuple[Node, int]]] = {}
    for node in flat.nodes:
        for index, tensor in enumerate(node.inputs):
            if tensor and node.op not in CALLS:
                consumers.setdefault(tensor.node, []).append((node, index))
    return consumers
