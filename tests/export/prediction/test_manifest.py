"""What the manifest of a version that is at hand says, instead of the server."""

from __future__ import annotations

import time

import numpy as np
import pytest

from export.manifest import write_manifest
from export.version_labels import labels_in
from serving_config.ports import free_ports
from signatures.contract import KeypointOptions, keypoints_contract

from .frames import csv, maps, rows


@pytest.fixture
def model_root(tmp_path):
    """Version 1 is the fake model's; version 2 is of larger maps."""
    for version, height in (1, 4), (2, 8):
        directory = tmp_path / "models" / "keypoints" / str(version)
        directory.mkdir(parents=True)
        (directory / "saved_model.pb").write_bytes(b"")
        options = KeypointOptions(height=height, width=6, channels=2, max_peaks=3)
        contract = keypoints_contract(options)
        write_manifest(directory, contract, content=None, tensorflow_version="")
    return tmp_path / "models"


@pytest.fixture
def given(tmp_path):
    path = tmp_path / "maps.npy"
    np.save(path, maps(5))
    return path


@pytest.mark.parametrize("signature", ["keypoints", "local_peaks", "serving_default"])
def test_the_server_is_not_asked(signature, predict, given, model, model_root):
    model.signatures = ()
    done = predict(given, "--model-root", model_root, "--version", 1, "--signature", signature)
    assert done.exit_code == 0, done.stderr
    wanted = [row for row in rows(range(5)) if signature != "local_peaks" or "NaN" not in row]
    assert done.stdout == csv(wanted)


def test_names_of_the_manifest_unless_others_are_given(predict, given, tmp_path):
    directory = tmp_path / "named" / "keypoints" / "1"
    directory.mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"")
    options = KeypointOptions(height=4, width=6, channels=2, max_peaks=3, names="nose,left ear")
    write_manifest(directory, keypoints_contract(options), content=None, tensorflow_version="")
    root = ["--model-root", directory.parents[1]]
    for chosen, nodes in ([], ["nose", "left ear"]), (["--names", "a,b"], ["a", "b"]):
        done = predict(given, *root, *chosen)
        assert done.exit_code == 0, done.stderr
        assert [line.split(",")[1] for line in done.stdout.splitlines()[1:3]] == nodes


def test_the_newest_is_taken(predict, given, model_root):
    done = predict(given, "--model-root", model_root)
    assert "expected maps of 8 x 6 x 2 (height x width x channels), got 4 x 6 x 2" in done.stderr


def test_a_label_names_the_version(predict, given, model_root):
    labels = labels_in(model_root, "keypoints")
    labels.announce(1)
    labels.move("stable", 1)
    done = predict(given, "--model-root", model_root, "--label", "stable")
    assert done.stdout == csv(rows(range(5))), done.stderr
    done = predict(given, "--model-root", model_root, "--label", "canary")
    assert done.stderr == (
        f"Error: {model_root}: expected a label of keypoints, one of stable, got canary; set it "
        "with: peakserve versions promote VERSION --model keypoints --label canary\n"
    )


def test_a_server_that_never_was_is_said_at_once(predict, given, model_root):
    start = time.monotonic()
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    done = predict(given, "--model-root", model_root, "--version", 1, address=nobody)
    assert time.monotonic() - start < 10
    assert done.exit_code == 1
    (told,) = done.stderr.splitlines()
    assert told.startswith("Error: keypoints over gRPC: UNAVAILABLE: ")


def test_a_version_or_a_label(predict, given):
    done = predict(given, "--version", 1, "--label", "stable")
    assert done.exit_code == 2
    assert "expected --version or --label, got both" in done.stderr


def test_no_such_version(predict, given, model_root):
    done = predict(given, "--model-root", model_root, "--version", 7)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: expected a version of keypoints in ")
