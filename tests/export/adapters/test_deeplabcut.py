"""DeepLabCut's exported graphs: what is read, and points equal to DeepLabCut's own arithmetic."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from .deeplabcut_folder import MEAN, STRIDE, UNIT, targets_of, write


def stub(images):
    """What `cells_of` computes, in NumPy: logits and offsets at the middle of every cell."""
    rows, cols = (-(-size // 16) * 2 for size in images.shape[1:3])
    padded = np.zeros((len(images), rows * STRIDE, cols * STRIDE, 3), np.float32)
    padded[:, : images.shape[1], : images.shape[2]] = images
    cells = padded[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE] - MEAN
    return cells[..., :2] / 32, cells[..., [2, 2, 2, 1]] * np.float32([0.01, -0.01, 0.004, 0.01])


def deeplabcuts_points(images, *, offsets=True):
    """argmax, times stride, plus half a stride, plus offset: (x, y) and likelihood."""
    logits, moved = stub(images)
    points = np.zeros((len(images), 2, 2))
    likelihoods = np.zeros((len(images), 2))
    for n in range(len(images)):
        for k in range(2):
            row, col = np.unravel_index(logits[n, :, :, k].argmax(), logits.shape[1:3])
            points[n, k] = np.array([col, row]) * STRIDE + STRIDE / 2
            if offsets:
                points[n, k] += moved[n, row, col, 2 * k : 2 * k + 2] * UNIT
            likelihoods[n, k] = 1 / (1 + np.exp(-np.float64(logits[n, row, col, k])))
    return points, likelihoods


def drawn_images(size, count=6, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "layer"), [((37, 51), "block4"), ((100, 70), "Conv2d_transpose")], ids=str
)
def test_points_are_deeplabcuts(tmp_path, adapted, answers, size, layer):
    """Offsets of up to 14 pixels, from cells at every border."""
    folder = write(tmp_path / "exported", layer=layer)
    adapted("deeplabcut", folder, "--out", tmp_path / "net")
    images = drawn_images(size)
    for number, place in enumerate([(4, 4), (-1, -1), (4, -1)]):
        rows, cols = (np.array(size) - 5) // STRIDE * STRIDE + 4
        place = (rows if place[0] < 0 else 4, cols if place[1] < 0 else 4)
        images[number, place[0], place[1]] = (255, 255, 0)
    points, confidences = answers(tmp_path / "net", images)
    wanted, likelihoods = deeplabcuts_points(images)
    np.testing.assert_allclose(points, wanted, atol=2e-4)
    np.testing.assert_allclose(confidences, likelihoods, rtol=1e-6)


@pytest.mark.parametrize("size", [(64, 96), (37, 51), (100, 70)], ids=str)
def test_without_offsets_points_are_the_middles_of_cells(tmp_path, adapted, answers, size):
    folder = write(tmp_path / "exported")
    adapted("deeplabcut", folder, "--out", tmp_path / "net", "--no-offsets")
    images = drawn_images(size)
    points, _ = answers(tmp_path / "net", images)
    wanted, _ = deeplabcuts_points(images, offsets=False)
    np.testing.assert_array_equal(points, wanted)
    whole, _ = deeplabcuts_points(images)
    assert np.abs(points - whole).max() > 5


def test_what_is_lost_without_offsets(tmp_path, adapted, answers, tell):
    """Answers as trained: scores are the same on a disc, so that its largest may be anywhere."""
    folder = write(tmp_path / "exported", answers=targets_of)
    images = np.zeros((500, 96, 96, 3), np.uint8)
    images[:, 0, :2, :2] = np.random.default_rng(0).integers(24, 73, (500, 2, 2))
    errors = {}
    for option in ("--offsets", "--no-offsets"):
        adapted("deeplabcut", folder, "--out", tmp_path / option, option)
        points, _ = answers(tmp_path / option, images)
        errors[option] = np.linalg.norm(points - images[:, 0, :2, :2], axis=-1)
    assert errors["--offsets"].max() < 1e-3
    nearest, outermost = errors["--no-offsets"].mean(axis=0)
    tell(f"without offsets: {nearest:.1f} pixels if nearest cells score most, {outermost:.1f} else")
    assert 2.9 < nearest < 3.2
    assert 14 < outermost < 17


def test_a_network_without_offsets(tmp_path, adapted, answers):
    folder = write(tmp_path / "exported", location_refinement=False)
    assert "offsets are not used" in adapted("deeplabcut", folder, "--out", tmp_path / "net")
    images = drawn_images((37, 51))
    points, _ = answers(tmp_path / "net", images)
    np.testing.assert_array_equal(points, deeplabcuts_points(images, offsets=False)[0])


def test_what_export_is_told(tmp_path, adapted):
    said = json.loads(
        adapted("deeplabcut", write(tmp_path / "e"), "--out", tmp_path / "net", "--json")
    )
    assert said["options"] == {
        "input_max": 255.0,
        "coordinates": "cells",
        "refinement": "gaussian",
        "window": 5,
        "names": "nose,tail base",
    }
    assert said["export"] == (
        f"peakserve export --model keypoints --backbone {tmp_path / 'net'} --input-max 255 "
        "--coordinates cells --refinement gaussian --window 5 --names 'nose,tail base'"
    )


def test_any_number_of_images_whatever_the_graph_was_exported_for(tmp_path, adapted):
    adapted("deeplabcut", write(tmp_path / "exported"), "--out", tmp_path / "net", "--no-offsets")
    (function,) = tf.saved_model.load(tmp_path / "net").signatures.values()
    assert function.structured_outputs["confmaps"].shape.as_list() == [None, None, None, 2]


def test_what_is_refused(tmp_path, refusal):
    folder, out = tmp_path / "exported", ("--out", tmp_path / "out")
    folder.mkdir()
    assert "got no pose_cfg.yaml" in refusal("adapt", "deeplabcut", folder, *out)
    write(folder, dataset_type="multi-animal-imgaug")
    assert "expected a network of one animal" in refusal("adapt", "deeplabcut", folder, *out)
    write(folder, layer="a/b")
    assert "expected one node pose/part_pred" in refusal("adapt", "deeplabcut", folder, *out)
    write(folder)
    (folder / "snapshot-1000.pb").write_bytes(b"\xff\xff\xff")
    assert "got a damaged file" in refusal("adapt", "deeplabcut", folder, *out)
    (folder / "other.pb").touch()
    assert "got 2 of the latter" in refusal("adapt", "deeplabcut", folder, *out)
    (folder / "other.pb").unlink()
    (folder / "pose_cfg.yaml").write_text("stride: 8.0")
    assert "KeyError 'all_joints_names'" in refusal("adapt", "deeplabcut", folder, *out)
    (folder / "pose_cfg.yaml").write_text("a: [")
    assert "ParserError" in refusal("adapt", "deeplabcut", folder, *out)
