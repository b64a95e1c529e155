"""Choosing a batch size and a wait, and the command `tune`."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.benchmark.questions import inputs_of
from export.benchmark.tuning import (
    Candidate,
    Load,
    Tried,
    Tuning,
    TuningError,
    candidates_of,
    tune,
    tuned_options,
)
from export.benchmark.tuning_report import write_parameters
from signatures.contract import KeypointOptions, keypoints_contract

ROOT = Path(__file__).parents[3]


def tuning(*tried, max_latency=10.0, batching="in-graph"):
    return Tuning("keypoints 1x8x8x2", 4, max_latency, batching, "a server", tried)


def tried(batch, timeout, p99, rate):
    return Tried(Candidate(batch, timeout), p99 / 2, p99, rate)


UNBATCHED = tried(1, 0.0, 4.0, 100.0)


@pytest.mark.parametrize(
    ("others", "best"),
    [
        ([tried(8, 1.0, 9.0, 300.0), tried(16, 5.0, 11.0, 900.0)], (8, 1.0)),
        ([tried(8, 1.0, 9.0, 90.0)], (1, 0.0)),
        ([tried(8, 1.0, 9.0, 300.0), tried(16, 1.0, 6.0, 296.0)], (16, 1.0)),
        ([tried(8, 1.0, 10.0, 300.0)], (8, 1.0)),
    ],
    ids=["most within the bound", "unbatched", "equal but faster", "at the bound"],
)
def test_the_most_throughput_within_the_bound_is_best(others, best):
    chosen = tuning(UNBATCHED, *others).best.candidate
    assert (chosen.max_batch, chosen.batch_timeout) == best


def test_options_of_export_are_printed():
    lines = list(tuned_options(tuning(UNBATCHED, tried(8, 2.5, 9.0, 300.0), batching="server")))
    assert lines == [
        "best: batches of 8, 2.5 ms, p99 9.0 ms, 300 samples/s",
        "peakserve export --model keypoints --batching server --max-batch 8 --batch-timeout 2.5 ...",
    ]
    *_, unbatched = tuned_options(tuning(UNBATCHED))
    assert unbatched == "peakserve export --model keypoints --batching none ..."


def test_a_bound_that_nothing_keeps_is_said():
    with pytest.raises(TuningError, match="no candidate keeps p99 within 1 ms with 4 clients; the"):
        list(tuned_options(tuning(UNBATCHED, max_latency=1.0)))


def test_waits_that_are_the_same_to_the_scheduler_are_tried_once():
    found = candidates_of([1, 4, 8], [0.5, 1.0, 2.0])
    assert list(map(str, found)) == [
        "unbatched",
        "batches of 4, 0.5 ms",
        "batches of 4, 2 ms",
        "batches of 8, 0.5 ms",
        "batches of 8, 2 ms",
    ]


def test_batching_parameters_are_written(tmp_path):
    path = write_parameters(tried(8, 3.0, 9.0, 300.0), tmp_path)
    assert path.name == "batching_params.pbtxt"
    text = path.read_text()
    assert "max_batch_size { value: 8 }" in text
    assert "batch_timeout_micros { value: 2000 }" in text
    with pytest.raises(TuningError, match="the best is not to batch"):
        write_parameters(UNBATCHED, tmp_path)


@pytest.mark.parametrize("signature", ["keypoints", "quantized", "images", "encoded_images"])
def test_requests_fit_the_contract(signature):
    options = {"height": 8, "width": 8, "channels": 2, "backbone": True}
    images = {"image_height": 16, "image_width": 16}
    contract = keypoints_contract(KeypointOptions(**options, **images))
    inputs = inputs_of(contract, signature, (3, 9, 9, 9))
    assert contract.signature(signature).check_request(inputs).keys() == inputs.keys()
    assert {len(array) for array in inputs.values()} == {3}


@pytest.mark.parametrize(
    ("options", "load", "batching", "text"),
    [
        ({}, Load(), "in-graph", "keypoints: requests of any size cannot be joined; fix --height"),
        (
            {"height": 8, "width": 8, "channels": 2},
            Load(samples=5),
            "in-graph",
            "--samples: expected at most the smallest --batch, 4, got 5",
        ),
        ({}, Load(), "server", "--batching server: expected a stock server, got the embedded host"),
    ],
    ids=["any size", "large requests", "embedded host"],
)
def test_what_cannot_be_tuned_is_refused(options, load, batching, text):
    with pytest.raises(TuningError, match=text):
        tune(
            lambda more: (KeypointOptions(**options, **more), None),
            candidates_of([4], [1.0]),
            load,
            max_latency=10.0,
            batching=batching,
            server="embedded",
        )


def test_the_command(tmp_path):
    maps = ["--height", 8, "--width", 8, "--channels", 2]
    small = ["--clients", 2, "--rounds", 1, "--requests", 2, "--batch", 2, "--wait", 1]
    out = ["--max-latency", 60_000, "--out", tmp_path / "tuning.json"]
    if importlib.util.find_spec("matplotlib"):
        out += ["--plot", tmp_path / "tuning.png"]
    command = ["tune", "--server", "embedded", *maps, *small, *out]
    done = subprocess.run(
        [sys.executable, "-m", "export", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    assert "keypoints 1x8x8x2, 2 clients, p99 within 60000 ms" in done.stdout
    assert "batches of 2, 1 ms" in done.stdout
    data = json.loads((tmp_path / "tuning.json").read_text())
    assert [one["candidate"]["max_batch"] for one in data["tried"]] == [1, 2]
    assert data["best"] in data["tried"]
    assert done.stdout.splitlines()[-1].startswith("peakserve export --model keypoints --batching ")
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "tuning.png").read_bytes().startswith(b"\x89PNG")
