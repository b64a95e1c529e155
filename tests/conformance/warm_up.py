"""Warm-up files, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from .cases import predict

FILE = "assets.extra/tf_serving_warmup_requests"
DEFAULT = "serving_default"


def log_of(*requests) -> list[bytes]:
    """Predict requests as warm-up records."""
    logs = []
    for request in requests:
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(request)
        logs.append(log.SerializeToString())
    return logs


RECORDS = {
    "good": log_of(predict(DEFAULT, x=[1])),
    "unknown-signature": log_of(predict("nope", x=[1])),
    "graph-error": log_of(predict(DEFAULT, x=[[1, 2], [3, 4]])),
    "missing-input": log_of(predict(DEFAULT)),
    "undecodable": [b"garbage"],
    "no-log-type": [prediction_log_pb2.PredictionLog().SerializeToString()],
    "another-model": log_of(predict(DEFAULT, model="another", x=[1])),
    "too-many": log_of(predict(DEFAULT, x=[1])) * 1001,
    "thousand": log_of(predict(DEFAULT, x=[1])) * 1000,
}


def write_warm_up(directory: Path, content: list[bytes] | bytes) -> None:
    """Puts records (or the bytes of a whole file) into a version directory."""
    path = directory / FILE
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in content:
            writer.write(record)


def write_truncated(directory: Path) -> None:
    write_warm_up(directory, RECORDS["good"] * 2)
    path = directory / FILE
    path.write_bytes(path.read_bytes()[:-1])


FILES = {
    "truncated": write_truncated,
    "no-tfrecord": b"this is no TFRecord file",
    "empty-file": b"",
}


def warm_up(name: str) -> Callable[[Path], None]:
    """Writes the named file into a version directory."""
    content = FILES.get(name, RECORDS.get(name))
    return content if callable(content) else lambda copy: write_warm_up(copy, content)
