"""A server of a model whose points are easy to say, without TensorFlow.

Of maps and images the point of a channel is its largest value, which must be positive to be
valid; of a picture's file it is (number of bytes, 0). As maps an image's every second pixel is
answered, one of 255 as a confidence of 1. Of several instances the second is as the first, with
the last channel not found, and there is no third.

As a program it serves until it is killed: `python fake_model.py PORT`; it prints what it does.
"""

from __future__ import annotations

import sys
import threading
from concurrent import futures

import grpc
import numpy as np

from serving_config import wire
from serving_config.metadata import METADATA_METHOD
from serving_config.wire_messages import new_message

FLOAT, UINT8, STRING = 1, 4, 7
POINTS = ("points", "confidences", "valid")
PEAKS = ("points", "confidences", "channels", "count")
SIGNATURES = {
    "keypoints": ("confmaps", FLOAT, [-1, 4, 6, 2], POINTS),
    "quantized": ("confmaps", UINT8, [-1, 4, 6, 2], POINTS),
    "local_peaks": ("confmaps", FLOAT, [-1, 4, 6, 2], PEAKS),
    "images": ("images", UINT8, [-1, 4, 6, 3], POINTS),
    "encoded_images": ("encoded_images", STRING, [-1], POINTS),
    "other": ("x", FLOAT, [-1], ("y",)),
    "images_with_maps": ("images", UINT8, [-1, 4, 6, 3], (*POINTS, "confmaps", "placement")),
}
# What a model has unless it is said.
USUAL = tuple(SIGNATURES)[:-1]
# Another model's.
INSTANCES = {"images": ("images", UINT8, [-1, 4, 6, 3], (*POINTS, "instance_confidences"))}


class FakeModel:
    """Hosts any model.

    Attributes:
      signatures: Those that it says it has.
      known: What is said about them.
      before: Called with each request's inputs, in the thread that answers it.
      sizes: How many frames each request had, in the order in which they came.
      most: How many requests were there at a time.
    """

    def __init__(self, signatures=USUAL, port=0, known=SIGNATURES):
        self.signatures = signatures
        self.known = known
        self.before = lambda inputs: None
        self.sizes = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[_Handler(self)])
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self._server.stop(None).wait()

    def wait(self):
        self._server.wait_for_termination()

    def predict(self, message, context):
        call = wire.read_predict_request(message)
        inputs = {name: wire.array_of(tensor) for name, tensor in call.inputs.items()}
        (value,) = inputs.values()
        with self._lock:
            self.sizes.append(len(value))
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            self.before(value)
            found = answer(call.query.signature, value)
            return wire.predict_reply(
                call.query, found if self.known is SIGNATURES else instances_of(found)
            )
        finally:
            with self._lock:
                self._now -= 1

    def status(self, message, context):
        return b""

    def metadata(self, message, context):
        signatures = new_message("SignatureDefMap")
        for key in self.signatures:
            name, dtype, shape, outputs = self.known[key]
            tensor = signatures.signature_def[key].inputs[name]
            tensor.dtype = dtype
            for size in shape:
                tensor.tensor_shape.dim.add(size=size)
            for output in outputs:
                signatures.signature_def[key].outputs[output].dtype = FLOAT
        reply = new_message("GetModelMetadataResponse")
        reply.metadata["signature_def"].value = signatures.SerializeToString()
        return reply.SerializeToString()


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, model):
        self._methods = {
            wire.PREDICT_METHOD: model.predict,
            wire.GET_MODEL_STATUS_METHOD: model.status,
            METADATA_METHOD: model.metadata,
        }

    def service(self, handler_call_details):
        return grpc.unary_unary_rpc_method_handler(self._methods[handler_call_details.method])


def answer(signature, value):
    """The outputs of a signature."""
    if signature == "encoded_images":
        sizes = np.array([len(content) for content in value], np.float32)
        points = np.stack([sizes, 0 * sizes], axis=-1)[:, None]
        return outputs(points, np.ones(points.shape[:2], np.float32))
    samples, _, width, channels = value.shape
    flat = value.reshape(samples, -1, channels)
    rows, columns = np.divmod(flat.argmax(axis=1), width)
    points = np.stack([columns, rows], axis=-1).astype(np.float32)
    found = outputs(points, flat.max(axis=1).astype(np.float32))
    if signature == "images_with_maps":
        placement = np.tile(np.float32([2, 2, 0, 0]), (samples, 1))
        maps = value[:, ::2, ::2].astype(np.float32) / 255
        return {**found, "confmaps": maps, "placement": placement}
    if signature != "local_peaks":
        return found
    # Three places, of which as many are used as there are valid points.
    order = np.argsort(~found["valid"], axis=1, kind="stable")
    count = found["valid"].sum(axis=1).astype(np.int64)
    peaks = {
        "points": np.zeros((samples, 3, 2), np.float32),
        "confidences": np.zeros((samples, 3), np.float32),
        "channels": np.full((samples, 3), -1, np.int64),
        "count": count,
    }
    for sample, number in enumerate(count):
        channel = order[sample, :number]
        peaks["points"][sample, :number] = found["points"][sample, channel]
        peaks["confidences"][sample, :number] = found["confidences"][sample, channel]
        peaks["channels"][sample, :number] = channel
    return peaks


def outputs(points, confidences):
    valid = confidences > 0
    return {
        "points": np.where(valid[..., None], points, 0).astype(np.float32),
        "confidences": np.where(valid, confidences, 0).astype(np.float32),
        "valid": valid,
    }


def instances_of(found):
    """Three slots of which two hold an instance, none of where nothing is valid."""
    present = found["valid"].any(axis=1)
    slots = {name: np.stack([values, values, 0 * values], axis=1) for name, values in found.items()}
    slots["valid"] = slots["valid"].astype(bool)
    for values in slots.values():
        values[:, 1, -1] = 0
    strengths = np.where(present[:, None], np.float32([0.75, 0.5, 0]), np.float32(0))
    return {**slots, "instance_confidences": strengths}


if __name__ == "__main__":
    FakeModel(port=int(sys.argv[1])).wait()
