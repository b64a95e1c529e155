"""A tiny model, and one embedded host that serves it to every test of this room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from serving_config import GrpcClient, ModelServer, RestClient
from serving_config.programs import EMBEDDED_HOST

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

MODEL = "m"


@pytest.fixture(scope="session")
def model_base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base path of a model whose signatures show every kind of input and output."""
    import tensorflow as tf

    module = tf.Module()
    module.factor = tf.Variable(2.0)

    def scale(x, k=tf.constant(3, tf.int64)):
        x = tf.ensure_shape(x, [None, 3])

        def fail():
            failure = tf.raw_ops.Assert(condition=False, data=["k: must be below 100; got", k])
            with tf.control_dependencies([failure]):
                return tf.zeros([0, 3])

        def work():
            return x * module.factor * tf.cast(k, tf.float32)

        return {"scaled": tf.cond(k < 100, work, fail)}

    def spin(n):
        return {"turns": tf.while_loop(lambda i: i < n, lambda i: [i + 1], [tf.zeros_like(n)])[0]}

    def traced(function, *specs, **shapes):
        inputs = [tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in shapes.items()]
        return tf.function(function, input_signature=inputs, autograph=False)

    f32, f64, i64 = tf.float32, tf.float64, tf.int64
    module.signatures_by_key = {
        "scale": traced(scale, x=([None, 3], f32), k=([], i64)),
        "two": traced(
            lambda a, b: {"sum": a + b, "product": a * b}, a=([None], f32), b=([None], f32)
        ),
        "ints": traced(
            lambda big, small, flag: {"big": big + 0, "small": small + 0, "flag": flag},
            big=([None], i64),
            small=([None], tf.uint8),
            flag=([], tf.bool),
        ),
        "i32": traced(lambda x: {"same": x + 0}, x=([None], tf.int32)),
        "doubles": traced(lambda x: {"same": tf.identity(x)}, x=(None, f64)),
        "scal": traced(lambda a, n: {"y": a * tf.cast(n, f32)}, a=([], f32), n=([], i64)),
        "same": traced(lambda x: {"same": tf.identity(x)}, x=(None, f32)),
        "half": traced(lambda x: {"same": tf.identity(x)}, x=([None], tf.float16)),
        "brain": traced(lambda x: {"same": tf.identity(x)}, x=([None], tf.bfloat16)),
        "text": traced(
            lambda t: {"t_bytes": tf.identity(t), "t": tf.identity(t)}, t=([None], tf.string)
        ),
        "many": traced(lambda n: {"ones": tf.ones([n], f32)}, n=([], i64)),
        "spin": traced(spin, n=([], i64)),
    }
    base = tmp_path_factory.mktemp("models") / MODEL
    tf.saved_model.save(module, str(base / "1"), signatures=module.signatures_by_key)
    return base


@pytest.fixture(scope="session")
def host(model_base_path: Path) -> Iterator[ModelServer]:
    """The embedded host on the tiny model."""
    with ModelServer(MODEL, model_base_path, program=EMBEDDED_HOST) as server:
        yield server


@pytest.fixture(scope="session")
def grpc_client(host: ModelServer) -> Iterator[GrpcClient]:
    with GrpcClient(host.grpc_address, model=MODEL, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def rest_client(host: ModelServer) -> Iterator[RestClient]:
    assert host.rest_address is not None
    with RestClient(host.rest_address, model=MODEL, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def files(certificates: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """PEM files of a server, of its client, and of strangers."""
    return certificates.make_files(tmp_path_factory.mktemp("certificates"))
