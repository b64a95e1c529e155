"""The family `keypoints` on a server: cases, neighbours in a batch, all signatures at once."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

import signatures.stages
from export import builder
from export.batch_safety import batch_faults
from export.builder import export_model, write_saved_model
from export.case import Case
from export.cases import make_cases
from export.comparison import compare
from export.doctor.diagnosis import Diagnosis
from export.eager import Eager
from export.hosting import wait_for_version
from export.maps import draw_maps
from export.replay import ReplayError
from export.verification import verify
from serving_config.batching import batching_flags
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST, find_server
from serving_config.rest_client import RestClient
from signatures.contract import KeypointOptions
from signatures.keypoints import Keypoints

from ..families import answered_once

FIXED = {"height": 16, "width": 20, "channels": 3, "max_batch": 8, "max_peaks": 5}
FIRST = KeypointOptions(**FIXED, refinement="gaussian")
SECOND = KeypointOptions(**FIXED, refinement="local", output_stride=4.0)
MAPS = draw_maps(6, 16, 20, 3)[0]
KEYS = ("keypoints", "quantized", "local_peaks", "serving_default")


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Two versions with different answers, in one store."""
    root = tmp_path_factory.mktemp("keypoints")
    for number, options in enumerate((FIRST, SECOND), start=1):
        # Replay is tested by itself.
        directory = root / "keypoints" / str(number)
        directory.mkdir(parents=True)
        write_saved_model(Keypoints(options), directory)
    return directory.parent


@pytest.fixture(scope="module", params=["embedded", "stock"])
def host(request, versions):
    program = EMBEDDED_HOST if request.param == "embedded" else find_server()
    if program.kind != request.param:
        pytest.skip("no stock server: no binary on PATH or in PEAKSERVE_MODEL_SERVER")
    config = versions.parent / f"{request.param}.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "keypoints" base_path: "{versions}" '
        'model_platform: "tensorflow" model_version_policy { all {} } } }'
    )
    flags = (f"--model_config_file={config}", "--grpc_max_threads=32")
    with ModelServer("keypoints", versions, program=program, extra_flags=flags) as server:
        for version in (1, 2):
            wait_for_version(server.grpc_address, "keypoints", version, seconds=60)
        yield server


@pytest.fixture(scope="module")
def answers():
    """What eager says of each version, by contract."""
    contracts = [Keypoints(options).contract for options in (FIRST, SECOND)]
    return [(contract, answered_once(Eager(contract))) for contract in contracts]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("transport", ["gRPC", "REST", "REST rows"])
def test_every_case_equals_eager(host, answers, transport, version):
    contract, eager = answers[version - 1]
    contracts = {"keypoints": contract}
    about = {"model": "keypoints", "contracts": contracts}
    with (
        GrpcClient(host.grpc_address, **about)
        if transport == "gRPC"
        else RestClient(host.rest_address, rows=transport == "REST rows", **about)
    ) as client:
        cases = make_cases(MAPS, contract)
        report = verify(cases, [client], eager, contract, version=version, exact=True)
    report.raise_if_different()


def test_row_form_over_rest(host):
    import httpx

    url = f"http://{host.rest_address}/v1/models/keypoints/versions/2:predict"
    body = {"instances": MAPS[:2].tolist()}
    rows = httpx.post(url, json=body, timeout=60).json()["predictions"]
    expected = Eager(Keypoints(SECOND).contract)(Case("keypoints", "", {"confmaps": MAPS[:2]}))
    for name, values in expected.outputs.items():
        got = np.array([row[name] for row in rows], values.dtype)
        np.testing.assert_array_equal(got, values)


