"""A machine with a GPU: what would run on the host all the same, and what would be copied."""

from __future__ import annotations

from collections.abc import Iterator

from tensorflow.core.framework import types_pb2

from export.doctor.findings import Finding
from export.doctor.flat import Node, Tensor, input_types, output_types
from export.doctor.kernels import dtype_name, registry_has_gpu
from export.doctor.placement import MISSING
from export.doctor.subject import Signature, Subject, named

_STRING = types_pb2.DT_STRING
# They stand in refusals, which run on no good request.
_HARMLESS = ("Const", "Assert", "Placeholder", "PlaceholderWithDefault", "_Arg")


def registry_is_there(subject: Subject) -> Iterator[Finding]:
    """Without GPU kernels in this TensorFlow nothing can be said about placement."""
    if subject.gpu and not registry_has_gpu():
        yield Finding(
            "no-gpu-registry",
            "expected a TensorFlow that was built with GPU kernels, got one for CPUs only: "
            "placement was not checked",
            "run this with the package tensorflow instead of tensorflow-cpu",
        )


def kernels_are_there(subject: Subject) -> Iterator[Finding]:
    """An op without a GPU kernel runs on the host, and its tensors are copied there and back."""
    if not subject.gpu or not registry_has_gpu():
        return
    for signature in subject.signatures:
        missing = [n for n in signature.flat.nodes if signature.placement.places[n] == MISSING]
        large = [node for node in missing if _is_large(signature, node)]
        small = [node for node in missing if node not in large]
        for code, nodes in (("no-gpu-kernel-on-maps", large), ("no-gpu-kernel", small)):
            if nodes:
                yield Finding(
                    code,
                    f"expected ops with GPU kernels, got {named(dict.fromkeys(map(_op, nodes)))}: "
                    "they run on the host, and what they read and write is copied",
                    "use a dtype or an op that has a kernel, such as a cast to float32 before it",
                    signature.key,
                )


def strings_stay_out(subject: Subject) -> Iterator[Finding]:
    """Strings have no GPU kernels; decoding pictures that a request carries is apart."""
    if not subject.gpu:
        return
    for signature in subject.signatures:
        infos = [*signature.definition.inputs.values(), *signature.definition.outputs.values()]
        if any(info.dtype == _STRING for info in infos):
            continue
        ops = dict.fromkeys(
            node.op
            for node in signature.flat.nodes
            if node.op not in _HARMLESS
            and node.op not in subject.model.functions
            and any(
                dtype == _STRING
                for _, dtype in (*input_types(node.definition), *output_types(node.definition))
            )
        )
        if ops:
            yield Finding(
                "string-op",
                f"expected no string ops in a signature without strings, got {named(ops)}",
                "make texts in the client, or as constants of an Assert's data",
                signature.key,
            )


def maps_cross_once(subject: Subject) -> Iterator[Finding]:
    """The maps go to the device once, after requests were joined, and do not come back."""
    if not subject.gpu or not registry_has_gpu():
        return
    for signature in subject.signatures:
        crossings = signature.crossings
        back = [copy for copy in crossings.copies if copy.is_map and copy.to_host and copy.reader]
        if back:
            yield Finding(
                "maps-copied-to-host",
                "expected map-sized tensors to stay on the device, got copies to the host for "
                f"{named(dict.fromkeys(_op(c.reader) for c in back if c.reader))}",
                "give the op a dtype with a GPU kernel, or pin what stands before it to the CPU",
                signature.key,
            )
        there = crossings.count(lambda copy: copy.is_map and not copy.to_host)
        if there > 1:
            yield Finding(
                "maps-copied-again",
                f"expected one copy of map-sized tensors to the device, got {there}",
                "pin what stands before the batcher to the CPU, and read the maps once",
                signature.key,
            )


def _is_large(signature: Signature, node: Node) -> bool:
    tensors = [tensor for tensor in node.inputs if tensor]
    tensors += [Tensor(node, port) for port in range(len(output_types(node.definition)))]
    threshold = signature.crossings.threshold
    return any(signature.shapes.elements(tensor) >= threshold for tensor in tensors)


def _op(node: Node) -> str:
    """An op with the dtypes that it reads."""
    types = dict.fromkeys(dtype_name(dtype) for _, dtype in input_types(node.definition))
    return f"{node.op}({', '.join(types)})"


RULES = (registry_is_there, kernels_are_there, strings_stay_out, maps_cross_once)
