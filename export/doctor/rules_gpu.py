"""What keeps a signature from running well on a GPU. Needs no GPU to be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tensorflow.core.framework import types_pb2

from export.doctor.crossings import Copy
from export.doctor.findings import Finding
from export.doctor.kernels import dtype_name, registry_has_gpu
from export.doctor.nodes import Node, Tensor, input_types, output_types
from export.doctor.placement import CONTROL, MISSING
from export.doctor.subject import Signature, Subject, named

# Reading the bytes of a picture; anything else done with strings is text.
_PICTURES = ("Decode", "ExtractJpegShape", "Substr", "Dataset", "Iterator")
# They hand strings on, or ask something of them, in front of a decoder.
_HANDING_ON = (
    *("Placeholder", "Identity", "Const", "EnsureShape", "Reshape", "ExpandDims", "Squeeze"),
    *("Equal", "NotEqual", "Shape", "Size", "StridedSlice", "Gather", "Concat", "Pack", "Unpack"),
    *("_Arg", "Switch", "Merge", "Assert", "OptionalFromValue"),
)


def registry_is_there(subject: Subject) -> Iterator[Finding]:
    """Without GPU kernels in this TensorFlow nothing can be said about a GPU."""
    if subject.gpu and not registry_has_gpu():
        yield Finding(
            "no-gpu-registry",
            "expected a TensorFlow that was built with GPU kernels, got one without: nothing can "
            "be said about a GPU",
            "run the doctor on Linux with pip install tensorflow (not tensorflow-cpu)",
        )


def ops_have_kernels(subject: Subject) -> Iterator[Finding]:
    """An op without a kernel for its dtype runs on the host; what it needs is copied there."""
    if not is_told(subject):
        return
    for signature in subject.signatures:
        placement = signature.placement
        missing = [node for node in signature.flat.nodes if placement.places[node] == MISSING]
        maps = [node for node in missing if _touches_maps(signature, node)]
        for code, nodes in (
            ("no-gpu-kernel-on-maps", maps),
            ("no-gpu-kernel", [node for node in missing if node not in maps]),
        ):
            if nodes:
                yield Finding(
                    code,
                    f"expected ops with a GPU kernel, got {kinds(nodes)} at {_places(nodes)}: "
                    + ("the maps go" if nodes is maps else "what they read goes")
                    + " back to the host and over again",
                    "use another dtype or op that has a kernel, or pin what it works on to the "
                    "host with tf.device",
                    signature.key,
                )


def no_texts(subject: Subject) -> Iterator[Finding]:
    """Strings have no place on a GPU; decoding pictures on the host is meant."""
    if not is_told(subject):
        return
    for signature in subject.signatures:
        places = signature.placement.places
        nodes = (node for node in signature.flat.nodes if places[node] != CONTROL)
        texts = [node for node in nodes if _makes_text(node)]
        if texts:
            yield Finding(
                "string-op",
                f"expected no work on strings but decoding, got {kinds(texts)} at {_places(texts)}",
                "leave texts to the client; Assert takes numbers in its data",
                signature.key,
            )


def maps_cross_once(subject: Subject) -> Iterator[Finding]:
    """The maps go to the device once, joined; only small results come back."""
    if not is_told(subject):
        return
    for signature in subject.signatures:
        crossings = signature.crossings
        back = [copy for copy in crossings.copies if is_copied_back(copy, signature)]
        if back:
            yield Finding(
                "maps-copied-to-host",
                f"expected maps to stay on the device, got a copy of {_largest(back)} to the "
                f"host, for {_readers(back)}",
                "pin what stands before a batcher to the host, and nothing behind it",
                signature.key,
            )
        sent = [copy for copy in crossings.copies if copy.is_map and not copy.to_host]
        allowed = max(1, sum(_is_large(signature, t) for t in signature.flat.inputs.values()))
        count = crossings.count(lambda copy: copy.is_map and not copy.to_host)
        if count > allowed:
            yield Finding(
                "maps-copied-again",
                f"expected {allowed} copy of maps to the device, got {count} on the way of one "
                f"request, of {_largest(sent)}, for {_readers(sent)}",
                "do the work before the first copy on the host, the work behind it on the device",
                signature.key,
            )


def is_told(subject: Subject) -> bool:
    """Whether the GPU was asked about and can be told of."""
    return subject.gpu and registry_has_gpu()


def is_copied_back(copy: Copy, signature: Signature) -> bool:
    """Whether maps go to the host that are not the reply, which must."""
    reply = {tensor.node for tensor in signature.flat.outputs.values()}
    return copy.is_map and copy.to_host and copy.reader is not None and copy.reader not in reply


def kinds(nodes: Iterable[Node]) -> str:
    """Ops and dtypes for a sentence, such as `Min of int64 (2)`."""
    counts = Counter(f"{node.op} of {_main_dtype(node)}" for node in nodes)
    return named(f"{kind} ({n})" if n > 1 else kind for kind, n in counts.most_common())


def _main_dtype(node: Node) -> str:
    types = input_types(node.definition) or output_types(node.definition)
    return dtype_name(types[0][1]) if types else "nothing"


def _places(nodes: Iterable[Node]) -> str:
    return named(dict.fromkeys(node.name.rpartition("@")[2] for node in nodes))


def _touches_maps(signature: Signature, node: Node) -> bool:
    own = [Tensor(node, port) for port, _ in enumerate(output_types(node.definition))]
    tensors = [*(tensor for tensor in node.inputs if tensor), *own]
    return any(_is_large(signature, tensor) for tensor in tensors)


def _is_large(signature: Signature, tensor: Tensor) -> bool:
    return signature.shapes.elements(tensor) >= signature.crossings.threshold


def _makes_text(node: Node) -> bool:
    if node.op.startswith(_HANDING_ON) or any(part in node.op for part in _PICTURES):
        return False
    types = [dtype for _, dtype in output_types(node.definition) + input_types(node.definition)]
    return types_pb2.DT_STRING in types


def _largest(copies: list[Copy]) -> str:
    copy = max(copies, key=lambda copy: copy.elements)
    return f"{copy.elements} elements of {copy.tensor.node.name.rpartition('@')[2]}"


def _readers(copies: list[Copy]) -> str:
    return _places([copy.reader for copy in copies if copy.reader])


RULES = (registry_is_there, ops_have_kernels, no_texts, maps_cross_once)
