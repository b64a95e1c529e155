"""Decision margins and the JSON report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from export.case import Case
from export.cases import make_cases
from export.eager import Eager
from export.hosting import Host
from export.maps import draw_maps
from export.margins import MARGINS, summarise
from export.reporting.files import ReportError, write_report
from export.reporting.verification import decision_margins, report_of
from export.verification import Report, Tally, verify
from signatures.contract import PEAK_OPS

MAPS = draw_maps(1, 9, 11, 2)[0]
CASES = make_cases(MAPS)
HOST = Host("127.0.0.1:1", None, "a test")


def margins_of(signature, **inputs):
    contract = PEAK_OPS.signature(signature)
    case = Case(signature, "one", {name: np.asarray(value) for name, value in inputs.items()})
    found = decision_margins([case], PEAK_OPS)
    assert {entry["signature"] for entry in found} == {contract.name}
    return {entry["choice"]: entry for entry in found}


def test_neighbours_near_a_tie():
    patches = np.zeros((2, 3, 3, 1), np.float32)
    patches[0, 2, 1], patches[0, 1, 2], patches[1, 0, 1] = 0.5, 0.25, 2.0
    margins = margins_of("find_offsets_local_direction", centered_patches=patches)
    assert margins["neighbours, confidence"] == {
        "signature": "find_offsets_local_direction",
        "choice": "neighbours, confidence",
        **summarise(np.array([0.5, 0.25, 2.0, 0.0])),
    }
    assert margins["neighbours, confidence"]["smallest"] == 0.25
    assert margins["neighbours, confidence"]["ties"] == 1


def test_coordinates_near_a_half():
    peaks = np.float32([[0, 1.25, 2, 0], [0, np.nan, 2, 0], [0, -0.5, 1e30, 0]])
    margins = margins_of(
        "crop_centered_boxes", imgs=np.ones((1, 4, 4, 1), np.float32), peaks=peaks, window_length=3
    )["rounding, pixels"]
    assert margins["smallest"] == 0.25
    assert margins["ties"] == 1
    assert margins["choices"] == 4


def test_refinement_reads_the_pixels_that_it_compares():
    imgs = np.zeros((1, 4, 4, 1), np.float32)
    imgs[0, :, :, 0] = np.arange(16).reshape(4, 4)
    margins = margins_of(
        "refine_peaks_local_direction", imgs=imgs, peaks=np.float32([[0, 1, 1, 0]])
    )
    assert margins["neighbours, confidence"]["smallest"] == 2
    assert margins["neighbours, confidence"]["median"] == 5


def test_every_exact_signature_with_choices_has_margins():
    assert set(MARGINS) == {c.name for c in PEAK_OPS.signatures if c.tolerance is None}


@pytest.fixture(scope="module")
def outcome():
    """Eager compared with itself."""
    eager = Eager(PEAK_OPS)

    class Same:
        transport = "gRPC"
        keeps_subnormals = True

        def status(self):
            return {}

        def predict(self, signature, inputs, *, model, version=None):
            return dict(eager(Case(signature, "", inputs)).outputs)

    accepted = [case for case in CASES if not case.refused]
    return verify(accepted, [Same()], eager, PEAK_OPS)


def test_floats_and_discrete_outputs_stand_apart(outcome):
    report = report_of(outcome, PEAK_OPS, HOST, MAPS, None)
    assert report["verdict"] == "equal"
    floats = {entry["signature"]: entry for entry in report["float_outputs"]}
    discrete = {entry["signature"]: entry for entry in report["discrete_outputs"]}
    assert set(floats) == {
        "smooth_imgs",
        "make_gaussian_kernel",
        "refine_peaks_integral",
        "refine_peaks_gaussian",
    }
    assert "serving_default" in discrete
    assert floats["smooth_imgs"]["allowed"] == "8 ulps of the largest output"
    assert "largest_ulps" not in discrete["serving_default"]
    latency = discrete["serving_default"]["latency_ms"]
    assert latency["requests"] == 7
    assert 0 < latency["median"] <= latency["p90"] <= latency["p99"]
    assert report["contract"]["name"] == "peak_ops"
    assert report["environment"]["tensorflow"]
    assert report["maps"]["shape"] == [1, 9, 11, 2]


def test_nothing_compared_is_not_equal():
    empty = Report(tallies=[Tally("smooth_imgs", "gRPC")])
    assert report_of(empty, PEAK_OPS, HOST, MAPS, None)["verdict"] == "different"


def test_the_file_is_strict_json(outcome, tmp_path):
    path = tmp_path / "report.json"
    write_report(path, report_of(outcome, PEAK_OPS, HOST, MAPS, None), str)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    report = json.loads(path.read_text(), parse_constant=refuse)
    assert report["decision_margins"]
    assert report["maps"]["source"] == "drawn"


def test_a_full_disk_is_one_sentence():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(ReportError, match="cannot write /dev/full: No space left on device; name"):
        write_report(full, {}, str)
