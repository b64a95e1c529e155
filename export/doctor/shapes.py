"""How large tensors are for a request of a typical size: TensorFlow's own shape inference.

Every unknown dimension of an input is given a size, the written-out graph is built once more from
these, and the shapes are read off. What depends on values (the number of peaks found) stays
unknown and counts as 1.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import tensorflow as tf
from google.protobuf.message import Message

from export.doctor.flat import FlatGraph
from export.doctor.nodes import BATCHER, CALLS, IFS, WHILES, Node, Tensor, output_types

SAMPLES, SIDE, CHANNELS = 4, 256, 8

Shape = tuple[int | None, ...] | None

# What warns of old arguments, and looks at the signature at each call, takes half of the time.
_create_op = inspect.unwrap(tf.Graph.create_op)


def typical_shape(shape: Any) -> Shape:
    """A `TensorShapeProto` with a size for each unknown dimension.

    Axis 0 is the sample, the last one of four or more is the channel, what lies between is the
    image.
    """
    if shape.unknown_rank:
        return None
    rank = len(shape.dim)
    usual = [SAMPLES] + [SIDE] * (rank - 1)
    if rank >= 4:
        usual[-1] = CHANNELS
    return tuple(
        dim.size if dim.size >= 0 else size for dim, size in zip(shape.dim, usual, strict=False)
    )


class Shapes:
    """The shapes of all tensors of a written-out graph."""

    def __init__(self, flat: FlatGraph, signature: Any) -> None:
        """Infers them.

        Args:
          flat: The graph.
          signature: Its `SignatureDef`, whose input shapes are filled in.
        """
        self._symbols: dict[Tensor, tf.Tensor] = {}
        fed = {flat.inputs[name]: signature.inputs[name].tensor_shape for name in flat.inputs}
        with tf.Graph().as_default() as graph:
            for node in flat.nodes:
                first = Tensor(node, 0)
                if first in fed:
                    kept = typical_shape(fed[first])
                    symbols = [_placeholder(output_types(node.definition)[0][1], kept)]
                else:
                    symbols = self._built(graph, node)
                for port, symbol in enumerate(symbols):
                    self._symbols[Tensor(node, port)] = symbol

    def of(self, tensor: Tensor) -> Shape:
        """The shape for a typical request, `None` for an unknown rank."""
        symbol = self._symbols.get(tensor)
        if symbol is None or symbol.shape.rank is None:
            return None
        return tuple(symbol.shape.as_list())

    def elements(self, tensor: Tensor) -> int:
        """How many elements a tensor has at least."""
        return math.prod(1 if size is None else size for size in self.of(tensor) or ())

    def _built(self, graph: tf.Graph, node: Node) -> list[tf.Tensor]:
        types = output_types(node.definition)
        if node.op in (*IFS, *WHILES, BATCHER, *CALLS):
            return [
                _placeholder(dtype, self._largest(node.results[port : port + 1]))
                for port, (_, dtype) in enumerate(types)
            ]
        inputs = [self._symbols.get(tensor) if tensor else None for tensor in node.inputs]
        if node.op == "_Arg":
            known = node.inputs[0]
            return [_placeholder(types[0][1], self.of(known) if known else None)]
        if any(symbol is None for symbol in inputs) or _has_function(node.definition):
            return [_placeholder(dtype, None) for _, dtype in types]
        attrs = {
            name: value for name, value in node.definition.attr.items() if not name.startswith("_")
        }
        try:
            operation = _create_op(
                graph, node.op, inputs, [tf.as_dtype(dtype) for _, dtype in types], attrs=attrs
            )
        except (ValueError, TypeError, tf.errors.OpError):
            # The usual sizes do not suit this graph: say nothing about what follows.
            return [_placeholder(dtype, None) for _, dtype in types]
        return list(operation.outputs)

    def _largest(self, results: list[list[Tensor]]) -> Shape:
        """Of branches the largest: a refusing branch returns empty tensors."""
        shapes = [self.of(tensor) for result in results for tensor in result]
        return max(
            shapes,
            key=lambda shape: math.prod(size or 0 for size in shape) if shape else 0,
            default=None,
        )


def _placeholder(dtype: int, shape: Shape) -> tf.Tensor:
    return tf.compat.v1.placeholder(tf.as_dtype(dtype), shape)


def _has_function(definition: Message) -> bool:
    return any(value.HasField("func") or value.list.func for value in definition.attr.values())
