"""Confidence maps in the overlay: whose they are, and that they lie where the model puts them."""

from __future__ import annotations

import numpy as np
import pytest

from export.manifest import write_manifest
from export.prediction.map_layer import OPACITY, Sent, blank, blended, placed_by
from export.prediction.overlay import colour_of
from signatures.contract import KeypointOptions, keypoints_contract

from .fake_model import FakeModel
from .frames import images, maps, save_picture, save_video

Image = pytest.importorskip("PIL.Image", reason="no Pillow: pip install 'peakserve[video]'")
COLOURS = [np.array(colour_of(channel)) for channel in range(3)]


def one_hot(row, col, channel=0, height=5, width=7):
    found = np.zeros((height, width, 2), np.float32)
    found[row, col, channel] = 1
    return found


def cover_of(picture, channel=0):
    """How much of a black picture's pixels a channel covers, 1 for all there may be."""
    return (
        np.asarray(picture).astype(float)
        @ COLOURS[channel]
        / (OPACITY * COLOURS[channel] @ COLOURS[channel])
    )


@pytest.mark.parametrize("shift", [0.0, 1.5, -0.5])
@pytest.mark.parametrize("factor", [1.0, 4.0, 2.5])
def test_a_pixel_is_where_the_convention_puts_it(factor, shift):
    """A tent of the map pixel's width around `pixel * factor + shift`, per axis."""
    placement = np.float32([factor, factor, shift, shift])
    picture = blended(Image.new("RGB", (40, 30)), one_hot(2, 3), placement)
    y, x = (np.maximum(0, 1 - np.abs(np.arange(size) - at * factor - shift) / factor)
            for size, at in ((30, 2), (40, 3)))  # fmt: skip
    np.testing.assert_allclose(cover_of(picture), y[:, None] * x, atol=0.02)


def test_axes_have_factors_of_their_own():
    picture = blended(Image.new("RGB", (40, 30)), one_hot(2, 3, 1), np.float32([5, 3, 1, 2]))
    row, col = np.unravel_index(cover_of(picture, 1).argmax(), (30, 40))
    assert (row, col) == (2 * 3 + 2, 3 * 5 + 1)


def test_maps_end_half_a_pixel_beyond_their_last():
    """Of a padded or cropped image: no smear over what the network did not see."""
    full = np.ones((3, 4, 1), np.float32)
    cover = cover_of(blended(Image.new("RGB", (40, 30)), full, np.float32([4, 4, 0, 0])))
    inside = cover > 0.5
    assert inside[: 2 * 4 + 3, : 3 * 4 + 3].all()
    assert inside.sum() == 11 * 15


def test_confidences_cover_and_others_do_not():
    row = np.float32([0.5, 1, 7, -3, np.nan, np.inf, -np.inf, 0])[None, :, None]
    flat = np.float32([1, 1, 0, 0])
    got = cover_of(blended(Image.new("RGB", (8, 1)), row, flat))[0]
    np.testing.assert_allclose(got, [0.5, 1, 1, 0, 0, 1, 0, 0], atol=0.02)
    # On what is not black a gap in the map is the picture.
    grey = blended(Image.new("RGB", (8, 1), (90,) * 3), row, flat)
    assert [grey.getpixel((x, 0)) for x in (3, 4, 6, 7)] == [(90,) * 3] * 4
    of_bytes = np.uint8([0, 51, 255])[None, :, None]
    got = cover_of(blended(Image.new("RGB", (3, 1)), of_bytes, flat))[0]
    np.testing.assert_allclose(got, [0, 0.2, 1], atol=0.02)


@pytest.mark.parametrize("grey", [0, 128, 255], ids=["dark", "grey", "light"])
def test_the_strongest_channel_is_seen_on_every_ground(grey):
    two = np.dstack([np.full((1, 2), 0.9), np.float32([[0.5, 1]])]).astype(np.float32)
    picture = Image.new("RGB", (2, 1), (grey,) * 3)
    left, right = np.asarray(blended(picture, two, np.float32([1, 1, 0, 0])))[0].astype(int)
    np.testing.assert_allclose(
        left, OPACITY * 0.9 * COLOURS[0] + (1 - OPACITY * 0.9) * grey, atol=1
    )
    np.testing.assert_allclose(right, OPACITY * COLOURS[1] + (1 - OPACITY) * grey, atol=1)
    assert np.abs(left - grey).max() > 60
    assert picture.getpixel((0, 0)) == (grey,) * 3


def test_a_blank_picture_has_the_image_s_size():
    assert blank((40, 70), Sent(np.float32([8, 8, 0, 0]))).shape == (320, 560, 3)
    assert blank((3, 5), Sent(np.float32([0.1, 0.1, 0, 0]))).shape == (1, 1, 3)


def test_a_blank_picture_ends_where_the_outermost_pixels_do():
    options = KeypointOptions(
        height=64, width=48, channels=2, coordinates="corners", output_stride=4.0
    )
    sent = placed_by(keypoints_contract(options))
    assert blank((64, 48), sent).shape == (256, 192, 3)
    np.testing.assert_allclose(sent.placement, [191 / 47, 255 / 63, 0, 0])


@pytest.fixture
def answering():
    model = FakeModel(signatures=("images", "encoded_images", "images_with_maps"))
    yield model
    model.stop()


