"""SLEAP's model folders: what is read, and points equal to SLEAP's own arithmetic."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from export.adapters.sleap_config import read_sleap

from .sleap_folder import HEADS, STRIDE, configuration, pixels_network, write


def bilinear(image, scale):
    """TensorFlow's resizing without anti-aliasing, in float64: sizes are rounded down."""
    for axis in (0, 1):
        before = image.shape[axis]
        after = int(before * scale)
        places = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, before - 1)
        share = (places - low).reshape([-1 if i == axis else 1 for i in range(image.ndim)])
        image = image.take(low, axis) * (1 - share) + image.take(high, axis) * share
    return image


def sleap_points(image, scale, pad):
    """SLEAP 1.x without refinement: (x, y) of the first two channels, 0.5 pixels too far."""
    scaled = bilinear(image.astype(np.float64) / 255, scale) if scale != 1 else image / 255
    rows, cols = (-(-size // pad) * pad for size in scaled.shape[:2])
    padded = np.zeros((rows, cols, 3))
    padded[: scaled.shape[0], : scaled.shape[1]] = scaled
    points = []
    for channel in range(2):
        maps = padded[::STRIDE, ::STRIDE, channel]
        row, col = np.unravel_index(maps.argmax(), maps.shape)
        points.append(np.array([col, row]) * STRIDE / scale + (0.5 if scale != 1 else 0))
    return np.array(points)


@pytest.mark.parametrize("size", [(48, 64), (37, 51), (5, 7)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.75])
def test_points_are_sleaps_but_for_its_half_pixel(tmp_path, adapted, answers, size, scale):
    folder = write(
        tmp_path / "model",
        configuration(scale=scale),
        pixels_network(HEADS["single_instance"]),
    )
    adapted("sleap", folder, "--out", tmp_path / "net")
    images = np.random.default_rng(0).integers(0, 200, (3, *size, 3), np.uint8)
    images[0, -2:, -2:] = 250
    images[1, 0, 0] = 255
    points, _ = answers(tmp_path / "net", images, refinement="none")
    wanted = np.stack([sleap_points(image, scale, 4) for image in images])
    half = 0.5 if scale != 1 else 0.0
    # One rounding of the factor.
    np.testing.assert_array_max_ulp(points, (wanted - half).astype(np.float32), maxulp=1)


@pytest.mark.parametrize("kind", ["single_instance", "centered_instance"])
def test_learned_offsets_are_followed(tmp_path, adapted, answers, kind):
    config = configuration(kind, scale=1.0, offset_refinement=True)
    folder = write(tmp_path / "model", config, pixels_network(HEADS[kind], offsets=True))
    adapted("sleap", folder, "--out", tmp_path / "net")
    images = np.zeros((1, 21, 31, 3), np.uint8)
    images[0, 8, 10] = (255, 0, 0)
    images[0, 20, 30] = (0, 128, 0)
    points, confidences = answers(tmp_path / "net", images)
    share = 128 / 255
    wanted = [[10 + 0.6, 8 - 0.4], [30 + 0.5 * share, 20 + 1.8 * share]]
    np.testing.assert_allclose(points[0], wanted, atol=1e-5)
    np.testing.assert_array_equal(confidences[0], np.float32([1, 128 * np.float32(1 / 255)]))


def test_a_network_of_grey_images(tmp_path, adapted, answers):
    folder = write(
        tmp_path / "model", configuration(), pixels_network(HEADS["single_instance"], channels=1)
    )
    adapted("sleap", folder, "--out", tmp_path / "net")
    images = np.zeros((1, 37, 51, 1), np.uint8)
    images[0, 12:14, 20:22] = 255
    points, _ = answers(tmp_path / "net", images, refinement="none")
    np.testing.assert_array_equal(points[0], [[20, 12]] * 2)


def test_what_export_is_told(tmp_path, adapted):
    """Of either half of a top-down model; the command that is printed is complete."""
    said = {}
    for kind in ("centroid", "centered_instance"):
        network = pixels_network(HEADS[kind], channels=1)
        folder = write(tmp_path / kind, configuration(kind), network)
        said[kind] = json.loads(
            adapted("sleap", folder, "--out", tmp_path / f"{kind}_net", "--json")
        )
    assert said["centroid"]["role"] == "centroid"
    assert said["centroid"]["options"] == {
        "input_scale": 0.5,
        "pad_to": 4,
        "grayscale": True,
        "coordinates": "scaled",
    }
    instance = said["centered_instance"]
    assert (instance["role"], instance["options"]["crop_size"]) == ("instance", 16)
    assert instance["options"]["names"] == "A,B"
    assert instance["export"] == (
        "peakserve export --model topdown --centroid FOLDER_OF_THE_OTHER --backbone "
        f"{instance['network']} --instance-scale 0.5 --grayscale --refinement gaussian --window 7 "
        "--crop-size 16 --names A,B"
    )
    assert "--centroid-scale 0.5 --centroid-pad-to 4" in said["centroid"]["export"]
    assert "SLEAP adds 0.5 pixels" in said["centroid"]["notes"][0]


@pytest.mark.parametrize(
    ("change", "names"),
    [({}, ("A", "B")), ({"part_names": None}, ("tail", "nose", "neck", "ear"))],
    ids=["head", "skeleton"],
)
def test_names_are_those_of_the_head_or_of_the_skeleton(tmp_path, change, names):
    assert read_sleap(write(tmp_path / "m", configuration(**change))).names == names


def test_the_configuration_before_training_says_less(tmp_path):
    config = configuration("centered_instance", part_names=None, sigma=None, pad=None)
    config["data"]["labels"]["skeletons"] = []
    config["data"]["instance_cropping"] = None
    model = read_sleap(write(tmp_path / "m", config, name="initial_config.json"))
    assert (model.names, model.pad_to, model.crop_size) == ((), 4, None)
    facts = model.facts(grayscale=False, window=None)
    assert "crop_size" not in facts.options
    assert "refinement" not in facts.options
    assert any("pass --crop-size" in note for note in facts.notes)


def test_what_is_refused(tmp_path, refusal):
    def said(config, network=None):
        folder = write(tmp_path / "model", config, network)
        return refusal("adapt", "sleap", folder, "--out", tmp_path / "out")

    assert "bottom-up networks need" in said(configuration("multi_instance"))
    assert "got none" in said({**configuration(), "model": {"heads": {}}})
    assert "KeyError 'model'" in said({"data": {}})
    config = configuration()
    config["data"]["preprocessing"]["imagenet_mode"] = "caffe"
    assert "imagenet_mode 'caffe' is not supported" in said(config)
    other = pixels_network("CentroidConfmapsHead")
    assert "expected an output SingleInstanceConfmapsHead" in said(configuration(), other)
    more = configuration(part_names=["A", "B", "C"])
    network = pixels_network(HEADS["single_instance"])
    assert "expected 2 names, one for each map of the network, got 3: A,B,C" in said(more, network)
    assert not (tmp_path / "out").exists()
    (tmp_path / "model" / "best_model.h5").unlink()
    assert "without best_model.h5" in refusal(
        "adapt", "sleap", tmp_path / "model", "--out", tmp_path / "out"
    )
    (tmp_path / "model" / "training_config.json").write_text("{")
    (tmp_path / "model" / "best_model.h5").touch()
    assert "JSONDecodeError" in refusal(
        "adapt", "sleap", tmp_path / "model", "--out", tmp_path / "out"
    )


def test_the_real_robot(tmp_path, real_data, adapted, answers):
    """Its maps are those of the original, on its frames; labels are near."""
    network = keras.models.load_model(real_data / "robot_backbone" / "robot_dynamic.keras")
    image = keras.Input((160, 280, 3))
    head = keras.layers.Activation("linear", name="SingleInstanceConfmapsHead_0")
    folder = write(
        tmp_path / "robot",
        configuration(sigma=5.0, pad=4),
        keras.Model(image, head(network(image))),
    )
    adapted("sleap", folder, "--out", tmp_path / "net")
    data = np.load(real_data / "robot_single.npz")
    labelled = np.isfinite(data["gt_img"]).any(axis=(1, 2))
    chosen = labelled | (np.arange(len(labelled)) < 3)
    images, labels, confmaps = (data[key][chosen] for key in ("images", "gt_img", "confmaps"))
    points, _ = answers(tmp_path / "net", images, refinement="none", pad_to=8)
    flat = confmaps.reshape(len(confmaps), -1, 2).argmax(1)
    wanted = np.stack([flat % confmaps.shape[2], flat // confmaps.shape[2]], -1) * 8
    np.testing.assert_array_equal(points, wanted)
    points, _ = answers(tmp_path / "net", images)
    distances = np.linalg.norm(points - labels, axis=-1)
    assert np.nanmean(distances) < 6
