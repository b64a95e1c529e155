"""Warm-up requests: legal, complete, replayed, and worth it."""

from __future__ import annotations

import time

import numpy as np
import pytest

from export import builder
from export.builder import DoctorError, export_model, write_saved_model
from export.doctor.diagnosis import Diagnosis
from export.replay import ReplayError
from export.warmup import (
    WARMUP_FILE,
    check_shapes,
    default_shapes,
    read_warmup,
    warmup_requests,
    write_warmup,
)
from serving_config.grpc_client import GrpcClient
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST, find_server
from signatures import PeakOps
from signatures.contract import (
    PEAK_OPS,
    InvalidInputError,
    KeypointOptions,
    keypoints_contract,
)
from signatures.keypoints import Keypoints

FIXED = {"height": 9, "width": 11, "channels": 2, "max_batch": 4}
CONTRACTS = {
    "peak_ops": PEAK_OPS,
    "keypoints": keypoints_contract(KeypointOptions(**FIXED)),
    "free": keypoints_contract(KeypointOptions()),
    "images": keypoints_contract(
        KeypointOptions(**FIXED, backbone=True, output_stride=2.0, image_height=18, image_width=22)
    ),
    "free_images": keypoints_contract(
        KeypointOptions(backbone=True, channels=2, output_stride=4.0, input_scale=0.5)
    ),
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_signature_gets_requests_that_it_accepts(tmp_path, name):
    contract = CONTRACTS[name]
    shapes = default_shapes(contract)
    check_shapes(shapes, contract)
    asked = []
    for key, inputs in warmup_requests(contract, shapes):
        signature = contract.signature(key)
        checked = signature.check_request(inputs)
        assert signature.refusal(signature.with_defaults(checked)) is None, key
        asked.append((key, len(next(iter(inputs.values()))) if contract.name != "peak_ops" else 1))
    batches = {1, 4} if name in ("keypoints", "images") else {1}
    assert sorted(asked) == sorted((key, n) for key in contract.signature_keys() for n in batches)
    assert write_warmup(tmp_path, contract, shapes) == len(asked)
    read = list(read_warmup(tmp_path))
    for (key, inputs), (wanted_key, wanted) in zip(
        read, warmup_requests(contract, shapes), strict=True
    ):
        assert key == wanted_key
        for tensor, values in wanted.items():
            np.testing.assert_array_equal(inputs[tensor], values)


def test_images_of_a_free_network_have_the_size_of_the_maps():
    contract = CONTRACTS["free_images"]
    requests = dict(warmup_requests(contract, [(2, 10, 12, 2)]))
    assert requests["images"]["images"].shape == (2, 80, 96, 3)


@pytest.mark.parametrize(
    ("contract", "shapes", "text"),
    [
        ("keypoints", [(1, 9, 12, 2)], "1x9x12x2: expected width 11, got 12"),
        ("peak_ops", [(1, 2, 2, 1)] * 91, "expected at most 1000 requests, got 1001"),
    ],
)
def test_requests_that_a_server_would_refuse_are_refused(contract, shapes, text):
    with pytest.raises(InvalidInputError, match=text):
        check_shapes(shapes, CONTRACTS[contract])


def test_the_servers_batcher_bounds_a_batch():
    contract = keypoints_contract(KeypointOptions(**FIXED, batching="server"))
    assert default_shapes(contract) == [(1, 9, 11, 2), (4, 9, 11, 2)]
    with pytest.raises(InvalidInputError, match="expected at most 4 samples"):
        check_shapes([(5, 9, 11, 2)], contract)


def test_a_record_that_fails_is_not_published(tmp_path, monkeypatch):
    """At a server it would keep the version from loading."""

    def spoilt(contract, shapes):
        yield "keypoints", {"confmaps": np.zeros([2, 3], np.float32)}

    module = Keypoints(KeypointOptions(**FIXED, refinement="none"))
    monkeypatch.setattr("export.warmup.warmup_requests", spoilt)
    with pytest.raises(DoctorError, match="warmup-request: .* in record 0"):
        export_model(tmp_path, module)
    monkeypatch.setattr(builder, "examine", lambda directory: Diagnosis(directory, (), (), ""))
    with pytest.raises(ReplayError, match="warm-up record 0 for keypoints"):
        export_model(tmp_path, module)
    assert not list(tmp_path.rglob("saved_model.pb"))


def test_warm_up_counts_as_content(tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "replay", lambda *_: builder.ReplayCounts(1, 1))
    module = PeakOps()
    assert export_model(tmp_path, module).version == 1
    assert not export_model(tmp_path, module).published
    assert export_model(tmp_path, module, warmup_shapes=[(1, 8, 8, 1)]).version == 2
    assert (tmp_path / "peak_ops" / "2" / WARMUP_FILE).is_file()


@pytest.mark.parametrize("kind", ["embedded", "stock"])
def test_the_first_request_after_warm_up_is_fast(tmp_path, tell, kind):
    program = EMBEDDED_HOST if kind == "embedded" else find_server()
    if program.kind != kind:
        pytest.skip("no stock server: no binary on PATH or in PEAKSERVE_MODEL_SERVER")
    options = KeypointOptions(height=64, width=64, channels=3)
    directory = tmp_path / "keypoints" / "1"
    directory.mkdir(parents=True)
    write_saved_model(Keypoints(options), directory, default_shapes(keypoints_contract(options)))
    maps = {"confmaps": np.zeros((1, 64, 64, 3), np.float32)}
    first = {}
    for warm in (False, True):
        flags = (f"--enable_model_warmup={str(warm).lower()}",)
        base_path = directory.parent
        with (
            ModelServer("keypoints", base_path, program=program, extra_flags=flags) as server,
            GrpcClient(server.grpc_address, model="keypoints", contracts={}) as client,
        ):
            client.status()  # Connects.
            start = time.perf_counter()
            client.predict("keypoints", maps)
            first[warm] = (time.perf_counter() - start) * 1000
            assert "arm-up" not in server.log_tail.replace("Finished reading warmup", "")
    tell(f"{kind}: first request {first[False]:.0f} ms without warm-up, {first[True]:.1f} ms after")
    assert first[True] < first[False]