def test_a_video_is_asked_once_for_points_and_maps(predict, tmp_path, answering):
    video = save_video(tmp_path / "clip.mkv", images(9, height=4, width=6))
    drawn, plain = tmp_path / "drawn", tmp_path / "plain"
    options = ["--maps", "--overlay", drawn, "--in-flight", 2]
    done = predict(video, *options, address=answering.address)
    assert done.exit_code == 0, done.stderr
    assert sorted(answering.sizes) == [1, 4, 4]
    assert answering.most <= 2
    other = predict(video, "--overlay", plain, address=answering.address)
    assert done.stdout == other.stdout
    # Frame 2 is red at (2, 0), which is a pixel of the map; each pixel is drawn as 60.
    under, above = (np.asarray(Image.open(folder / "000002.png")) for folder in (drawn, plain))
    tint = np.asarray(blended(Image.fromarray(images(3)[2]), images(3)[2, ::2, ::2], [2, 2, 0, 0]))
    np.testing.assert_array_equal(under[3::60, 3::60], tint)
    np.testing.assert_array_equal(above[3::60, 3::60], images(3)[2])
    # Asked for without --maps, they are answered and not drawn.
    options = ["--signature", "images_with_maps", "--overlay", tmp_path / "named"]
    assert predict(video, *options, address=answering.address).exit_code == 0
    named = np.asarray(Image.open(tmp_path / "named" / "000002.png"))
    np.testing.assert_array_equal(named, above)


def test_pictures_are_decoded_here(predict, tmp_path, answering):
    shot = save_picture(tmp_path / "shot.png", images(1)[0])
    done = predict(shot, "--maps", "--overlay", tmp_path / "d.png", address=answering.address)
    assert done.stdout.splitlines()[1] == "0,node0,0.0,0.0,255.0"


@pytest.fixture
def model_root(tmp_path):
    directory = tmp_path / "models" / "keypoints" / "1"
    directory.mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"")
    options = KeypointOptions(height=4, width=6, channels=2, max_peaks=3, output_stride=10.0)
    write_manifest(directory, keypoints_contract(options), content=None, tensorflow_version="")
    return tmp_path / "models"


@pytest.mark.parametrize("signature", ["keypoints", "local_peaks", "quantized"])
def test_maps_that_are_sent_are_drawn(signature, predict, tmp_path, model_root):
    content = maps(2) if signature != "quantized" else (maps(2) * 100).astype(np.uint8)
    np.save(tmp_path / "m.npy", content)
    options = ["--maps", "--model-root", model_root, "--signature", signature]
    done = predict(tmp_path / "m.npy", "--overlay", tmp_path / "drawn", *options)
    assert done.exit_code == 0, done.stderr
    picture = Image.open(tmp_path / "drawn" / "000001.png")
    # 40 x 60 pixels are enlarged by 6: the peak of channel 1 at (5, 3) is at (50, 30) before.
    assert picture.size == (360, 240)
    strength = min(1.0, float(content[1, 3, 5, 1]) / (255 if signature == "quantized" else 1))
    want = OPACITY * strength * COLOURS[1]
    np.testing.assert_allclose(picture.getpixel((50 * 6 + 3, 30 * 6 + 3)), want, atol=1)
    # Three tenths of a map's pixel before it, where there are no others.
    np.testing.assert_allclose(picture.getpixel((50 * 6 + 3, 27 * 6 + 3)), 0.7 * want, atol=2)


def test_without_the_manifest_nobody_knows_where(predict, tmp_path, model):
    np.save(tmp_path / "m.npy", maps(2))
    done = predict(tmp_path / "m.npy", "--overlay", tmp_path / "drawn", "--maps")
    assert done.stderr == (
        "Error: --maps: expected --model-root DIR beside INPUT of maps, whose manifest says how "
        "many pixels of the image a pixel of the map is, got none; pass the folder that the model "
        "was exported to\n"
    )
    assert model.sizes == []


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ([], 1, "expected a model with the signature images_with_maps for a video, got one with encoded_images, images, keypoints, local_peaks, quantized; export a keypoints model with --backbone and --with-maps, or leave --maps out"),
        (["--signature=images"], 1, "--maps: expected a signature that answers confmaps and placement, got images, which answers confidences, points, valid; leave --signature out"),
    ],
    ids=["no such signature", "another is named"],
)  # fmt: skip
def test_a_model_without_maps(options, code, sentence, predict, tmp_path, model):
    video = save_video(tmp_path / "clip.mkv", images(1))
    done = predict(video, "--maps", "--overlay", tmp_path / "d", *options)
    assert (done.exit_code, sentence in done.stderr) == (code, True), done.stderr
    assert model.sizes == []


def test_maps_need_an_overlay(predict, tmp_path):
    np.save(tmp_path / "m.npy", maps(2))
    done = predict(tmp_path / "m.npy", "--maps")
    assert done.exit_code == 2
    assert "--maps needs --overlay" in done.stderr


def test_maps_that_do_not_fit_the_points_are_one_sentence(
    predict, tmp_path, answering, monkeypatch
):
    from . import fake_model

    whole = fake_model.answer
    monkeypatch.setattr(
        fake_model,
        "answer",
        lambda key, value: {**whole(key, value), "placement": np.zeros((1, 3), np.float32)},
    )
    video = save_video(tmp_path / "clip.mkv", images(1))
    done = predict(video, "--maps", "--overlay", tmp_path / "d", address=answering.address)
    assert done.stderr == (
        "Error: expected a reply with confmaps [1, height, width, 3], placement [1, 4], got "
        "confmaps [1, 2, 3, 3], placement [1, 3]; name another signature with --signature\n"
    )
