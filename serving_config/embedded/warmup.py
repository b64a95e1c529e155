"""Replays a version's own warm-up requests before it answers anybody."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving_config import wire
from serving_config.embedded import examples
from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.metrics import Metrics
from serving_config.embedded.predict import predict
from serving_config.embedded.servable import Servable

REQUESTS_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MOST_RECORDS = 1000
# What eager execution puts in front of the reader's text.
_OPERATION = re.compile(r"^\{\{function_node [^}]*\}\} ")


def replay(
    servable: Servable,
    directory: Path,
    iterations: int,
    metrics: Metrics,
) -> None:
    """Runs every record of a version's warm-up file; without such a file nothing happens.

    Args:
      servable: The version; the model's name in a record does not matter.
      directory: The version's directory.
      iterations: How often each record is run.
      metrics: Where the replay is counted.

    Raises:
      StatusError: A record cannot be read or is refused; the version must not be served.
    """
    path = directory / REQUESTS_FILE
    if not path.exists():
        return
    begin = time.perf_counter()
    records = 0
    for record in _records(path):
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except DecodeError as error:
            shown = record.decode(errors="replace")
            raise invalid_argument(f"Failed to parse warmup record: {shown} from {path}") from error
        for _ in range(iterations):
            _run(servable, log)
        records += 1
        if records > MOST_RECORDS:
            raise invalid_argument(
                f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}"
            )
    metrics.warmup_latency.add(str(directory), "OK", seconds=time.perf_counter() - begin)
    metrics.warmup_records.add(str(directory), "OK", amount=records)


def _records(path: Path) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        text = _OPERATION.sub("", error.message).split(" [Op:")[0]
        raise StatusError(
            "DATA_LOSS", f"{text}. Please verify your warmup data is in TFRecord format."
        ) from error


def _run(servable: Servable, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        predict(
            servable,
            request.model_spec.signature_name,
            request.inputs,
            tuple(request.output_filter),
            decode=wire.array_of,
        )
    elif kind == "classify_log":
        examples.classify(servable, log.classify_log.request)
    elif kind == "regress_log":
        examples.regress(servable, log.regress_log.request)
    elif kind == "multi_inference_log":
        examples.multi_inference(servable, log.multi_inference_log.request)
    elif kind is not None:
        number = log.DESCRIPTOR.fields_by_name[kind].number
        raise StatusError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {number}")
