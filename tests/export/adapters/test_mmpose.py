"""MMPose's networks: what is read of configurations, and points equal to MMPose's own decoding."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from export.adapters.facts import AdapterError
from export.adapters.mmpose_config import read_mmpose

from .mmpose_network import (
    COLS,
    HEIGHT,
    MEAN,
    ROWS,
    SIGMA,
    STD,
    WIDTH,
    configuration,
    every_fourth_pixel,
    save,
    write_config,
)

LARGE = {"input_size": [192, 256], "heatmap_size": [48, 64]}


def blobs(strides, sigma=SIGMA):
    """A network that answers each channel with a Gaussian around the channel's largest value."""

    def network(image):
        flat = tf.reshape(image, [-1, 256 * 192, 3])
        index = tf.argmax(flat, axis=1, output_type=tf.int32)
        x = tf.cast(index % 192, tf.float32) / np.float32(strides[0])
        y = tf.cast(index // 192, tf.float32) / np.float32(strides[1])
        cols = tf.range(48, dtype=tf.float32)[None, None, :, None] - x[:, None, None, :]
        rows = tf.range(64, dtype=tf.float32)[None, :, None, None] - y[:, None, None, :]
        return tf.exp(-(cols**2 + rows**2) / (2 * sigma**2))

    return network


def images_with(places):
    """One image, the brightest pixel of each channel at a place (x, y)."""
    images = np.random.default_rng(1).integers(0, 100, (1, 256, 192, 3), np.uint8)
    for channel, (x, y) in enumerate(places):
        images[0, y, x, channel] = 255
    return images


PLACES = [(43, 72), (103, 141), (150, 205)]


@pytest.mark.parametrize("first", [False, True], ids=["channels_last", "channels_first"])
@pytest.mark.parametrize("order", [{"bgr_to_rgb": True}, {"bgr_to_rgb": False}, {"rgb_to_bgr": 1}])
def test_preprocessing_and_decoding_are_mmposes(tmp_path, adapted, model_of, first, order):
    """MSRA without refinement by a fit: argmax and a quarter pixel, times input / map."""
    config = write_config(tmp_path, configuration(**{"bgr_to_rgb": False, **order}))
    source = save(tmp_path / "converted", every_fourth_pixel, first=first)
    adapted("mmpose", source, "--config", config, "--out", tmp_path / "net")
    images = np.random.default_rng(0).integers(0, 200, (4, HEIGHT, WIDTH, 3), np.uint8)
    for number in range(4):
        images[number, 8 + 12 * number, 4 * (3 + number)] = 250
    swapped = any(order.values())
    seen = images if swapped else images[..., ::-1]
    maps = ((seen.astype(np.float64) - MEAN) / STD)[:, ::4, ::4]
    module = model_of(tmp_path / "net", threshold=-1e9)
    np.testing.assert_allclose(
        module.maps_of("images", tf.constant(images)), maps, rtol=2e-6, atol=1e-6
    )
    points, *_ = module.stages["images"].whole(tf.constant(images))
    np.testing.assert_array_equal(points, msra_points(maps))


def msra_points(maps):
    """(x, y) in pixels of the input, of peaks inside: at the border MMPose moves others than we do."""
    points = np.zeros((len(maps), maps.shape[3], 2))
    for n in range(len(maps)):
        for k in range(maps.shape[3]):
            heatmap = maps[n, :, :, k]
            y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
            points[n, k] = x, y
            assert 1 < x < COLS - 1
            assert 1 < y < ROWS - 1
            along = heatmap[y, x + 1] - heatmap[y, x - 1], heatmap[y + 1, x] - heatmap[y - 1, x]
            points[n, k] += 0.25 * np.sign(along)
    return points * [WIDTH / COLS, HEIGHT / ROWS]


@pytest.mark.parametrize(
    ("codec", "strides", "reach"),
    [({"type": "UDPHeatmap"}, (191 / 47, 255 / 63), 1), ({"unbiased": True}, (4, 4), 2)],
    ids=["UDP", "MSRA_unbiased"],
)
def test_blobs_come_back_where_they_are(tmp_path, adapted, answers, codec, strides, reach, tell):
    config = write_config(tmp_path, configuration({**codec, **LARGE}))
    source = save(tmp_path / "converted", blobs(strides), size=(256, 192))
    adapted("mmpose", source, "--config", config, "--out", tmp_path / "net")
    images = images_with(PLACES)
    points, _ = answers(tmp_path / "net", images)
    np.testing.assert_allclose(points[0], PLACES, atol=5e-5)
    maps = blobs(strides)(tf.constant(images, tf.float32)).numpy()
    theirs = dark_points(maps[0], reach) * strides
    tell(f"{codec}: {np.abs(points[0] - theirs).max():.4f} pixels from MMPose's DARK")
    np.testing.assert_allclose(points[0], theirs, atol=0.02)


def dark_points(maps, reach):
    """MMPose's DARK: blurred, logarithm, one Newton step; curvature over so many pixels."""
    sides = np.arange(-5, 6)
    kernel = np.exp(-(sides**2) / 8.0)
    kernel /= kernel.sum()
    points = []
    for k in range(maps.shape[2]):
        heatmap = np.pad(maps[:, :, k].astype(np.float64), 5)
        for axis in (0, 1):
            heatmap = np.apply_along_axis(np.convolve, axis, heatmap, kernel, mode="same")
        heatmap = heatmap[5:-5, 5:-5] * maps[:, :, k].max() / heatmap.max()
        logs = np.log(np.clip(heatmap, 1e-3, 50))
        y, x = np.unravel_index(maps[:, :, k].argmax(), heatmap.shape)

        def step(along):
            slope = 0.5 * (along[3] - along[1])
            bend = (along[2 + reach] - 2 * along[2] + along[2 - reach]) / reach**2
            return -slope / bend

        points.append([x + step(logs[y, x - 2 : x + 3]), y + step(logs[y - 2 : y + 3, x])])
    return np.array(points)


def test_python_configurations_are_read_and_not_run(tmp_path):
    data = configuration()
    by_json = read_mmpose(write_config(tmp_path, data))
    assert read_mmpose(write_config(tmp_path, data, "config.py")) == by_json
    dumped = tmp_path / "dumped.py"
    codec = f"dict(type='MSRAHeatmap', input_size=({WIDTH}, {HEIGHT}), heatmap_size=({COLS}, {ROWS}), sigma=2)"
    dumped.write_text(
        f"'''A dump.'''\ncodec = {codec}\nlow = -1.5\nmodel = dict(data_preprocessor=dict("
        f"mean={MEAN}, std={STD}, bgr_to_rgb=True), head=dict(type='HeatmapHead', decoder=codec))\n"
    )
    assert read_mmpose(dumped) == by_json
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(AdapterError, match="line 1 is no assignment of a value, and nothing is"):
        read_mmpose(trap)
    trap.write_text(f"model = open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(AdapterError, match="line 1 is no plain value, and nothing is run"):
        read_mmpose(trap)
    assert not (tmp_path / "ran").exists()
    trap.write_text("common = dict(sigma=3)\ncodec = dict(type='MSRAHeatmap', **common)\n")
    with pytest.raises(AdapterError, match="line 2 is no plain value, and nothing is run"):
        read_mmpose(trap)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (configuration({"type": "SimCCLabel"}), "expected a codec of heatmaps, .* got SimCCLabel"),
        (configuration({"type": "RegressionLabel"}), "got RegressionLabel of HeatmapHead"),
        (
            configuration({"type": "UDPHeatmap", "heatmap_type": "combined"}),
            "expected heatmap_type gaussian of UDPHeatmap, got combined",
        ),
        ({"_base_": ["other.py"]}, "got one that builds on others; resolve it with: python -c"),
        ({"model": {}}, "KeyError 'head'"),
        ([], "expected a resolved configuration"),
    ],
    ids=["simcc", "regression", "combined", "base", "no_head", "list"],
)
def test_configurations_that_are_refused(tmp_path, data, sentence):
    with pytest.raises(AdapterError, match=sentence):
        read_mmpose(write_config(tmp_path, data))


def test_several_codecs_are_refused(tmp_path):
    data = configuration()
    data["model"]["head"]["decoder"] = [data["codec"]] * 2
    with pytest.raises(AdapterError, match="expected one codec, got 2"):
        read_mmpose(write_config(tmp_path, data))


def test_networks_that_do_not_fit_are_refused(tmp_path, refusal):
    config = write_config(tmp_path, configuration())

    def said(name, function, **how):
        source = save(tmp_path / name, function, **how)
        return refusal("adapt", "mmpose", source, "--config", config, "--out", tmp_path / "out")

    assert "any number of samples, got 1" in said("one", every_fourth_pixel, samples=1)
    assert "expected maps of 16 x 12" in said("half", lambda image: image[:, ::2, ::2])
    assert "expected maps of 16 x 12" in said("flat", lambda image: image[:, 0, :, 0])
    wide = configuration({"input_size": [64, 64]})
    config = write_config(tmp_path, wide)
    assert "expected an input [samples, 64, 64, 3]" in said("size", every_fourth_pixel)
    assert not (tmp_path / "out").exists()