def test_a_neighbour_that_misbehaves_costs_nobody_else(host, tell):
    """One of eight clients sends wrong shapes, wrong dtypes and empty requests."""
    answered, refused = [], Counter()
    bad_requests = [
        MAPS[:1, :8],
        MAPS[:1].astype(np.float64),
        MAPS[0],
        MAPS[:0],
        np.zeros((1, 16, 20, 4), np.float32),
    ]

    def good(number):
        with GrpcClient(host.grpc_address, model="keypoints", contracts={}) as client:
            for turn in range(60):
                maps = MAPS[(number + turn) % 6 :][:1]
                answered.append(
                    client.predict("keypoints", {"confmaps": maps}, version=2)["points"]
                )

    def bad():
        with GrpcClient(host.grpc_address, model="keypoints", contracts={}) as client:
            for turn in range(60):
                maps = bad_requests[turn % len(bad_requests)]
                try:
                    reply = client.predict("keypoints", {"confmaps": maps}, version=2)
                    assert reply["points"].shape == (0, 3, 2)
                    refused["empty, answered"] += 1
                except ServingError as error:
                    refused[error.code] += 1

    with ThreadPoolExecutor(8) as pool:
        tasks = [*(pool.submit(good, number) for number in range(7)), pool.submit(bad)]
        for task in tasks:
            task.result(timeout=120)
    assert len(answered) == 7 * 60
    assert refused == {"INVALID_ARGUMENT": 48, "empty, answered": 12}
    tell(f"{host.kind}: 0 of {len(answered)} good requests failed beside {dict(refused)}")


def test_all_signatures_at_once_answer_for_themselves(host, tell):
    """Eight clients, two versions side by side: no answer is another signature's."""
    contracts = {n: Keypoints(o).contract for n, o in enumerate((FIRST, SECOND), start=1)}
    inputs, expected = {}, {}
    for version, contract in contracts.items():
        eager = Eager(contract)
        for key in KEYS:
            for size in (1, 2, 3):
                maps = MAPS[size : 2 * size]
                if key == "quantized":
                    maps = np.clip(np.rint(maps * 255), 0, 255).astype(np.uint8)
                inputs[version, key, size] = maps
                answer = eager(Case(key, "", {"confmaps": maps}))
                expected[version, key, size] = answer.outputs
    wrong = []

    def work(number):
        order = np.random.default_rng(number).permutation(len(inputs) * 6)
        names = list(inputs)
        with GrpcClient(host.grpc_address, model="keypoints", contracts={}) as client:
            for index in order:
                version, key, _ = name = names[index % len(names)]
                got = client.predict(key, {"confmaps": inputs[name]}, version=version)
                tolerance = contracts[version].signature(key).tolerance
                for output, values in expected[name].items():
                    if not compare(values, got[output], tolerance).matches:
                        wrong.append((name, output))
        return len(order)

    with ThreadPoolExecutor(8) as pool:
        requests = sum(pool.map(work, range(8)))
    assert not wrong
    assert requests >= 1000
    tell(f"{host.kind}: {requests} requests to all signatures of two versions, 0 wrong")


def export_counting(directory, options):
    """A model whose `keypoints` counts the sizes of its batches, which `batch_sizes` tells."""
    sizes = tf.Variable(tf.zeros([options.max_batch + 1], tf.int64))

    class Counting(Keypoints):
        def _keypoints(self, confmaps):
            count = sizes.scatter_add(
                tf.IndexedSlices(tf.ones([], tf.int64), tf.shape(confmaps)[0])
            )
            with tf.control_dependencies([count]):
                return super()._keypoints(tf.identity(confmaps))

    module = Counting(options)
    module.sizes = sizes
    spec = tf.TensorSpec([None], tf.float32, "rows")
    module.functions["batch_sizes"] = tf.function(
        lambda rows: {"sizes": tf.repeat(sizes.read_value()[None], tf.size(rows), axis=0)},
        input_signature=[spec],
    )
    write_saved_model(module, directory)


