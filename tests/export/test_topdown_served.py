"""Top-down models: exported with a replay, hosted, and looked at by the other commands."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from export.backbone import networks_of_version
from export.cases import make_cases
from export.cli import main
from export.eager import Eager
from export.manifest import contract_of, read_manifest
from export.maps import draw_maps
from export.verification import verify
from serving_config.grpc_client import GrpcClient
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST
from serving_config.rest_client import RestClient

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
        *("--crop-size", 12, "--max-instances", 3, "--max-batch", 4, "--window", 3),
    )
    assert result.exit_code == 0, result.output
    return root, result.output


def test_export_replays_and_publishes(exported):
    root, output = exported
    assert "published topdown version 1" in output
    assert "maps of 3 channels, stride 2" in output
    options = read_manifest(root / "topdown" / "1")["model"]["options"]
    assert (options["channels"], options["centroid_stride"], options["crop_size"]) == (3, 2, 12)


@pytest.fixture(scope="module")
def host(exported):
    with ModelServer("topdown", exported[0] / "topdown", program=EMBEDDED_HOST) as server:
        yield server


def test_every_case_equals_eager(host, exported):
    directory = exported[0] / "topdown" / "1"
    contract = contract_of(read_manifest(directory))
    cases = [
        case
        for case in make_cases(draw_maps(2, 12, 16, 3)[0], contract)
        if case.signature == "images"
    ]
    about = {"model": "topdown", "contracts": {"topdown": contract}}
    eager = Eager(contract, networks_of_version(directory))
    with (
        GrpcClient(host.grpc_address, **about) as grpc,
        RestClient(host.rest_address, rows=True, **about) as rest,
    ):
        report = verify(cases, [grpc, rest], eager, contract, exact=True)
    report.raise_if_different()
    assert sum(tally.cases for tally in report.tallies) == 2 * len(cases)
    # Drawn blobs are seen, and what is compared is more than zeros.
    expected = eager(cases[0])
    assert expected.outputs["instance_confidences"].any()
    assert expected.outputs["valid"].any()


def test_a_choice_far_from_a_tie_is_compared(exported):
    """One bright pixel: nothing of its sample is excused, for all that other samples are."""
    from export.case import Case

    directory = exported[0] / "topdown" / "1"
    contract = contract_of(read_manifest(directory))
    images = np.zeros((2, 24, 32, 3), np.uint8)
    images[0, 10, 12] = (200, 150, 100)
    images[1, :, :] = 255
    undecided = Eager(contract, networks_of_version(directory)).undecided(
        Case("images", "two", {"images": images})
    )
    np.testing.assert_array_equal(undecided, [[False] * 3, [True] * 3])


def test_other_commands_know_the_family(exported, host):
    root, _ = exported
    inspected = peakserve("inspect", "--model", "topdown", "--model-root", root)
    assert inspected.exit_code == 0, inspected.output
    assert "instance_confidences" in inspected.output
    verified = peakserve(
        *("verify", "--model", "topdown", "--model-root", root),
        *("--address", host.grpc_address, "--rest-address", host.rest_address),
    )
    assert verified.exit_code == 0, verified.output
    doctor = peakserve("doctor", root / "topdown" / "1", "--json")
    assert doctor.exit_code == 0, doctor.output
    json.loads(doctor.output)
