"""Requests that are joined: by the server's batcher, or in the graph."""

from __future__ import annotations

from collections.abc import Iterator

from export.doctor.findings import Finding
from export.doctor.nodes import BATCHER, attribute
from export.doctor.rules_requests import rank, sizes
from export.doctor.subject import Subject, named
from serving_config.batching import BATCHING_FILE, BATCHING_FLAGS


def axis_0_is_the_sample(subject: Subject) -> Iterator[Finding]:
    """A batcher joins every input along axis 0, and cuts every output along it."""
    for signature in subject.signatures:
        if not subject.is_batched(signature):
            continue
        inputs, outputs = signature.definition.inputs, signature.definition.outputs
        scalars = [name for name, info in sorted(inputs.items()) if rank(info) == 0]
        if scalars:
            yield Finding(
                "scalar-input-batched",
                f"expected inputs with an axis for samples, got the scalar {named(scalars)}: "
                "scalars of two requests cannot be joined",
                "fix it at export, or take one value per sample",
                signature.key,
            )
        scalars = [name for name, info in sorted(outputs.items()) if rank(info) == 0]
        if scalars:
            yield Finding(
                "scalar-output-batched",
                f"expected outputs with an axis for samples, got the scalar {named(scalars)}: a "
                "batch's reply cannot be cut",
                "return one value per sample",
                signature.key,
            )
        fixed = [f"{n} {sizes(i)}" for n, i in sorted(inputs.items()) if _axis_0(i) is not None]
        if fixed:
            yield Finding(
                "static-batch",
                f"expected axis 0 of every input to be of any size, got {named(fixed)}",
                "trace with tf.TensorSpec([None, ...])",
                signature.key,
            )
            continue
        fixed = [f"{n} {sizes(i)}" for n, i in sorted(outputs.items()) if _axis_0(i) is not None]
        if fixed:
            yield Finding(
                "output-axis-not-batch",
                f"expected axis 0 of every output to be the sample, got {named(fixed)}",
                "return one row per sample of the request",
                signature.key,
            )


def inner_shapes_agree(subject: Subject) -> Iterator[Finding]:
    """Requests of different inner shapes that meet in the server's batch all fail."""
    if not subject.is_server_batched:
        return
    for signature in subject.signatures:
        loose = [
            f"{name} {sizes(info)}"
            for name, info in sorted(signature.definition.inputs.items())
            if rank(info) is None or None in sizes(info)[1:]
        ]
        if loose:
            yield Finding(
                "unknown-inner-shape",
                "expected fixed inner dimensions under the server's batcher, got "
                f"{named(loose)}: one request of another size fails all that it meets",
                "fix the inner dimensions, or batch in the graph behind tf.ensure_shape",
                signature.key,
            )


def queues_are_apart(subject: Subject) -> Iterator[Finding]:
    """Batchers with one name share a queue and answer each other's requests, with status OK."""
    queues: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for signature in subject.signatures:
        for node in signature.batchers:
            definition = node.definition
            texts = {
                key: attribute(definition, key)
                for key in ("container", "shared_name", "batching_queue")
            }
            container, shared, queue = (v.s.decode() if v else "" for v in texts.values())
            identity = (container, shared or definition.name, queue)
            functions = queues.setdefault(identity, {})
            functions.setdefault(definition.attr["f"].func.name, []).append(signature.key)
    for (_, shared, _), functions in queues.items():
        if len(functions) > 1:
            keys = sorted({key for users in functions.values() for key in users})
            yield Finding(
                "shared-batch-queue",
                f"expected a queue for each batch function, got {len(functions)} functions with "
                f"the name {shared} in {named(keys)}: they would answer each other's requests",
                "build each in a tf.name_scope of its own",
            )


def batching_is_as_asked(subject: Subject) -> Iterator[Finding]:
    """What `--batching` says must be what the directory has."""
    if subject.batching == "in-graph" and not any(s.batchers for s in subject.signatures):
        yield Finding(
            "not-batched-in-graph",
            f"expected a {BATCHER} in at least one signature, got none",
            "put tf.nondifferentiable_batch_function around the body of a signature",
        )
    if subject.batching == "server" and not subject.has_batching_file:
        yield Finding(
            "batching-file-missing",
            f"expected {BATCHING_FILE} in the version directory, got none: only that file has "
            "the server batch this model and not its neighbours",
            f"write {BATCHING_FILE}, and start the server with {' '.join(BATCHING_FLAGS)}",
        )


def _axis_0(info: object) -> int | None:
    known = sizes(info) if rank(info) else []
    return known[0] if known else None


RULES = (axis_0_is_the_sample, inner_shapes_agree, queues_are_apart, batching_is_as_asked)
