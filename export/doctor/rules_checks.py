"""What a graph does with requests that its signature does not allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tensorflow.core.framework import types_pb2

from export.doctor.findings import Finding
from export.doctor.flat import FlatGraph
from export.doctor.nodes import CALLS, IFS, WHILES, Node, Tensor, input_types
from export.doctor.rules_requests import rank, sizes
from export.doctor.subject import Subject, named

_PASSING = ("Identity", "IdentityN", "StopGradient", "PreventGradient", *CALLS)
# They look at the shape, whatever it is.
_METADATA = ("Shape", "ShapeN", "Size", "Rank")
_NUMBERS = frozenset(
    types_pb2.DataType.Value(f"DT_{name}")
    for name in ("INT16", "INT32", "INT64", "UINT16", "UINT32", "UINT64")
)
_FLOATS = frozenset(
    types_pb2.DataType.Value(f"DT_{name}") for name in ("HALF", "BFLOAT16", "FLOAT", "DOUBLE")
)
# Op to the arguments whose values say how much it allocates.
_SIZES: dict[str, tuple[str, ...]] = {
    "Fill": ("dims",),
    "Empty": ("shape",),
    "Range": ("start", "limit", "delta"),
    "LinSpace": ("num",),
    "BroadcastTo": ("shape",),
    "Tile": ("multiples",),
    "Pad": ("paddings",),
    "PadV2": ("paddings",),
    "MirrorPad": ("paddings",),
    "OneHot": ("depth",),
    "ScatterNd": ("shape",),
    "SparseToDense": ("output_shape",),
    "CropAndResize": ("crop_size",),
    "ExtractGlimpse": ("size",),
    "ExtractGlimpseV2": ("size",),
    "ImageProjectiveTransformV2": ("output_shape",),
    "ImageProjectiveTransformV3": ("output_shape",),
    "ResizeBilinear": ("size",),
    "ResizeNearestNeighbor": ("size",),
    "ResizeBicubic": ("size",),
    "ResizeArea": ("size",),
    "ScaleAndTranslate": ("size",),
    "RandomUniform": ("shape",),
    "RandomUniformInt": ("shape",),
    "RandomStandardNormal": ("shape",),
    "TruncatedNormal": ("shape",),
    "StatelessRandomUniformV2": ("shape",),
    "StatelessRandomNormalV2": ("shape",),
    "TensorListReserve": ("num_elements",),
    "TensorArrayV3": ("size",),
    "MatrixDiagV3": ("num_rows", "num_cols"),
    "UnsortedSegmentSum": ("num_segments",),
    "Bincount": ("size",),
    "DenseBincount": ("size",),
}


def shapes_are_checked(subject: Subject) -> Iterator[Finding]:
    """A server does not compare a request's shapes with the signature's."""
    for signature in subject.signatures:
        unchecked = [
            f"{name} {sizes(info)}"
            for name, info in sorted(signature.definition.inputs.items())
            if rank(info) is not None
            and name in signature.flat.inputs
            and not _is_checked(signature.flat, signature.flat.inputs[name], sizes(info))
        ]
        if unchecked:
            yield Finding(
                "missing-shape-check",
                f"expected tf.ensure_shape before anything else is done with {named(unchecked)}, "
                "got none: the server does not check shapes, and other ones may even be answered",
                "begin the function with x = tf.ensure_shape(x, spec.shape)",
                signature.key,
            )


def _is_checked(flat: FlatGraph, tensor: Tensor, shape: list[int | None]) -> bool:
    """Whether all that is done with an input is done behind a check of this shape."""
    consumers: dict[Tensor, list[Node]] = {}
    for node in flat.nodes:
        for source in node.inputs:
            if source:
                consumers.setdefault(source, []).append(node)
    waiting, seen = [tensor], {tensor}
    while waiting:
        for node in consumers.get(waiting.pop(), ()):
            if node.op == "EnsureShape":
                if not _is_as_strict(node.definition.attr["shape"].shape, shape):
                    return False
            elif node.op in _PASSING:
                onward = [] if node.op in CALLS else [Tensor(node, 0)]
                waiting += [passed for passed in onward if passed not in seen]
                seen.update(onward)
            elif node.op not in (*_METADATA, *IFS, *WHILES):
                return False
    return True


def _is_as_strict(checked: Any, shape: list[int | None]) -> bool:
    if checked.unknown_rank or len(checked.dim) != len(shape):
        return False
    return all(
        size is None or dim.size == size for dim, size in zip(checked.dim, shape, strict=True)
    )


def asserts_are_barriers(subject: Subject) -> Iterator[Finding]:
    """An Assert beside the work does not stop it; one in a branch that the reply needs does."""
    for signature in subject.signatures:
        reply = _data_ancestors(signature.flat.outputs.values())
        beside = [
            node.name.rpartition("@")[2]
            for node in signature.flat.nodes
            if node.op == "Assert" and not _stands_in_the_way(node, reply)
        ]
        if beside:
            yield Finding(
                "assert-beside-work",
                "expected checks that the work waits for, got an Assert beside it at "
                f"{named(beside)}: a refused request is still paid for, and may be answered",
                "write tf.cond(ok, compute, fail) with the Assert in fail",
                signature.key,
            )


def _stands_in_the_way(node: Node, reply: set[Node]) -> bool:
    """Whether the reply is made of what the innermost condition around an Assert gives."""
    owners = [branch.owner for branch in node.branches if branch.owner.op in IFS]
    return bool(owners) and owners[-1] in reply


def _data_ancestors(tensors: Iterable[Tensor]) -> set[Node]:
    waiting = [tensor.node for tensor in tensors]
    found: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += [tensor.node for tensor in node.inputs if tensor]
            waiting += [tensor.node for result in node.results for tensor in result]
            # A branch that computes nothing is its condition's still: the reply waits for it.
            waiting += [branch.owner for branch in node.branches]
    return found


def sizes_are_guarded(subject: Subject) -> Iterator[Finding]:
    """A number in a request must not say how much the server allocates, unless it was checked."""
    for signature in subject.signatures:
        for name, info in sorted(signature.definition.inputs.items()):
            number = info.dtype in _NUMBERS or (info.dtype in _FLOATS and rank(info) == 0)
            if not number or name not in signature.flat.inputs:
                continue
            tainted = _tainted(signature.flat, signature.flat.inputs[name])
            sinks = [
                f"{node.op} at {node.name.rpartition('@')[2]}"
                for node in signature.flat.nodes
                if _is_sized_by(node, tainted) and not _is_guarded(node, tainted)
            ]
            if sinks:
                yield Finding(
                    "request-sized-allocation",
                    f"expected bounds on {name} before it sizes anything, got none before "
                    f"{named(sinks)}: a small request makes the server allocate what it likes",
                    "compare it with a bound, and allocate inside tf.cond(ok, compute, fail)",
                    signature.key,
                )


def _tainted(flat: FlatGraph, start: Tensor) -> set[Node]:
    """The nodes whose values, not only shapes, depend on an input."""
    found = {start.node}
    # Loops hand values back to nodes that stand before them.
    size = 0
    while size != len(found):
        size = len(found)
        for node in flat.nodes:
            if node.op in _METADATA or node in found:
                continue
            if node.op in (*IFS, *WHILES, *CALLS):
                data = [tensor for result in node.results for tensor in result]
            else:
                data = [tensor for tensor in node.inputs if tensor]
                data += [tensor for result in node.results for tensor in result]
            if any(tensor.node in found for tensor in data):
                found.add(node)
    return found


def _is_sized_by(node: Node, tainted: set[Node]) -> bool:
    names = _SIZES.get(node.op, ())
    if not names:
        return False
    types = input_types(node.definition)
    return any(
        tensor is not None and tensor.node in tainted and types[index][0] in names
        for index, tensor in enumerate(node.inputs)
    )


def _is_guarded(node: Node, tainted: set[Node]) -> bool:
    """Whether a condition that looks at the value stands before it."""
    for branch in node.branches:
        owner = branch.owner
        if owner.op in IFS and owner.inputs[0] and owner.inputs[0].node in tainted:
            return True
    return False


RULES = (shapes_are_checked, asserts_are_barriers, sizes_are_guarded)
