"""The page of `verify`, in a browser: what is equal, and above all what is not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from export.builder import write_saved_model
from export.case import Case
from export.cases import make_cases
from export.cli import main
from export.eager import Eager
from export.hosting import Host
from export.manifest import write_manifest
from export.maps import draw_maps
from export.reporting.pictured import Collector
from export.reporting.plots import show
from export.reporting.verification import Run, report_of
from export.verification import verify
from serving_config.process import ModelServer
from signatures.contract import KeypointOptions, keypoints_contract
from signatures.keypoints import Keypoints

MAPS = draw_maps(2, 16, 20, 2)[0]
OPTIONS = {"height": 16, "width": 20, "channels": 2, "max_batch": 4, "max_peaks": 3,
           "names": "nose,<b>tail"}  # fmt: skip
OURS = KeypointOptions(refinement="gaussian", **OPTIONS)
# Another refinement, other points: what a wrong deployment looks like.
THEIRS = KeypointOptions(refinement="none", **OPTIONS)
CONTRACT = keypoints_contract(OURS)
HOST = Host("127.0.0.1:1", "127.0.0.1:2", "a test")


@pytest.fixture(scope="module")
def expected():
    """Every case that is answered, and what eager says: once for all tests."""
    eager = Eager(CONTRACT)
    cases = [case for case in make_cases(MAPS, CONTRACT) if not case.refused]
    return [(case, eager(case)) for case in cases]


class FromEager:
    """A client that answers what eager says, but for what is changed."""

    keeps_subnormals = True

    def __init__(self, transport, expected, change=lambda case, outputs: outputs):
        self.transport = transport
        self.change = change
        self.answers = {id(case.inputs): answer.outputs for case, answer in expected}

    def predict(self, signature, inputs, *, model, version=None):
        outputs = {name: array.copy() for name, array in self.answers[id(inputs)].items()}
        return self.change(signature, outputs)


def compared(expected, change=lambda case, outputs: outputs):
    """Plain data and pictures of a verification without a server; what comes over REST changes."""
    collector = Collector(CONTRACT)
    cases, answers = zip(*expected, strict=True)
    clients = [FromEager("gRPC", expected), FromEager("REST", expected, change)]
    remaining = iter(answers)
    report = verify(cases, clients, lambda _: next(remaining), CONTRACT, observe=collector)
    run = Run(3, "sha256:0123", "2026-01-02T03:04:05+00:00", 1.25)
    return report_of(report, CONTRACT, HOST, MAPS, None, run), collector.pictured()


@pytest.fixture(scope="module")
def equal(expected):
    return compared(expected)


def page_of(content, pictured, path):
    from export.reporting.verification_page import verification_page

    path.write_text(verification_page(content, CONTRACT, pictured))
    return path


def test_the_page_of_equal_answers(equal, tmp_path, check_page):
    content, pictured = equal
    page = check_page(page_of(content, pictured, tmp_path / "page.html"), "Served equals eager")
    assert [section["key"] for section in page.sections] == list(CONTRACT.signature_keys())
    assert all(section["tables"] >= 2 for section in page.sections)
    assert len(page.plots) == len(page.sections)
    assert all("eager, " in plot and "REST, " in plot for plot in page.plots)
    assert [shown.signature for shown in pictured] == ["keypoints", "quantized", "local_peaks"]
    assert len(page.images) == len(pictured)
    for text in ("2026-01-02 03:04 UTC", "keypoints version 3", "sha256:0123", "<b>tail",
                 "What differs"):  # fmt: skip
        assert (text in page.text) == (text != "What differs"), text


def test_what_is_pictured_is_what_was_compared(equal, expected):
    _, (shown, *_) = equal
    assert (shown.case, shown.sample, shown.picture.shape) == ("maps", 0, (16, 20))
    (answer,) = [answer for case, answer in expected if case.id == "keypoints-maps"]
    assert [mark.label for mark in shown.marks] == ["nose", "<b>tail"]
    for mark, xy in zip(shown.marks, answer.outputs["points"][0], strict=True):
        assert mark.eager == tuple(xy)
        (served,) = mark.served
        assert (served.transports, served.place) == ("gRPC, REST", tuple(xy))
        assert (served.apart, served.ulps) == (0, 0)


def test_maps_lie_where_their_points_do():
    """Between first and last pixels of map and image, which are of other shapes."""
    contract = keypoints_contract(
        KeypointOptions(height=16, width=64, channels=2, output_stride=4.0, coordinates="corners")
    )
    case = Case("keypoints", "maps", {"confmaps": draw_maps(1, 16, 64, 2)[0]})
    outputs = {"points": np.float32([[[0, 0], [255, 63]]]), "valid": np.ones((1, 2), bool),
               "confidences": np.ones((1, 2), np.float32)}  # fmt: skip
    collector = Collector(contract)
    collector(case, outputs, {"gRPC": outputs})
    (shown,) = collector.pictured()
    np.testing.assert_allclose(shown.factors, (255 / 63, 63 / 15), rtol=1e-6)
    axes = Figure().add_axes((0, 0, 1, 1))
    show(axes, shown)
    left, right, bottom, top = axes.get_images()[0].get_extent()
    np.testing.assert_allclose((right - left) / 64, 255 / 63, rtol=1e-6)
    np.testing.assert_allclose((bottom - top) / 16, 63 / 15, rtol=1e-6)


def one_point_moved(signature, outputs):
    if signature == "quantized" and len(outputs["points"]) == 2:
        outputs["points"][1, 0, 0] += 2
        outputs["valid"][0, 1] = False
    return outputs


def test_what_differs_comes_first_and_is_pictured(expected, tmp_path, check_page):
    content, pictured = compared(expected, one_point_moved)
    assert content["verdict"] == "different"
    assert [(row["transport"], row["wrong_outputs"]) for row in content["transports"]] == [
        ("gRPC", 0), ("REST", 4),
    ]  # fmt: skip
    first, plain = [shown for shown in pictured if shown.signature == "quantized"]
    assert (first.case, plain.case) == ("two", "maps")
    moved, *_ = first.marks
    assert moved.apart in (2, np.inf)
    assert [served.transports for served in moved.served] == ["gRPC", "REST"]
    page = check_page(
        page_of(content, pictured, tmp_path / "page.html"), "Served differs from eager"
    )
    differs, signatures = page.text.index("What differs"), page.text.index("\nSignatures")
    assert differs < signatures
    told = page.text[differs:signatures]
    assert "✕ 4 wrong" in told
    assert "over REST, output points at [1, 0, 0]" in told
    assert "expected" in told
    assert "no point" in told
    assert "Answers differ only over REST: look first at what lies between" in told
    assert "apart\n2, " in told
    assert "in 1 of 4 signatures" in page.text
    assert "quantized" in page.text[:differs]


@pytest.fixture(scope="module")
def wrong_server(tmp_path_factory):
    """A model root, of which the manifest is enough, and a server of another model."""
    root = tmp_path_factory.mktemp("roots")
    ours, theirs = (root / name / "keypoints" / "1" for name in ("ours", "theirs"))
    ours.mkdir(parents=True)
    (ours / "saved_model.pb").touch()
    write_manifest(ours, CONTRACT, content="sha256:4567", tensorflow_version="2.20")
    theirs.mkdir(parents=True)
    write_saved_model(Keypoints(THEIRS), theirs)
    with ModelServer("keypoints", root / "theirs" / "keypoints") as server:
        yield root / "ours", server


def test_the_command_on_another_model_than_ours(wrong_server, tmp_path, check_page):
    root, server = wrong_server
    np.savez(tmp_path / "maps.npz", confmaps=MAPS)
    page = tmp_path / "report.html"
    # In this process, which has TensorFlow already.
    done = CliRunner().invoke(
        main,
        ["verify", "--model", "keypoints", "--json", "--model-root", str(root),
         "--address", server.grpc_address, "--input", str(tmp_path / "maps.npz"),
         "--report", str(page)],
    )  # fmt: skip
    assert done.exit_code == 1, done.stderr
    assert f"report: {page}" in done.stderr
    told = json.loads(done.stdout)
    assert told["model"] == {"name": "keypoints", "version": 1, "content": "sha256:4567"}
    assert told["seconds"] > 0
    assert told["distinct_cases"] == len(told["cases"])
    shown = check_page(page, "Served differs from eager")
    assert shown.images[0]["alt"].startswith("The highest of all channels' maps")
    assert str(tmp_path / "maps.npz") in shown.text
    assert "sha256:4567" in shown.text
    (row,) = told["transports"]
    assert f"{row['wrong_outputs']} answers differ" in shown.text
    differences = shown.text[shown.text.index("What differs") : shown.text.index("\nSignatures")]
    assert "Every signature differs, over every transport: look first" in differences
    first, *_ = told["mismatches"]
    for text in (first["case"], f"{first['output']} at", first["expected"], first["got"]):
        assert text in differences, text


def test_a_case_has_its_times_and_its_inputs(equal):
    content, _ = equal
    case, *_ = content["cases"]
    assert case["inputs"] == {"confmaps": "float32 [1, 16, 20, 2]"}
    assert case["eager_ms"] > 0
    assert [served["transport"] for served in case["served"]] == ["gRPC", "REST"]
    assert all(served["ms"] > 0 and served["numbers"] > 0 for served in case["served"])
