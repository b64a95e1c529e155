"""The doctor finds each planted fault, and nothing in our own models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export import builder
from export.builder import DoctorError, export_model, write_saved_model
from export.doctor import examine
from export.doctor.diagnosis import RULES, version_directory
from export.doctor.diagnosis import DoctorError as DirectoryError
from export.doctor.findings import CODES, INFO
from export.doctor.kernels import registry_has_gpu
from export.warmup import default_shapes
from signatures import PeakOps
from signatures.contract import KeypointOptions
from signatures.keypoints import Keypoints

from ..command_line import peakserve
from ..conftest import load_module

MODELS = load_module(Path(__file__).with_name("broken_models.py"))
# Found only where this TensorFlow has no GPU kernels at all.
ELSEWHERE = {"no-gpu-registry"}


@pytest.mark.parametrize("name", MODELS.BROKEN)
def test_a_planted_fault_is_found(tmp_path, name):
    broken = MODELS.BROKEN[name]
    if broken.options.get("gpu") and not registry_has_gpu():
        pytest.skip("this TensorFlow has no GPU kernels: placement cannot be told")
    directory = tmp_path / "1"
    directory.mkdir()
    broken.write(directory)
    found = examine(directory, **broken.options).findings
    (finding, *_) = [f for f in found if f.code == broken.code] or [None]
    assert finding, [f"{f.code}: {f.sentence}" for f in found]
    assert finding.sentence
    assert finding.fix


def test_the_model_that_the_others_start_from_is_sound(tmp_path):
    MODELS.good(tmp_path)
    found = examine(tmp_path, gpu=True).findings
    assert [f.code for f in found if f.severity != INFO] == []


def test_every_code_is_planted_and_none_is_stale():
    planted = {broken.code for broken in MODELS.BROKEN.values()}
    assert planted | ELSEWHERE == set(CODES)
    assert not planted & ELSEWHERE
    assert len(MODELS.BROKEN) >= 15
    assert all(rule.__doc__ for rule in RULES)


FIXED = {"height": 64, "width": 80, "channels": 3, "max_batch": 8, "max_peaks": 5}
IMAGES = {"backbone": True, "output_stride": 2.0, "image_height": 128, "image_width": 160}
OURS = {
    "peak_ops": None,
    "maps": KeypointOptions(**FIXED),
    "maps_of_any_size": KeypointOptions(),
    "batched_by_the_server": KeypointOptions(**FIXED, batching="server"),
    "images": KeypointOptions(**FIXED, **IMAGES),
    "images_of_any_size": KeypointOptions(backbone=True, channels=3, output_stride=2.0),
}


@pytest.mark.parametrize("name", OURS)
def test_ours_are_sound(tmp_path, networks, name):
    """No fault, every op with a GPU kernel, and the maps cross to the device once."""
    options = OURS[name]
    if options is None:
        module = PeakOps()
    else:
        module = Keypoints(options, networks.every_nth_pixel(2) if options.backbone else None)
    write_saved_model(module, tmp_path, default_shapes(module.contract))
    diagnosis = examine(tmp_path, gpu=True)
    serious = [f"{f.code}: {f.sentence}" for f in diagnosis.findings if f.severity != INFO]
    assert not serious
    assert {f.code for f in diagnosis.findings} <= {"minor-version-ahead", "single-output"}
    if not registry_has_gpu():
        return
    assert len(diagnosis.placement) == len(module.contract.signature_keys())
    for row in diagnosis.placement:
        assert row.missing == 0, row
        assert row.maps_to_host == int(row.maps_in_reply), row
        (tensor, *_) = module.contract.signature(row.signature).inputs
        if tensor.name in ("imgs", "confmaps", "images"):
            assert row.maps_to_device == 1, row


def test_a_model_with_an_error_is_not_published(tmp_path, monkeypatch):
    """Two batch functions with one name: the doctor sees it before anything is run."""
    import signatures.stages

    batched = signatures.stages.batched
    monkeypatch.setattr(
        signatures.stages, "batched", lambda name, body, options: batched("x", body, options)
    )
    monkeypatch.setattr(builder, "replay", lambda *_: pytest.fail("replayed"))
    with pytest.raises(DoctorError, match="shared-batch-queue"):
        export_model(tmp_path, Keypoints(KeypointOptions(**FIXED)))
    assert not list(tmp_path.rglob("saved_model.pb"))


def test_the_command_says_it_and_exits_accordingly(tmp_path, published):
    page, data = tmp_path / "page.html", tmp_path / "report.json"
    done = peakserve("doctor", published.parent, "--gpu", "--report", page)
    assert done.returncode == 0, done.stderr
    assert f"report: {page}" in done.stdout
    assert page.read_text().startswith("<!doctype html>")
    assert f"0 errors, 0 warnings, 2 notes: {published}" in done.stdout
    assert "refine_peaks_gaussian: arguments in host memory: " in done.stdout
    MODELS.without_variables(tmp_path / "3")
    done = peakserve("doctor", tmp_path, "--json", "--report", data)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert json.loads(data.read_text()) == report
    assert report["counts"]["error"] == 1
    (finding,) = [f for f in report["findings"] if f["severity"] == "error"]
    assert finding["code"] == "missing-variables"
    assert finding["fix"].startswith("copy the whole version directory again")


def test_a_folder_without_versions_is_said(tmp_path):
    (tmp_path / "peak_ops").mkdir()
    with pytest.raises(DirectoryError, match="it holds peak_ops; pass MODEL_ROOT/MODEL"):
        version_directory(tmp_path)
