"""Signatures whose requests or replies would surprise their callers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from export.doctor.findings import Finding
from export.doctor.subject import Subject, named

# What a gRPC client takes unless it is told otherwise, and what a server does.
CLIENT_LIMIT = 4 * 2**20
SERVER_LIMIT = 2**31 - 1


def outputs_have_names(subject: Subject) -> Iterator[Finding]:
    """REST leaves out the name of an only output; a second one would change the JSON's shape."""
    single = [s.key for s in subject.signatures if len(s.definition.outputs) == 1]
    if single:
        yield Finding(
            "single-output",
            f"REST replies of {named(single)} do not name their only output, and would change "
            "shape with a second one",
            "return two outputs from the start, or publish a second one as a new signature",
        )


def outputs_have_rows(subject: Subject) -> Iterator[Finding]:
    """A reply in row form needs rows."""
    for signature in subject.signatures:
        scalars = [n for n, info in signature.definition.outputs.items() if rank(info) == 0]
        if scalars and not subject.is_batched(signature):
            yield Finding(
                "scalar-output",
                f'output {named(sorted(scalars))} is a scalar: REST refuses row form ("instances")',
                'send "inputs", or return the output with an axis for samples',
                signature.key,
            )


def messages_fit(subject: Subject) -> Iterator[Finding]:
    """The least size of a message, where the shapes fix it, with one sample."""
    for signature in subject.signatures:
        reply = sum(_least_bytes(info) for info in signature.definition.outputs.values())
        request = sum(_least_bytes(info) for info in signature.definition.inputs.values())
        if reply > CLIENT_LIMIT:
            yield Finding(
                "large-reply",
                f"expected replies of at most {CLIENT_LIMIT} bytes, which clients take by "
                f"default, got {reply} for one sample",
                "create the channel with grpc.max_receive_message_length, or ask for fewer "
                "outputs with output_filter",
                signature.key,
            )
        if request > SERVER_LIMIT:
            yield Finding(
                "impossible-request",
                f"expected requests of at most {SERVER_LIMIT} bytes, got {request} for one sample",
                "send a smaller dtype such as uint8, or a smaller image",
                signature.key,
            )
        elif request > CLIENT_LIMIT:
            yield Finding(
                "large-request",
                f"a request with one sample has {request} bytes; proxies with gRPC's default of "
                f"{CLIENT_LIMIT} refuse it",
                "raise the limit of what stands between client and server",
                signature.key,
            )


def rank(info: Any) -> int | None:
    """The rank of a `TensorInfo`, `None` where it is unknown."""
    return None if info.tensor_shape.unknown_rank else len(info.tensor_shape.dim)


def sizes(info: Any) -> list[int | None]:
    """The dimensions of a `TensorInfo` of known rank, `None` for unknown ones."""
    return [None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim]


def _least_bytes(info: Any) -> int:
    """The bytes of one sample; 0 where another dimension than the first is unknown."""
    inner = sizes(info)[1:]
    dtype = tf.as_dtype(info.dtype)
    if not rank(info) or None in inner or dtype == tf.string:
        return 0
    return math.prod(size or 0 for size in inner) * dtype.size


RULES = (outputs_have_names, outputs_have_rows, messages_fit)
