"""Small SavedModels, each with one fault, and the code that the doctor must give it.

Each function writes a model into an empty directory.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

ROWS = tf.TensorSpec([None, 3], tf.float32, "x")


@dataclasses.dataclass(frozen=True)
class Broken:
    """A way to break a model."""

    code: str
    write: Callable[[Path], None]
    options: dict = dataclasses.field(default_factory=dict)


def save(directory, function, *specs, extra=None, key="serving_default", **options):
    module = tf.Module()
    module.serve = tf.function(function, input_signature=list(specs), **options)
    module.extra = {
        k: tf.function(f, input_signature=list(s)) for k, (f, *s) in (extra or {}).items()
    }
    tf.saved_model.save(module, str(directory), signatures={key: module.serve, **module.extra})


def good(directory):
    """What the others start from: two named outputs, checked shapes, a variable."""
    module = tf.Module()
    module.weight = tf.Variable(tf.ones([64]))

    def serve(x):
        x = tf.ensure_shape(x, [None, 3])
        return {"y": x * module.weight[0], "z": -x}

    module.serve = tf.function(serve, input_signature=[ROWS])
    tf.saved_model.save(module, str(directory), signatures={"serving_default": module.serve})


def pair(y):
    return {"y": y, "z": -y}


def no_file(directory):
    directory.mkdir(exist_ok=True)


def random_bytes(directory):
    (directory / "saved_model.pb").write_bytes(b"\xff\xfe" * 50)


def other_tag(directory):
    module = tf.Module()
    module.serve = tf.function(lambda x: pair(x), input_signature=[ROWS])
    options = tf.saved_model.SaveOptions()
    tf.saved_model.save(module, str(directory), module.serve, options)
    edit(directory, lambda graph: graph.meta_info_def.ClearField("tags"))


def edit(directory, change):
    path = directory / "saved_model.pb"
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(path.read_bytes())
    change(model.meta_graphs[0])
    path.write_bytes(model.SerializeToString())


def no_signature(directory):
    good(directory)
    edit(directory, lambda graph: graph.ClearField("signature_def"))


def without_variables(directory):
    good(directory)
    shutil.rmtree(directory / "variables")


def cut_variables(directory):
    good(directory)
    (shard,) = (directory / "variables").glob("variables.data-*")
    shard.write_bytes(shard.read_bytes()[:100])


def without_asset(directory):
    vocabulary = directory.parent / "vocabulary.txt"
    vocabulary.write_text("a\n")
    module = tf.Module()
    module.asset = tf.saved_model.Asset(str(vocabulary))
    module.serve = tf.function(
        lambda x: pair(tf.ensure_shape(x, [None, 3])), input_signature=[ROWS]
    )
    tf.saved_model.save(module, str(directory), signatures={"serving_default": module.serve})
    (directory / "assets" / "vocabulary.txt").unlink()


def other_key(directory):
    save(directory, lambda x: pair(tf.ensure_shape(x, [None, 3])), ROWS, key="other")


def made_by(version):
    def write(directory):
        good(directory)
        edit(directory, lambda graph: setattr(graph.meta_info_def, "tensorflow_version", version))

    return write


def custom_op(directory):
    good(directory)

    def change(graph):
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "Neg":
                    node.op = "NobodysOp"

    edit(directory, change)


def compiled(directory):
    inner = tf.function(lambda x: x * 2, jit_compile=True)
    save(directory, lambda x: pair(inner(tf.ensure_shape(x, [None, 3]))), ROWS)


def python(directory):
    def serve(x):
        y = tf.numpy_function(lambda value: value * 2, [tf.ensure_shape(x, [None, 3])], tf.float32)
        return pair(tf.ensure_shape(y, [None, 3]))

    save(directory, serve, ROWS)


def unchecked(directory):
    save(directory, lambda x: pair(x + 1.0), ROWS)


def loosely_checked(directory):
    save(directory, lambda x: pair(tf.ensure_shape(x, [None, None]) + 1.0), ROWS)


def assert_beside(directory):
    def serve(x):
        x = tf.ensure_shape(x, [None, 3])
        ok = tf.reduce_all(x < 100.0)
        with tf.control_dependencies([tf.debugging.Assert(ok, ["too large"])]):
            return pair(tf.identity(x) * 2.0)

    save(directory, serve, ROWS)


def sized_by_request(directory):
    def serve(x, size):
        x, size = tf.ensure_shape(x, [None, 3]), tf.ensure_shape(size, [])
        return pair(tf.reduce_sum(x) + tf.zeros([size, size]))

    save(directory, serve, ROWS, tf.TensorSpec([], tf.int64, "size"))


def one_output(directory):
    save(directory, lambda x: {"y": tf.ensure_shape(x, [None, 3]) * 2.0}, ROWS)


def scalar_output(directory):
    def serve(x):
        x = tf.ensure_shape(x, [None, 3])
        return {"y": x, "total": tf.reduce_sum(x)}

    save(directory, serve, ROWS)


def large(side, dtype=tf.float32):
    spec = tf.TensorSpec([None, side, side, 16], dtype, "x")

    def write(directory):
        def serve(x):
            x = tf.ensure_shape(x, spec.shape)
            return {"y": tf.cast(x, tf.float32) * 2.0, "z": x[:, 0, 0, 0]}

        save(directory, serve, spec)

    return write


def large_request(directory):
    spec = tf.TensorSpec([None, 512, 512, 16], tf.float32, "x")

    def serve(x):
        return pair(tf.reduce_max(tf.ensure_shape(x, spec.shape), axis=(1, 2)))

    save(directory, serve, spec)


def scalar_input(directory):
    def serve(x, factor):
        x, factor = tf.ensure_shape(x, [None, 3]), tf.ensure_shape(factor, [])
        return pair(x * factor)

    save(directory, serve, ROWS, tf.TensorSpec([], tf.float32, "factor"))


def fixed_batch(directory):
    spec = tf.TensorSpec([4, 3], tf.float32, "x")
    save(directory, lambda x: pair(tf.ensure_shape(x, [4, 3]) * 2.0), spec)


def one_row(directory):
    def serve(x):
        x = tf.ensure_shape(x, [None, 3])
        return {"y": x, "mean": tf.reduce_mean(x, axis=0, keepdims=True)}

    save(directory, serve, ROWS)


def loose_inner_shape(directory):
    spec = tf.TensorSpec([None, None], tf.float32, "x")
    save(directory, lambda x: pair(tf.ensure_shape(x, [None, None]) * 2.0), spec)


def one_queue(directory):
    def batched(factor):
        def serve(x):
            x = tf.ensure_shape(x, [None, 3])
            with tf.name_scope("same"):
                function = tf.nondifferentiable_batch_function(1, 4, 1000, autograph=False)(
                    lambda rows: (rows * factor, -rows)
                )
                y, z = function(x)
            return {"y": tf.ensure_shape(y, [None, 3]), "z": tf.ensure_shape(z, [None, 3])}

        return serve

    save(directory, batched(2.0), ROWS, extra={"other": (batched(3.0), ROWS)})


def warmup(*records):
    def write(directory):
        good(directory)
        path = directory / "assets.extra" / "tf_serving_warmup_requests"
        path.parent.mkdir()
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)

    return write


def request(signature, **inputs):
    log = prediction_log_pb2.PredictionLog()
    message = log.predict_log.request
    message.model_spec.name, message.model_spec.signature_name = "m", signature
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log.SerializeToString()


FINE = request("serving_default", x=[[1.0, 2.0, 3.0]])


def no_tfrecord(directory):
    warmup()(directory)
    (directory / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no records" * 9)


MAPS = tf.TensorSpec([None, 64, 64, 8], tf.float32, "x")


def integers_on_maps(directory):
    def serve(x):
        x = tf.ensure_shape(x, MAPS.shape)
        small = tf.cast(x * 100.0, tf.uint8)
        return pair(tf.cast(tf.reduce_max(small, axis=(1, 2)), tf.float32))

    save(directory, serve, MAPS)


def integers_off_maps(directory):
    def serve(x):
        x = tf.ensure_shape(x, MAPS.shape)
        best = tf.argmax(tf.reduce_max(x, axis=(1, 2)), axis=1)
        return pair(tf.reduce_min(tf.stack([best, best + 1]), axis=0))

    save(directory, serve, MAPS)


def texts(directory):
    def serve(x):
        x = tf.ensure_shape(x, [None, 3])
        length = tf.strings.length(tf.strings.as_string(x[:, 0]))
        return pair(x * tf.cast(length, tf.float32)[:, None])

    save(directory, serve, ROWS)


def texts_beside_strings(directory):
    """A signature that may carry strings makes others."""

    def serve(x, name):
        x, name = tf.ensure_shape(x, [None, 3]), tf.ensure_shape(name, [None])
        return {"y": x, "name": tf.strings.join([name, "!"])}

    save(directory, serve, ROWS, tf.TensorSpec([None], tf.string, "name"))


def back_and_forth(directory):
    def serve(x):
        x = tf.ensure_shape(x, MAPS.shape)
        y = x * 2.0
        with tf.device("/CPU:0"):
            y = tf.sqrt(y)
        return pair(tf.reduce_max(y + 1.0, axis=(1, 2)))

    save(directory, serve, MAPS)


GPU = {"gpu": True}
SERVER = {"batching": "server"}
BROKEN = {
    "no_file": Broken("no-saved-model", no_file),
    "random_bytes": Broken("unreadable-saved-model", random_bytes),
    "other_tag": Broken("no-serve-tag", other_tag),
    "no_signature": Broken("no-signature", no_signature),
    "without_variables": Broken("missing-variables", without_variables),
    "cut_variables": Broken("incomplete-variables", cut_variables),
    "without_asset": Broken("missing-asset", without_asset),
    "other_key": Broken("no-serving-default", other_key),
    "made_by_2_99": Broken("newer-producer", made_by("2.99.0")),
    "made_by_2_21": Broken("minor-version-ahead", made_by("2.21.0"), {"server_version": "2.20"}),
    "custom_op": Broken("unknown-op", custom_op),
    "compiled": Broken("xla-compiled", compiled),
    "python": Broken("python-function", python),
    "unchecked": Broken("missing-shape-check", unchecked),
    "loosely_checked": Broken("missing-shape-check", loosely_checked),
    "assert_beside": Broken("assert-beside-work", assert_beside),
    "sized_by_request": Broken("request-sized-allocation", sized_by_request),
    "one_output": Broken("single-output", one_output),
    "scalar_output": Broken("scalar-output", scalar_output),
    "large_reply": Broken("large-reply", large(512)),
    "large_request": Broken("large-request", large_request),
    "impossible_request": Broken("impossible-request", large(8192)),
    "scalar_input_batched": Broken("scalar-input-batched", scalar_input, SERVER),
    "scalar_output_batched": Broken("scalar-output-batched", scalar_output, SERVER),
    "fixed_batch": Broken("static-batch", fixed_batch, SERVER),
    "one_row": Broken("output-axis-not-batch", one_row, SERVER),
    "loose_inner_shape": Broken("unknown-inner-shape", loose_inner_shape, SERVER),
    "one_queue": Broken("shared-batch-queue", one_queue),
    "not_batched": Broken("not-batched-in-graph", good, {"batching": "in-graph"}),
    "no_batching_file": Broken("batching-file-missing", good, SERVER),
    "no_tfrecord": Broken("warmup-unreadable", no_tfrecord),
    "too_many_records": Broken("warmup-too-many", warmup(*[FINE] * 1001)),
    "warmup_of_no_signature": Broken("warmup-request", warmup(FINE, request("nope", x=[[1.0]]))),
    "warmup_of_other_shape": Broken("warmup-request", warmup(request("", x=[[1.0, 2.0]]))),
    "warmup_of_other_dtype": Broken("warmup-request", warmup(request("", x=[[1, 2, 3]]))),
    "warmup_without_input": Broken("warmup-request", warmup(request(""))),
    "integers_on_maps": Broken("no-gpu-kernel-on-maps", integers_on_maps, GPU),
    "integers_off_maps": Broken("no-gpu-kernel", integers_off_maps, GPU),
    "texts": Broken("string-op", texts, GPU),
    "texts_beside_strings": Broken("string-op", texts_beside_strings, GPU),
    "maps_to_the_host": Broken("maps-copied-to-host", back_and_forth, GPU),
    "maps_there_again": Broken("maps-copied-again", back_and_forth, GPU),
}
