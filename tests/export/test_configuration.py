"""The written configuration: strict, valid against published schemas, and enough for a server."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import stat
import subprocess
from pathlib import Path

import httpx
import jsonschema
import kubernetes_validate
import numpy as np
import promql_parser
import pytest
import yaml
from google.protobuf import text_format

from export.builder import write_saved_model
from export.configuration import ConfigurationError, TlsFiles, write_configuration
from export.maps import draw_maps
from export.store import StoreError
from export.version_labels import labels_in
from export.warmup import default_shapes
from serving_config.grpc_client import GrpcClient
from serving_config.launch import FORBIDDEN, ServerPlan, flags_of
from serving_config.monitoring import ALERTS, alert_rules
from serving_config.ports import free_ports
from serving_config.programs import find_server
from signatures import PeakOps
from signatures.contract import KeypointOptions
from signatures.keypoints import Keypoints

FIXED = {"height": 16, "width": 20, "channels": 3, "max_batch": 8, "max_peaks": 5}
MAPS = draw_maps(6, 16, 20, 3)[0]
KUBERNETES = "1.30"


@pytest.fixture(scope="module")
def model_root(tmp_path_factory):
    """Both families: `keypoints` batched in the graph (1) and by the server (2), both labelled."""
    root = tmp_path_factory.mktemp("model root")
    modules = [
        PeakOps(),
        Keypoints(KeypointOptions(**FIXED, batch_timeout=20.0)),
        Keypoints(KeypointOptions(**FIXED, batch_timeout=20.0, batching="server")),
    ]
    for number, module in zip((1, 1, 2), modules, strict=True):
        directory = root / module.contract.name / str(number)
        directory.mkdir(parents=True)
        write_saved_model(module, directory, default_shapes(module.contract))
    labels = labels_in(root, "keypoints")
    labels.move("stable", 1)
    labels.move("canary", 2)
    return root


@pytest.fixture
def written(model_root, tmp_path):
    def write(plan=ServerPlan(), **options):
        write_configuration(model_root, tmp_path / "out", plan, **options)
        return tmp_path / "out"

    return write


def documents(path):
    return list(yaml.safe_load_all(path.read_text()))


def kubernetes_problems(document):
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error)
    return None


@pytest.mark.parametrize("rest_port", [8501, 0], ids=["rest", "no_rest"])
@pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])
def test_containers_are_valid_against_published_schemas(written, gpu, rest_port):
    out = written(ServerPlan(gpu=gpu, rest_port=rest_port))
    config_map, deployment, service = documents(out / "kubernetes.yaml")
    for document in (config_map, deployment, service):
        assert kubernetes_problems(document) is None
    (inference,) = documents(out / "inferenceservice.yaml")
    predictor = dict(inference["spec"]["predictor"])
    assert (predictor.pop("minReplicas"), predictor.pop("maxReplicas")) == (2, 4)
    # What else is in a predictor is a pod's specification; no package carries KServe's own schema.
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": predictor}
    assert kubernetes_problems(pod) is None
    schema = json.loads(
        (
            importlib.resources.files("check_jsonschema")
            / "builtin_schemas/vendor/compose-spec.json"
        ).read_text()
    )
    (compose,) = documents(out / "compose.yaml")
    jsonschema.validate(compose, schema)
    text = (out / "kubernetes.yaml").read_text() + (out / "compose.yaml").read_text()
    assert ("nvidia" in text) == gpu
    assert ("-gpu" in text) == gpu
    assert service["spec"]["clusterIP"] == "None"


def test_a_misspelt_field_of_kubernetes_is_seen(written):
    """The check above fails where it should."""
    _, deployment, _ = documents(written() / "kubernetes.yaml")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["livenesProbe"] = container.pop("livenessProbe")
    assert "livenesProbe" in kubernetes_problems(deployment)


def test_texts_have_no_unknown_field(written, model_root, tmp_path, strict_text):
    key = tmp_path / 'ke"y.pem'
    key.write_text("-----BEGIN PRIVATE KEY-----\nab\\c\n-----END PRIVATE KEY-----\n")
    out = written(tls=TlsFiles(key, key, key))
    ssl = strict_text.parse("SSLConfig", (out / "ssl.config").read_text())
    assert ssl.server_key == ssl.server_cert == ssl.custom_ca == key.read_text()
    assert ssl.client_verify
    assert stat.S_IMODE((out / "ssl.config").stat().st_mode) == 0o600
    monitoring = strict_text.parse("MonitoringConfig", (out / "monitoring.config").read_text())
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"
    path = model_root / "keypoints" / "2" / "batching_params.pbtxt"
    batching = strict_text.parse("BatchingParameters", path.read_text())
    assert batching.max_batch_size.value == 8
    assert not batching.pad_variable_length_inputs
    with pytest.raises(text_format.ParseError):
        strict_text.parse("BatchingParameters", "max_batchsize { value: 8 }")


def test_the_models_config_has_policy_and_labels(written, model_root):
    from tensorflow_serving.config import model_server_config_pb2

    text = (written() / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    keypoints, peak_ops = config.model_config_list.config
    assert keypoints.base_path == str(model_root / "keypoints")
    assert list(keypoints.model_version_policy.specific.versions) == [1, 2]
    assert dict(keypoints.version_labels) == {"stable": 1, "canary": 2}
    assert not peak_ops.HasField("model_version_policy")


def test_every_flag_is_one_of_the_server_and_has_its_reason(written):
    from serving_config.embedded.options import WITHOUT_EFFECT, Options

    known = WITHOUT_EFFECT | set(Options.__dataclass_fields__)
    script = (written(ServerPlan(gpu=True)) / "serve.sh").read_text()
    flags = re.findall(r"^set -- \"\$@\" '?--(\w+)=", script, re.M)
    assert len(flags) >= 14
    assert set(flags) <= known
    assert "enable_per_model_batching_parameters" in flags
    for flag in flags:
        assert re.search(rf"^# .*\n(# .*\n)*set -- \"\$@\" '?--{flag}=", script, re.M), flag


def test_alerts_are_promql_about_the_hosted_models(written):
    """An unknown name in a request, or a client's bad request, wakes nobody."""
    (rules,) = yaml.safe_load((written() / "alerts.yml").read_text())["groups"]
    assert [rule["alert"] for rule in rules["rules"]] == [alert.name for alert in ALERTS]
    for rule in rules["rules"]:
        promql_parser.parse(rule["expr"])
        assert "{models}" not in rule["expr"]
        selectors = re.findall(r":request_count\{([^}]*)\}", rule["expr"])
        assert all('model_name=~"keypoints|peak_ops"' in text for text in selectors)
    pages = [rule["expr"] for rule in rules["rules"] if rule["labels"]["severity"] == "page"]
    assert not [expr for expr in pages if "request_count" in expr and "INVALID_ARG" not in expr]


