"""What stands beside an adapted network, and what `export` takes of it."""

from __future__ import annotations

import json
import re

import pytest

from export import publishing
from export.adapters.facts import FACTS_FILE, AdapterError, NetworkFacts, read_facts, with_facts
from export.benchmark import tuning_report
from signatures.contract.keypoint_options import scaled_size

FACTS = {"input_scale": 0.5, "pad_to": 8, "grayscale": False, "coordinates": "scaled"}


def beside(folder, role="keypoints", **options):
    folder.mkdir(exist_ok=True)
    NetworkFacts("SLEAP", role, {**FACTS, **options}).write(folder)
    return folder


def test_what_is_chosen_wins(tmp_path):
    network = beside(tmp_path / "net", names="A,B", crop_size=16)
    options, (line,) = with_facts("keypoints", {"pad_to": 4, "channels": 2}, network)
    assert options == {**FACTS, "pad_to": 4, "channels": 2, "names": "A,B"}
    assert line.startswith(f"from {network / FACTS_FILE} (SLEAP): --input-scale 0.5 ")
    assert "--pad-to" not in line
    assert "--names A,B" in line


def test_the_printed_options_are_the_facts(tmp_path):
    """A scale of six digits makes 99 pixels of 300, where the network takes 100."""
    network = beside(tmp_path / "net", input_scale=1 / 3)
    _, (line,) = with_facts("keypoints", {"channels": 2}, network)
    (scale,) = re.findall(r"--input-scale (\S+)", line)
    assert scaled_size(300, float(scale)) == scaled_size(300, 1 / 3) == 100


def test_networks_without_facts(tmp_path):
    assert with_facts("keypoints", {"channels": 2}, tmp_path) == ({"channels": 2}, [])
    assert with_facts("peak_ops", {}, None) == ({}, [])


def test_two_networks(tmp_path):
    centroid = beside(tmp_path / "c", "centroid", input_scale=0.25, pad_to=32)
    instance = beside(tmp_path / "i", "instance", crop_size=16, window=5)
    options, lines = with_facts("topdown", {}, instance, centroid)
    assert options == {
        "centroid_scale": 0.25,
        "centroid_pad_to": 32,
        "instance_scale": 0.5,
        "crop_size": 16,
        "window": 5,
        "grayscale": False,
    }
    assert len(lines) == 2
    grey = beside(tmp_path / "g", "centroid", grayscale=True)
    with pytest.raises(AdapterError, match="other network's grayscale False, got True; both"):
        with_facts("topdown", {}, instance, grey)
    assert with_facts("topdown", {"grayscale": True}, instance, grey)[0]["grayscale"]


@pytest.mark.parametrize(
    ("backbone", "centroid", "sentence"),
    [
        ("centroid", "instance", "--backbone .* expected a network of the role instance, got cent"),
        ("instance", "keypoints", "--centroid .* role centroid, got keypoints"),
    ],
)
def test_networks_in_the_wrong_place(tmp_path, backbone, centroid, sentence):
    with pytest.raises(AdapterError, match=sentence):
        with_facts(
            "topdown", {}, beside(tmp_path / "b", backbone), beside(tmp_path / "c", centroid)
        )


def test_a_family_without_these_coordinates(tmp_path):
    instance = beside(tmp_path / "i", "instance", coordinates="cells")
    with pytest.raises(AdapterError, match="topdown has no --coordinates cells; export it as"):
        with_facts("topdown", {}, instance)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "format 2, keypoints is not known"),
        ({"role": "other"}, "format 1, other is not known"),
        ({"options": {"input_scale": "half"}}, "the option input_scale is not known or of another"),
        ({"options": {"pad_to": True}}, "the option pad_to is not known or of another type"),
        ({"options": {"surprise": 1}}, "the option surprise is not known"),
        ({"options": 3}, "cannot be read"),
    ],
    ids=str,
)
def test_damaged_facts_are_refused(tmp_path, change, sentence):
    path = beside(tmp_path / "net") / FACTS_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(AdapterError, match=sentence):
        read_facts(path.parent)
    path.write_text("{")
    with pytest.raises(AdapterError, match="cannot be read"):
        read_facts(path.parent)


@pytest.mark.parametrize("command", ["export", "tune"])
def test_commands_take_what_the_network_says(tmp_path, peakserve, monkeypatch, command):
    network = beside(tmp_path / "net", coordinates="cells")
    seen = {}
    monkeypatch.setattr(
        publishing, "export_and_tell", lambda *_, options, **__: seen.update(options)
    )
    monkeypatch.setattr(publishing, "options_and_network", lambda _, options: seen.update(options))
    monkeypatch.setattr(tuning_report, "tune_and_tell", lambda *_, **__: None)
    first = (
        ("export", "--model", "keypoints") if command == "export" else ("tune", "--max-latency", 9)
    )
    result = peakserve(*first, "--backbone", network, "--input-scale", 0.25)
    assert result.exit_code == 0, result.output
    assert "(SLEAP): --pad-to 8 --coordinates cells" in result.stderr
    assert seen == {**FACTS, "input_scale": 0.25, "coordinates": "cells"}


def test_nothing_is_overwritten(tmp_path, refusal):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    config = {
        "model": {"heads": {"centroid": {"sigma": 1.0}}},
        "data": {"preprocessing": {"input_scaling": 1.0}},
    }
    (tmp_path / "training_config.json").write_text(json.dumps(config))
    (tmp_path / "best_model.h5").touch()
    assert "expected a new or empty folder" in refusal("adapt", "sleap", tmp_path, "--out", out)
    assert [path.name for path in out.iterdir()] == ["mine"]
