"""Warm-up requests: a bad one keeps the version from loading, and at start-up ends the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from export.doctor.findings import Finding
from export.doctor.rules_requests import rank, sizes
from export.doctor.subject import Subject, named
from export.identity import WARMUP_FILE
from export.warmup import MOST_RECORDS
from signatures.contract import DEFAULT_SIGNATURE

_WRITE_AGAIN = "write the file again, or remove it"


def warmup_is_legal(subject: Subject) -> Iterator[Finding]:
    """Every record must be a request that the server would answer."""
    path = subject.model.directory / WARMUP_FILE
    if not path.is_file():
        return
    records, fault = _records(path)
    if fault:
        yield Finding(
            "warmup-unreadable",
            f"expected TFRecords of PredictionLog in {path}, got {fault}",
            _WRITE_AGAIN,
        )
    if len(records) > MOST_RECORDS:
        yield Finding(
            "warmup-too-many",
            f"expected at most {MOST_RECORDS} records in {path}, got {len(records)}",
            "keep one record for each signature and shape",
        )
    for number, log in enumerate(records):
        # Records of other kinds than Predict are for other kinds of signatures.
        if log.WhichOneof("log_type") == "predict_log":
            request = log.predict_log.request
            key = request.model_spec.signature_name or DEFAULT_SIGNATURE
            if said := _refusal(subject.model.signatures, key, request):
                yield Finding(
                    "warmup-request",
                    f"expected warm-up requests that are answered, got {said} in record {number}",
                    _WRITE_AGAIN,
                    key if key in subject.model.signatures else None,
                )
                return


def _records(path: Path) -> tuple[list[Any], str]:
    """The records until the first bad one, and what is wrong with that."""
    records: list[Any] = []
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog()
            log.ParseFromString(record)
            records.append(log)
    except tf.errors.OpError:
        return records, f"a damaged record after {len(records)} good ones"
    except DecodeError:
        return records, f"another message after {len(records)} good ones"
    return records, ""


def _refusal(signatures: Mapping[str, Any], key: str, request: Any) -> str:
    """Why a server would refuse a request; empty if it would not."""
    if key not in signatures:
        return f"the unknown signature {key}"
    signature = signatures[key]
    wanted = set(signature.inputs)
    sent = set(request.inputs)
    if extra := sent - wanted:
        return f"the unknown input {named(sorted(extra))}"
    if missing := wanted - sent - set(signature.defaults):
        return f"no input {named(sorted(missing))}"
    for name in sorted(sent):
        info, tensor = signature.inputs[name], request.inputs[name]
        if tensor.dtype != info.dtype:
            got, dtype = tf.as_dtype(tensor.dtype).name, tf.as_dtype(info.dtype).name
            return f"{name} of dtype {got} instead of {dtype}"
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        if rank(info) is not None and not _fits(shape, sizes(info)):
            return f"{name} of shape {shape} instead of {sizes(info)}"
    return ""


def _fits(shape: list[int], wanted: list[int | None]) -> bool:
    return len(shape) == len(wanted) and all(
        size in (None, got) for got, size in zip(shape, wanted, strict=True)
    )


RULES = (warmup_is_legal,)
