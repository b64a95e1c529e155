"""Warm-up requests: one that fails keeps the version from loading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from export.doctor.findings import Finding
from export.doctor.rules_requests import rank, sizes
from export.doctor.subject import Subject
from export.identity import WARMUP_FILE
from signatures.contract import DEFAULT_SIGNATURE

MOST_RECORDS = 1000


def warmup_is_legal(subject: Subject) -> Iterator[Finding]:
    """The server replays the records before it calls a version available."""
    path = subject.model.directory / WARMUP_FILE
    if not path.exists():
        return
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.WhichOneof("log_type") == "predict_log":
                yield from _request(subject, count, log.predict_log.request)
            count += 1
    except (tf.errors.OpError, DecodeError) as error:
        text = str(error).splitlines()[0][:120]
        yield Finding(
            "warmup-unreadable",
            f"expected a TFRecord file of PredictionLog in {WARMUP_FILE}, record {count} is none: "
            f"{text}",
            "write the file again with tf.io.TFRecordWriter, or remove it",
        )
    if count > MOST_RECORDS:
        yield Finding(
            "warmup-too-many",
            f"expected at most {MOST_RECORDS} warm-up requests, got {count}: the server refuses "
            "to load the version",
            "keep one request for each signature and shape",
        )


def _request(subject: Subject, number: int, request: Any) -> Iterator[Finding]:
    """One request against the signature that it names."""
    key = request.model_spec.signature_name or DEFAULT_SIGNATURE
    definition = subject.model.signatures.get(key)
    fault = ""
    if definition is None:
        fault = f"no signature {key}"
    else:
        optional = set(definition.defaults)
        wanted, got = set(definition.inputs), set(request.inputs)
        if not wanted - optional <= got <= wanted:
            fault = f"inputs {sorted(got)}, expected {sorted(wanted)}"
        for name in sorted(wanted & got):
            fault = fault or _tensor_fault(name, definition.inputs[name], request.inputs[name])
    if fault:
        yield Finding(
            "warmup-request",
            f"expected requests that the model accepts, got record {number} for {key}: {fault}",
            "write the records from the signatures that are exported, or remove the file",
            key if definition is not None else None,
        )


def _tensor_fault(name: str, info: Any, tensor: Any) -> str:
    if tensor.dtype != info.dtype:
        return (
            f"{name} is {tf.as_dtype(tensor.dtype).name}, expected {tf.as_dtype(info.dtype).name}"
        )
    got = [dim.size for dim in tensor.tensor_shape.dim]
    if rank(info) is None:
        return ""
    wanted = sizes(info)
    fits = len(got) == len(wanted) and all(
        size is None or size == given for size, given in zip(wanted, got, strict=True)
    )
    return "" if fits else f"{name} has shape {got}, expected {wanted}"


RULES = (warmup_is_legal,)
