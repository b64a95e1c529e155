"""Running the host: configuration files, reloading, warm-up, metrics, health, draining, memory."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from serving_config import GrpcClient, ModelServer, ServingError
from serving_config.programs import EMBEDDED_HOST

F32, I64 = np.float32, np.int64
POLL = "--file_system_poll_wait_seconds=0.05"
ONE_TRY = "--max_num_load_retries=0"
NOT_FOUND_PAGE = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < deadline:
        if holds():
            return True
        pause.wait(0.02)
    return False


def publish(source: Path, target: Path) -> None:
    """Copies a version and gives it its number at once."""
    staged = target.parent.parent / f"staged-{target.name}"
    shutil.copytree(source, staged)
    target.parent.mkdir(parents=True, exist_ok=True)
    staged.rename(target)


class Hosted:
    """A host that was configured by a file, and everything that asks it."""

    def __init__(self, base: Path, source: Path) -> None:
        self.base = base
        publish(source, base / "a" / "1")
        publish(source, base / "a" / "2")
        publish(source, base / "b" / "1")
        self.config = base / "models.config"
        self.config.write_text(
            f"""
            model_config_list {{
              config {{
                name: "a" base_path: "{base}/a" model_platform: "tensorflow"
                model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
                version_labels {{ key: "stable" value: 1 }}
              }}
              config {{ name: "b" base_path: "{base}/b" model_platform: "tensorflow" }}
            }}
            """
        )
        monitoring = base / "monitoring.config"
        monitoring.write_text('prometheus_config { enable: true path: "/metrics/all" }')
        flags = (
            f"--model_config_file={self.config}", f"--monitoring_config_file={monitoring}",
            "--allow_version_labels_for_unavailable_models", "--enable_grpc_healthcheck_service",
            "--rest_api_enable_cors_support", POLL, ONE_TRY,
        )  # fmt: skip
        self.server = ModelServer("a", base, program=EMBEDDED_HOST, extra_flags=flags)
        self.server.start()
        self.server.wait_until_available()
        self.channel = grpc.insecure_channel(self.server.grpc_address)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        address = f"http://{self.server.rest_address}"
        self.http = httpx.Client(base_url=address, timeout=10, trust_env=False)

    def close(self) -> None:
        self.http.close()
        self.channel.close()
        self.server.stop()

    def answering(self, model, **spec):
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, "same"
        if "label" in spec:
            request.model_spec.version_label = spec["label"]
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(F32([1])))
        return self.prediction.Predict(request, timeout=10).model_spec.version.value

    def reload(self, *models, timeout=20.0):
        request = model_management_pb2.ReloadConfigRequest()
        for model in models:
            fields = {"model_platform": "tensorflow", "base_path": f"{self.base}/{model['name']}"}
            request.config.model_config_list.config.add(**{**fields, **model})
        return self.models.HandleReloadConfigRequest(request, timeout=timeout)

    def states(self, model):
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        found = self.models.GetModelStatus(request, timeout=10).model_version_status
        return {entry.version: (entry.state, entry.status.error_message) for entry in found}


@pytest.fixture(scope="module")
def hosted(tmp_path_factory, model_base_path):
    hosted = Hosted(tmp_path_factory.mktemp("hosted"), model_base_path / "1")
    yield hosted
    hosted.close()


def refused(call, *arguments, **options) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value.code().name, caught.value.details()


AVAILABLE, END = 30, 50


def test_two_models_and_a_label(hosted):
    assert within(10, lambda: hosted.states("a") == {1: (AVAILABLE, ""), 2: (AVAILABLE, "")})
    assert hosted.answering("a") == 2
    assert hosted.answering("a", label="stable") == 1
    assert hosted.answering("b") == 1
    body = {"signature_name": "same", "inputs": [1]}
    path = "/v1/models/a/labels/stable"
    assert hosted.http.post(f"{path}:predict", json=body).json() == {"outputs": [1]}
    assert hosted.http.get(f"{path}/metadata").json()["model_spec"]["version"] == "1"
    unknown = hosted.http.post("/v1/models/a/labels/nope:predict", json=body)
    assert unknown.json() == {"error": "Unrecognized servable version label: nope"}
    every = hosted.http.get("/v1/models/a/labels/nope").json()["model_version_status"]
    assert [entry["version"] for entry in every] == ["2", "1"]


def test_reloading(hosted):
    assert hosted.reload({"name": "a"}).status.error_code == 0
    assert within(10, lambda: hosted.states("a")[1] == (END, ""))
    assert within(10, lambda: hosted.states("b")[1] == (END, ""))
    missing = ("NOT_FOUND", "Servable not found for request: Latest(b)")
    assert refused(hosted.answering, "b") == missing
    response = hosted.http.post("/v1/models/b:predict", json={"inputs": [1]})
    assert (response.status_code, response.json()) == (404, {"error": missing[1]})
    hosted.reload({"name": "a", "version_labels": {"new": 2}}, {"name": "b"})
    assert hosted.answering("b") == 1
    assert hosted.answering("a", label="new") == 2
    code, text = refused(hosted.reload, {"name": "a", "version_labels": {"new": 1}})
    assert code == "FAILED_PRECONDITION"
    assert text == (
        "Request to assign label to version 1 of model a, which is not currently available for "
        "inference"
    )


@pytest.mark.parametrize(
    ("models", "text"),
    [
        ([], "ServerModelConfig type not supported by HandleReloadConfigRequest. "
             "Only ModelConfigList is currently supported"),
        ([{"name": "b"}, {"name": "b"}], "Illegal to list model b multiple times in config list"),
        ([{"name": "b", "base_path": "relative/path"}],
         "Expected model b to have an absolute path or URI; got base_path()=relative/path"),
        ([{"name": "a", "model_platform": "bogus"}],
         "Illegal to change a model's platform. For model a platform was tensorflow and new "
         "platform requested is bogus"),
    ],
)  # fmt: skip
def test_reloads_that_are_refused(hosted, models, text):
    assert refused(hosted.reload, *models) == ("INVALID_ARGUMENT", text)


def test_a_reload_that_blocks_until_its_deadline(hosted):
    begin = time.monotonic()
    code, _ = refused(hosted.reload, {"name": "a"}, {"name": "nowhere"}, timeout=0.5)
    assert code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - begin >= 0.4
    assert hosted.answering("a") == 2
    hosted.reload({"name": "a"}, {"name": "b"})
    assert hosted.answering("b") == 1


def warmup_file(directory: Path, *records: bytes) -> Path:
    path = directory / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def predict_record(signature, **inputs) -> bytes:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = "another", signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log.SerializeToString()


def test_versions_that_load_and_versions_that_do_not(hosted, model_base_path):
    """Every file that the stock server has a text for, side by side as versions of one model."""
    base = hosted.base / "c"
    good = predict_record("same", x=F32([1]))

    def version(number) -> Path:
        directory = base / str(number)
        shutil.copytree(model_base_path / "1", directory)
        return directory

    def text(number) -> str:
        return f"at {base}/{number}/assets.extra/tf_serving_warmup_requests"

    warmup_file(version(1), good, prediction_log_pb2.PredictionLog().SerializeToString())
    warmup_file(version(2))
    warmup_file(version(3), predict_record("nope", x=F32([1])))
    warmup_file(version(4), predict_record("two", a=F32([1])))
    warmup_file(version(5), predict_record("scale", x=F32([[1, 2, 3, 4]])))
    junk = warmup_file(version(6), b"junk")
    path = warmup_file(version(7), good, good)
    path.write_bytes(path.read_bytes()[:-3])
    path = warmup_file(version(8), good)
    path.write_bytes(b"this is certainly no such file")
    warmup_file(version(9), *[good] * 1000)
    warmup_file(version(10), *[good] * 1001)
    (base / "11").mkdir()
    (base / "12").mkdir()
    (base / "12" / "saved_model.pb").write_bytes(b"\xff" * 100)
    (base / "13").mkdir()
    (base / "13" / "saved_model.pb").write_bytes(b"")
    shutil.rmtree(version(14) / "variables")
    content = (model_base_path / "1" / "saved_model.pb").read_bytes()
    (base / "15").mkdir()
    (base / "15" / "saved_model.pb").write_bytes(content[: len(content) // 2])
    every = {"name": "c", "model_version_policy": {"all": {}}}
    with pytest.raises(grpc.RpcError):
        hosted.reload({"name": "a"}, {"name": "b"}, every)
    assert within(30, lambda: all(s in (AVAILABLE, END) for s, _ in hosted.states("c").values()))
    states = hosted.states("c")
    available = {number for number, (state, _) in states.items() if state == AVAILABLE}
    assert available == {1, 2, 9, 14}
    texts = {number: text for number, (_, text) in states.items() if text}
    tfrecord = "Please verify your warmup data is in TFRecord format."
    shape_error = texts.pop(5)
    assert "is not compatible with expected shape [?,3]." in shape_error
    assert texts == {
        3: 'Serving signature key "nope" not found.',
        4: "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. "
           "Missing but required: {b}.",
        6: f"Failed to parse warmup record: junk from {junk}",
        7: texts[7],
        8: f"corrupted record at 0 (Is this even a TFRecord file?). {tfrecord}",
        10: f"Number of warmup records exceeds the maximum (1000) {text(10)}",
        11: "Specified file path does not appear to contain a SavedModel bundle (should have a "
            f"file called `saved_model.pb`)\nSpecified file path: {base}/11",
        12: f"Can't parse {base}/12/saved_model.pb as binary proto",
        13: "Could not find meta graph def matching supplied tags: { serve }. To inspect available "
            "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
        15: "Read less bytes than requested",
    }  # fmt: skip
    assert re.fullmatch(
        rf"truncated record at \d+' failed with Read less bytes than requested. {tfrecord}",
        texts[7],
    )
    # Like the stock server: a version without its variables answers, and every request fails.
    with (
        GrpcClient(hosted.server.grpc_address, model="c") as client,
        pytest.raises(ServingError) as caught,
    ):
        client.predict("scale", {"x": F32([[1, 2, 3]])}, version=14)
    assert caught.value.code == "FAILED_PRECONDITION"
    assert caught.value.server_text.startswith("Could not find variable ")
    page = hosted.http.get("/metrics/all").text
    labels = f'{{model_path="{base}/9",status="OK"}}'
    assert f":tensorflow:serving:model_warmup_records_read{labels} 1000" in page
    assert f":tensorflow:serving:model_warmup_latency_count{labels} 1" in page
    load_attempts = ":tensorflow:cc:saved_model:load_attempt_count"
    assert f'{load_attempts}{{model_path="{base}/12",status="fail"}} 1' in page
    hosted.reload({"name": "a"}, {"name": "b"})


def test_metrics(hosted):
    hosted.answering("a")
    hosted.http.post("/v1/models/a:predict", json={"signature_name": "same", "inputs": 1})
    hosted.http.post("/v1/models/mystery:predict", json={"signature_name": "same", "inputs": 1})
    hosted.http.get("/v1/models/a")
    response = hosted.http.get("/metrics/all")
    assert response.headers["content-type"] == "text/plain"
    page = response.text
    serving = ":tensorflow:serving:"
    assert f"# TYPE {serving}request_count counter\n" in page
    assert f'{serving}request_count{{model_name="mystery",status="NOT_FOUND"}} 1\n' in page
    for api, entrypoint in (("Predict", "GRPC"), ("predict", "REST"), ("", "REST")):
        labels = f'model_name="a",API="{api}",entrypoint="{entrypoint}"'
        count = re.search(rf"{serving}request_latency_count{{{labels}}} (\d+)\n", page)
        assert count is not None
        assert f'{serving}request_latency_bucket{{{labels},le="+Inf"}} {count[1]}\n' in page
        assert f'{serving}request_latency_bucket{{{labels},le="104.976"}} ' in page
        assert f"{serving}request_latency_sum{{{labels}}} " in page
    runtime = 'model_name="a",API="Predict",runtime="TF1"'
    assert f"{serving}runtime_latency_count{{{runtime}}} " in page
    for path in ("/metrics", "/metrics/all/x", "/metrics/"):
        response = hosted.http.get(path)
        assert (response.status_code, response.text) == (404, NOT_FOUND_PAGE)
        assert response.headers["content-type"] == "text/html"
    response = hosted.http.get("/metrics/all?x=1")
    text = "Unexpected path: /metrics/all?x=1. Should be /metrics/all"
    assert (response.status_code, response.text) == (400, text)


def test_health(hosted):
    check = hosted.channel.unary_unary("/grpc.health.v1.Health/Check")
    for service in (b"", b"ModelService", b"PredictionService"):
        message = b"\x0a" + bytes([len(service)]) + service if service else b""
        assert check(message, timeout=10) == b"\x08\x01"
    assert refused(check, b"\x0a\x04nope", timeout=10) == ("NOT_FOUND", "service name unknown")


def test_other_sites_may_ask(hosted):
    headers = hosted.http.get("/v1/models/a").headers
    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-allow-methods"] == "POST, GET"
    assert headers["access-control-allow-headers"] == "Content-Type"


def test_draining(model_base_path):
    """Requests in flight are answered, new ones are refused, and the process ends with 0."""
    flags = ("--grpc_max_threads=1",)
    server = ModelServer("m", model_base_path, program=EMBEDDED_HOST, extra_flags=flags)
    turns = 60_000
    body = {"signature_name": "spin", "inputs": {"n": turns}}
    with (
        server,
        futures.ThreadPoolExecutor(1) as pool,
        grpc.insecure_channel(server.grpc_address) as channel,
        GrpcClient(server.grpc_address, model="m") as client,
    ):
        host, port = server.rest_address.split(":")
        rest = http.client.HTTPConnection(host, int(port), timeout=30)
        over_grpc = pool.submit(client.predict, "spin", {"n": I64(turns)})
        status = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")

        def is_busy() -> bool:
            try:
                status(b"\x0a\x03\x0a\x01m", timeout=10)
            except grpc.RpcError as error:
                return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            return False

        assert within(10, is_busy)
        rest.request("POST", "/v1/models/m:predict", json.dumps(body))
        # An answer to a later connection shows that this one was taken in.
        httpx.get(f"http://{server.rest_address}/other", trust_env=False)
        os.kill(server.pid, signal.SIGTERM)
        assert over_grpc.result(30)["turns"] == turns
        assert json.load(rest.getresponse()) == {"outputs": turns}
        assert within(10, lambda: server.exit_code == 0)
        assert "stopping" in server.log_tail
        assert server.log_tail.endswith("stopped")
        with pytest.raises(OSError, match="refused"):
            http.client.HTTPConnection(host, int(port), timeout=5).connect()


def test_a_config_file_that_is_read_again(tmp_path, model_base_path):
    publish(model_base_path / "1", tmp_path / "a" / "1")
    publish(model_base_path / "1", tmp_path / "b" / "1")
    path = tmp_path / "models.config"

    def write(*names: str) -> None:
        models = " ".join(
            f'config {{ name: "{n}" base_path: "{tmp_path}/{n}" model_platform: "tensorflow" }}'
            for n in names
        )
        new = tmp_path / "new"
        new.write_text(f"model_config_list {{ {models} }}")
        new.replace(path)

    write("a")
    flags = (f"--model_config_file={path}", "--model_config_file_poll_wait_seconds=0.05", POLL)
    server = ModelServer("a", tmp_path, program=EMBEDDED_HOST, extra_flags=flags)
    with server, GrpcClient(server.grpc_address, timeout=5) as client:

        def is_available(model: str) -> bool:
            try:
                return client.status(model=model)[1].is_available
            except ServingError:
                return False

        path.write_text("nonsense {")
        assert within(10, lambda: "Invalid protobuf file" in server.log_tail)
        assert is_available("a")
        write("b")
        assert within(10, lambda: is_available("b") and not is_available("a"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_unloading_gives_memory_back(tmp_path):
    module = tf.Module()
    module.weights = tf.Variable(np.random.default_rng(0).normal(size=2**24).astype(F32))
    specs = [tf.TensorSpec([], tf.float32, "x")]
    function = tf.function(lambda x: {"y": x * module.weights[0]}, input_signature=specs)
    base = tmp_path / "m"
    tf.saved_model.save(module, str(base / "1"), signatures=function)
    server = ModelServer("m", base, program=EMBEDDED_HOST, extra_flags=(POLL,))

    def resident() -> int:
        status = Path(f"/proc/{server.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    with server, GrpcClient(server.grpc_address, model="m") as client:
        client.predict("serving_default", {"x": F32(1)})
        before = resident()
        (base / "1").rename(tmp_path / "away")
        assert within(10, lambda: client.status()[1].state == "END")
        assert within(5, lambda: before - resident() > 0.8 * 2**26), (before, resident())