def test_odd_names_of_models_stay_one_name_in_promql():
    names = ['a"b', "c|d", "e\\f", "g h"]
    for rule in alert_rules(names)["groups"][0]["rules"]:
        promql_parser.parse(rule["expr"])
    fails = alert_rules(names)["groups"][0]["rules"][1]["expr"]
    selector = re.search(r'model_name=~("(?:[^"\\]|\\.)*")', fails)
    assert selector
    pattern = json.loads(selector[1])
    assert all(re.fullmatch(pattern, name) for name in names)
    assert not re.fullmatch(pattern, "c")


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_never_right_is_refused(name):
    with pytest.raises(ValueError, match=f"--{name} is never set: "):
        ServerPlan(extra=(f"--{name}=true",))


@pytest.mark.parametrize("flag", ["nope", "--nope", "=1", "-nope=1", "two words=1", ""])
def test_a_flag_has_a_name_and_a_value(flag):
    with pytest.raises(ValueError, match="--flag: expected NAME=VALUE, such as --flag enable_"):
        ServerPlan(extra=(flag,))
    plan = ServerPlan(extra=("enable_model_warmup=false", "--port_name=a=b", "value_of="))
    flags = [str(flag) for flag in flags_of(plan, "/config")]
    assert flags[-3:] == ["--enable_model_warmup=false", "--port_name=a=b", "--value_of="]


def test_ports_are_two():
    with pytest.raises(
        ValueError, match="--rest-port: expected another port .*, got 8501 for both"
    ):
        ServerPlan(port=8501)


def test_what_is_not_there_is_said(model_root, tmp_path):
    with pytest.raises(StoreError, match="expected a model of keypoints, peak_ops"):
        write_configuration(model_root, tmp_path, ServerPlan(), models=["other"])
    with pytest.raises(StoreError, match="no model with a version"):
        write_configuration(tmp_path / "none", tmp_path, ServerPlan())
    (tmp_path / "no.pem").write_text("x")
    tls = TlsFiles(tmp_path / "no.pem", tmp_path / "no.pem")
    with pytest.raises(ConfigurationError, match="expected a PEM file"):
        write_configuration(model_root, tmp_path / "out", ServerPlan(), tls=tls)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def stock(model_root, tmp_path_factory):
    """A stock server that was started by the written script, on free ports, and by nothing else."""
    program = find_server()
    if program.kind != "stock":
        pytest.skip("no stock server: no binary on PATH or in PEAKSERVE_MODEL_SERVER")
    out = tmp_path_factory.mktemp("configuration")
    write_configuration(model_root, out, ServerPlan())
    port, rest_port = free_ports(2)
    log = out / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [out / "serve.sh", f"--port={port}", f"--rest_api_port={rest_port}"],
            env={**os.environ, "TENSORFLOW_MODEL_SERVER": program.command[0]},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        from export.hosting import wait_for_version

        for model, version in (("peak_ops", 1), ("keypoints", 1), ("keypoints", 2)):
            address = f"127.0.0.1:{port}"
            with GrpcClient(address, model=model, contracts={}, timeout=120) as client:
                client.status(wait_for_ready=True)
            wait_for_version(address, model, version, seconds=120)
        yield address, f"127.0.0.1:{rest_port}", log
    finally:
        process.kill()
        process.wait()


