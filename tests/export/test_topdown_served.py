"""Top-down models: exported with a replay, hosted, and looked at by the other commands."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from export import proof
from export.backbone import networks_of_version
from export.case import Case
from export.cases import make_cases
from export.cli import main
from export.comparison import excuse
from export.eager import Eager
from export.manifest import contract_of, read_manifest

SIZE = ("--image-height", "24", "--image-width", "32")


def peakserve(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory, networks):
    folder = tmp_path_factory.mktemp("networks")
    centroid = networks.save_every_nth_pixel(folder / "centroid", stride=2, maps=1)
    return {"centroid": centroid, "instance": networks.save_every_nth_pixel(folder / "instance")}


@pytest.fixture(scope="module")
def exported(tmp_path_factory, files):
    """The model root, and what the command said."""
    root = tmp_path_factory.mktemp("models")
    result = peakserve(
        *("export", "--model", "topdown", "--model-root", root, *SIZE),
        *("--centroid", files["centroid"], "--backbone", files["instance"]),
        *("--crop-size", 12, "--max-instances", 3, "--max-batch", 4),
        # Fits of Gaussians have tests of their own; here they would be a third of the time.
        *("--refinement", "integral", "--window", 3),
    )
    assert result.exit_code == 0, result.output
    return root, result.output


def test_export_replays_and_publishes(exported):
    root, output = exported
    assert "published topdown version 1" in output
    assert "maps of 3 channels, stride 2" in output
    options = read_manifest(root / "topdown" / "1")["model"]["options"]
    assert (options["channels"], options["centroid_stride"], options["crop_size"]) == (3, 2, 12)


def test_only_choices_near_a_tie_are_excused(exported):
    """One bright pixel each: seen, and compared; a tie between two nodes is the one node's."""
    directory = exported[0] / "topdown" / "1"
    contract = contract_of(read_manifest(directory))
    images = np.zeros((3, 24, 32, 3), np.uint8)
    images[:2, 10, 12] = (200, 150, 100)
    images[1, 8:10, 12, 1] = 150
    images[2] = 255
    case = Case("images", "three", {"images": images})
    expected = Eager(contract, networks_of_version(directory))(case)
    wanted = np.zeros((3, 3, 3), bool)
    wanted[1, 0, 1] = wanted[2] = True
    np.testing.assert_array_equal(expected.undecided, wanted)
    np.testing.assert_array_equal(expected.outputs["points"][0, 0], [[12, 10]] * 3)
    strengths = expected.outputs["instance_confidences"]
    np.testing.assert_array_equal(strengths > 0, [[True, False, False]] * 2 + [[False] * 3])
    _, places = excuse(strengths, strengths + 1, expected.undecided)
    assert places == ["[2, 0]", "[2, 1]", "[2, 2]"]


def test_the_embedded_host_answers_as_eager_does(exported, monkeypatch):
    """On the requests of which the wire makes something else; the replay asked all of them."""
    root, _ = exported
    asked = {"images": "two", "encoded_images": "bad_among_good", "serving_default": "one"}

    def some_cases(*inputs):
        return [case for case in make_cases(*inputs) if asked[case.signature] == case.name]

    monkeypatch.setattr(proof, "make_cases", some_cases)
    verified = peakserve(
        *("verify", "--model", "topdown", "--model-root", root, "--server", "embedded"),
        "--exact",
    )
    assert verified.exit_code == 0, verified.output
    assert "equal to the last bit" in verified.output
    for transport in ("gRPC", "REST", "REST rows"):
        assert re.search(rf"encoded_images +{transport} +1 +0 +[1-9]", verified.output)


def test_other_commands_know_the_family(exported):
    root, _ = exported
    inspected = peakserve("inspect", "--model", "topdown", "--model-root", root)
    assert inspected.exit_code == 0, inspected.output
    assert "instance_confidences" in inspected.output
    doctor = peakserve("doctor", root / "topdown" / "1", "--gpu", "--json")
    assert doctor.exit_code == 0, doctor.output
    codes = {finding["code"] for finding in json.loads(doctor.output)["findings"]}
    assert "no-gpu-kernel" not in codes


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--backbone", "instance"), "--centroid is missing"),
        (("--centroid", "centroid"), "--backbone is missing"),
        (("--centroid", "instance", "--backbone", "instance"), "one channel, got 3"),
        (("--centroid", "centroid", "--backbone", "instance"), "such as --crop-size 160"),
        (
            ("--centroid", "centroid", "--backbone", "instance", "--crop-size", "9000"),
            "crop_size: expected 1..2048, got 9000",
        ),
    ],
)
def test_one_sentence_says_what_is_missing(files, tmp_path, arguments, sentence):
    paths = [str(files.get(argument, argument)) for argument in arguments]
    result = peakserve("export", "--model", "topdown", "--model-root", tmp_path, *SIZE, *paths)
    assert result.exit_code != 0
    assert sentence in result.output
    assert not list(tmp_path.iterdir())
