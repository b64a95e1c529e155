"""Served against eager: signature x transport x case x server."""

from __future__ import annotations

import json
import shlex
import subprocess

import numpy as np
import pytest

from export.case import Case
from export.cases import make_cases
from export.eager import Eager
from export.maps import draw_maps, load_maps
from export.snippets import curl_snippet, python_snippet
from export.verification import verify
from signatures.contract import PEAK_OPS

CASES = make_cases(draw_maps(2, 7, 9, 2)[0])
EAGER = Eager(PEAK_OPS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_served_equals_eager(client, server, case):
    report = verify([case], [client], EAGER, PEAK_OPS, exact=server.kind == "embedded")
    assert not report.mismatches
    (tally,) = report.tallies
    assert tally.cases + tally.refusals == 1


@pytest.mark.parametrize(
    "name", ["robot_single", "centered_instance_jitter"], ids=["robot", "crops"]
)
def test_real_maps(grpc_client, rest_client, server, real_data, name, long_run):
    """All samples with `--long`, eight of them without."""
    maps = load_maps(real_data / f"{name}.npz")
    maps = maps if long_run else maps[:: max(len(maps) // 8, 1)]
    cases = make_cases(maps)
    exact = server.kind == "embedded"
    report = verify(cases, [grpc_client, rest_client], EAGER, PEAK_OPS, exact=exact)
    report.raise_if_different()
    # The fewest numbers are the global peaks': five a channel, in four cases.
    assert min(tally.elements for tally in report.tallies) >= 5 * maps.shape[0] * maps.shape[3]


def test_one_pixel_and_unusual_values(client, server):
    values = np.float32([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, -3.4e38, 1.17549435e-38])
    imgs = np.random.default_rng(0).choice(values, (3, 1, 4, 2))
    for maps in (imgs, imgs[:1, :, :1, :1]):
        cases = [
            case
            for case in make_cases(np.nan_to_num(maps, nan=0.5))
            if case.signature != "smooth_imgs"
        ]
        verify(
            cases, [client], EAGER, PEAK_OPS, exact=server.kind == "embedded"
        ).raise_if_different()


def test_sweep_over_image_sizes(grpc_client, sweep):
    wrong = {}
    for shape in sweep.shapes(sweep.SIZES):
        imgs, peaks = sweep.draw(shape)
        inputs = {"imgs": imgs, "peaks": peaks}
        crops = {
            window: grpc_client.predict(
                "crop_centered_boxes", {**inputs, "window_length": np.int64(window)}
            )["crops"]
            for window in sweep.WINDOWS
        }
        refined = grpc_client.predict("serving_default", inputs)["refined_peaks"]
        wrong[shape] = sweep.differences(peaks, sweep.sliced_crops(imgs, peaks), crops, refined)
    assert len(wrong) >= 600
    assert not {shape: count for shape, count in wrong.items() if count}


def example(signature, eager=EAGER):
    """What eager answers to a signature's documented example."""
    contract = PEAK_OPS.signature(signature)
    inputs = {t.name: np.asarray(t.example, t.dtype) for t in contract.inputs}
    return eager(Case(signature, "example", inputs)).outputs


def absolute_limit(signature):
    """0 but for outputs with a tolerance in pixels."""
    tolerance = PEAK_OPS.signature(signature).tolerance
    return tolerance.limit if tolerance and tolerance.unit == "pixels" else 0


@pytest.mark.parametrize("signature", PEAK_OPS.signature_keys())
def test_curl_snippets(server, signature):
    line = curl_snippet(PEAK_OPS, signature).replace("127.0.0.1:8501", server.rest_address)
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=60, check=True)
    expected, outputs = example(signature), json.loads(done.stdout)["outputs"]
    if len(expected) == 1:
        outputs = dict.fromkeys(expected, outputs)
    limit = absolute_limit(signature)
    for name, values in expected.items():
        np.testing.assert_allclose(np.asarray(outputs[name], values.dtype), values, 0, limit)


@pytest.mark.parametrize("signature", PEAK_OPS.signature_keys())
def test_python_snippets(server, signature, capsys):
    program = python_snippet(PEAK_OPS, signature, version=1)
    exec(program.replace("127.0.0.1:8500", server.grpc_address), {})
    printed = capsys.readouterr().out.splitlines()
    limit = absolute_limit(signature)
    for line, (name, expected) in zip(printed, example(signature).items(), strict=True):
        label, _, values = line.partition(" ")
        assert label == name
        np.testing.assert_allclose(json.loads(values), expected, 0, limit)