def metrics(rest_address):
    return httpx.get(f"http://{rest_address}/monitoring/prometheus/metrics", timeout=30).text


def test_the_server_replays_the_warm_up_without_a_word(stock):
    _, rest_address, log = stock
    text = metrics(rest_address)
    for model, version, records in (("peak_ops", 1, 11), ("keypoints", 1, 8), ("keypoints", 2, 8)):
        pattern = (
            rf':tensorflow:serving:model_warmup_records_read\{{model_path="[^"]*/{model}/{version}"'
            rf',status="OK"\}} {records}\n'
        )
        assert re.search(pattern, text), (model, version)
    assert not re.findall(r"^[WEF]\d{4} .*", log.read_text(), re.M)


def test_labels_answer_and_health_is_serving(stock):
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    address, rest_address, _ = stock
    with GrpcClient(address, model="keypoints", contracts={}) as client:
        for label in ("stable", "canary"):
            reply = client.predict("keypoints", {"confmaps": MAPS[:1]}, label=label)
            assert reply["valid"].all()
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        status = stub.Check(health_pb2.HealthCheckRequest(service=""), timeout=10).status
    assert status == health_pb2.HealthCheckResponse.SERVING
    port = int(rest_address.rpartition(":")[2])
    from serving_config.models_config import ServedModel
    from serving_config.probes import probe_command

    models = [ServedModel(name, Path("/")) for name in ("keypoints", "peak_ops")]
    subprocess.run(probe_command(models, 0, port), check=True, timeout=10)
    missing = [ServedModel("other", Path("/"))]
    assert subprocess.run(probe_command(missing, 0, port), check=False, timeout=10).returncode


def test_both_batchers_batch_and_peak_ops_is_alone(stock, tell):
    from concurrent.futures import ThreadPoolExecutor

    address, rest_address, _ = stock

    def ask(number):
        with GrpcClient(address, contracts={}) as client:
            for turn in range(20):
                maps = {"confmaps": MAPS[(number + turn) % 6 :][:1]}
                for version in (1, 2):
                    client.predict("keypoints", maps, model="keypoints", version=version)
                imgs = {"imgs": MAPS[:1]}
                client.predict("find_global_peaks", imgs, model="peak_ops")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    text = metrics(rest_address)
    in_graph = re.findall(
        r":batching:batch_size_(count|sum)\{\S*batch_keypoints\S*\} ([\d.e+]+)", text
    )
    batches = sum(float(value) for kind, value in in_graph if kind == "count")
    samples = sum(float(value) for kind, value in in_graph if kind == "sum")
    assert batches
    assert samples / batches > 1
    (runs,) = re.findall(r":batching_session:wrapped_run_count\{\} (\d+)", text)
    assert 0 < int(runs) < 160
    tell(
        f"160 requests each: in the graph {samples / batches:.1f} samples a batch, "
        f"by the server {160 / int(runs):.1f}"
    )


def test_alerts_name_metrics_that_the_server_exports(stock, model_root):
    from export.hosting import wait_for_version
    from serving_config.errors import ServingError

    address, rest_address, _ = stock
    with GrpcClient(address, contracts={}) as client, pytest.raises(ServingError):
        client.predict("keypoints", {"confmaps": MAPS[0]}, model="keypoints")
    bad = model_root / "peak_ops" / "9"
    bad.mkdir()
    (bad / "saved_model.pb").write_bytes(b"\xff" * 64)
    try:
        with pytest.raises(ServingError, match="9"):
            wait_for_version(address, "peak_ops", 9, seconds=25)
    finally:
        (bad / "saved_model.pb").unlink()
        bad.rmdir()
    text = metrics(rest_address)
    for alert in ALERTS:
        for metric in alert.metrics:
            assert re.search(rf"^{metric}[{{ ]", text, re.M), metric
            assert metric in alert.expression
    assert re.search(r'request_count\{model_name="keypoints",status="INVALID_ARGUMENT"\}', text)
    assert re.search(r'load_attempt_count\{model_path="[^"]*/peak_ops/9",status="fail"\}', text)


def test_verify_passes_against_it(stock, model_root):
    """Every case of both families, over gRPC and REST."""
    from export.cases import make_cases
    from export.eager import Eager
    from export.proof import subject_of
    from export.verification import verify
    from serving_config.rest_client import RestClient

    address, rest_address, _ = stock
    for model, version in (("peak_ops", 1), ("keypoints", 1), ("keypoints", 2)):
        contract = subject_of(model_root / model / str(version)).contract
        about = {"model": model, "contracts": {model: contract}}
        with GrpcClient(address, **about) as grpc_client, RestClient(rest_address, **about) as rest:
            cases = make_cases(MAPS[:2], contract)
            clients = [grpc_client, rest]
            report = verify(cases, clients, Eager(contract), contract, version=version)
        report.raise_if_different()
        assert np.sum([tally.elements for tally in report.tallies]) > 1000