@pytest.mark.parametrize("batching", ["in-graph", "server"])
@pytest.mark.parametrize("kind", ["embedded", "stock"])
def test_batches_form_on_a_server(tmp_path, tell, kind, batching):
    """Eight clients, one of which misbehaves where that costs nobody else."""
    if (kind, batching) == ("embedded", "server"):
        pytest.skip("the embedded host has no batcher of its own")
    program = EMBEDDED_HOST if kind == "embedded" else find_server()
    if program.kind != kind:
        pytest.skip("no stock server: no binary on PATH or in PEAKSERVE_MODEL_SERVER")
    options = dataclasses.replace(SECOND, batching=batching, batch_timeout=20.0)
    export_counting(tmp_path / "keypoints" / "1", options)
    base_path = tmp_path / "keypoints"
    flags = ("--grpc_max_threads=32", *batching_flags(base_path))
    assert bool(batching_flags(base_path)) == (batching == "server")
    requests = 40
    barrier = threading.Barrier(8)
    with ModelServer("keypoints", base_path, program=program, extra_flags=flags) as server:

        def good(number):
            with GrpcClient(server.grpc_address, model="keypoints", contracts={}) as client:
                barrier.wait(timeout=30)
                return [
                    client.predict("keypoints", {"confmaps": MAPS[number % 6 :][:1]})["points"]
                    for _ in range(requests)
                ]

        def bad(_):
            refused = 0
            with GrpcClient(server.grpc_address, model="keypoints", contracts={}) as client:
                barrier.wait(timeout=30)
                for turn in range(requests if batching == "in-graph" else 0):
                    maps = [MAPS[:1, :8], MAPS[:1].astype(np.float64), MAPS[:0]][turn % 3]
                    try:
                        client.predict("keypoints", {"confmaps": maps})
                    except ServingError:
                        refused += 1
            return refused

        with ThreadPoolExecutor(8) as pool:
            refused = pool.submit(bad, 7)
            answers = list(pool.map(good, range(7)))
            assert refused.result(timeout=60) == (27 if batching == "in-graph" else 0)
        with GrpcClient(server.grpc_address, model="keypoints", contracts={}) as client:
            counts = client.predict("batch_sizes", {"rows": np.zeros(1, np.float32)})["sizes"][0]
    for points in answers:
        for point in points:
            np.testing.assert_allclose(point, points[0], atol=1e-3)
    sizes = {size: int(count) for size, count in enumerate(counts) if count}
    # Empty requests go round the batcher inside the graph.
    samples = sum(size * count for size, count in sizes.items())
    assert samples == 7 * requests
    assert max(sizes) > 1
    assert max(sizes) <= FIXED["max_batch"]
    tell(f"{kind}, {batching}: batch sizes of {samples} good requests: {sizes}")


def test_one_name_for_two_batchers_is_not_published(tmp_path, monkeypatch):
    """Two batch functions with the same name share a queue: the replay sees it."""
    batched = signatures.stages.batched
    monkeypatch.setattr(
        signatures.stages, "batched", lambda name, body, options: batched("x", body, options)
    )
    # The doctor sees it first.
    monkeypatch.setattr(builder, "examine", lambda directory: Diagnosis(directory, (), (), ""))
    with pytest.raises(ReplayError, match="differs from eager"):
        export_model(tmp_path, Keypoints(SECOND))
    assert not list(tmp_path.rglob("saved_model.pb"))


def test_batching_by_the_server_has_its_file(tmp_path):
    options = dataclasses.replace(SECOND, batching="server", batch_timeout=2.5)
    directory = export_model(tmp_path, Keypoints(options)).directory
    assert (directory / "batching_params.pbtxt").read_text().splitlines() == [
        "max_batch_size { value: 8 }",
        "batch_timeout_micros { value: 1500 }",
        "max_enqueued_batches { value: 100 }",
        "num_batch_threads { value: 2 }",
    ]


def test_a_function_that_looks_at_its_mates_is_caught():
    """A body that scales by the whole batch's maximum depends on who else is in it."""
    contract = Keypoints(SECOND).contract
    stages = Keypoints(SECOND).stages

    def predict(key, inputs):
        maps = tf.constant(inputs["confmaps"])
        outputs = [result.numpy() for result in stages[key].whole(maps)]
        named = dict(zip([t.name for t in contract.signature(key).outputs], outputs, strict=True))
        if key == "keypoints" and len(inputs["confmaps"]):
            named["confidences"] = named["confidences"] / max(named["confidences"].max(), 1)
        return named

    faults = batch_faults(predict, contract, MAPS)
    assert faults
    assert all(fault.startswith("keypoints output confidences") for fault in faults)
