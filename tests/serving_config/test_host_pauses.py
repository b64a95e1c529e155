"""What keeps a client of the embedded host from waiting: warm-up, and the search for garbage."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serving_config import wire


def test_a_warm_version_is_warm_for_rest_too(model_base_path, tmp_path):
    """REST runs with a timeout; prepared anew for it, `keypoints` took 0.8 s at first."""
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    from serving_config.embedded.loader import Loader, LoadOptions
    from serving_config.embedded.metrics import Metrics

    directory = tmp_path / "1"
    shutil.copytree(model_base_path / "1", directory)
    query = wire.ModelQuery("m", signature="same")
    request = wire.predict_request(query, {"x": np.zeros(2, np.float32)})
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(predict_pb2.PredictRequest.FromString(request))
    (directory / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(
        str(directory / "assets.extra" / "tf_serving_warmup_requests")
    ) as file:
        file.write(log.SerializeToString())

    servable = Loader(LoadOptions(), Metrics())("m", 1, directory)
    prepared = servable._plan.cache_info().misses
    assert prepared == 1
    for timeout in (0, 30_000):
        inputs = {"x": np.ones(1, np.float32)}
        servable.run(servable.signatures["same"], inputs, ["same"], timeout_ms=timeout)
    assert servable._plan.cache_info().misses == prepared
    servable.close()


def test_a_run_ends_with_its_timeout(model_base_path):
    """So that a request that REST has given up gives its thread back."""
    import numpy as np

    from serving_config.embedded.failures import StatusError
    from serving_config.embedded.loader import Loader, LoadOptions
    from serving_config.embedded.metrics import Metrics

    servable = Loader(LoadOptions(), Metrics())("m", 1, model_base_path / "1")
    inputs = {"n": np.array(10**9)}
    with pytest.raises(StatusError) as error:
        servable.run(servable.signatures["spin"], inputs, ["turns"], timeout_ms=100)
    assert error.value.code == "DEADLINE_EXCEEDED"
    servable.close()


def test_the_search_for_garbage_leaves_modules_out():
    """It would stop every request for 0.15 s, whenever a body with many lists is read."""
    program = (
        "import gc; from serving_config.embedded import host; host._keep_modules(); "
        "print(gc.get_freeze_count(), len(gc.get_objects()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    frozen, searched = map(int, done.stdout.split())
    assert frozen > 100_000
    assert searched < frozen / 100
