"""What INPUT may be, which signature it is sent to, and what is said where that does not fit."""

from __future__ import annotations

import re

import numpy as np
import pytest

from .fake_model import FakeModel
from .frames import (
    CODECS,
    csv,
    image_rows,
    images,
    maps,
    rows,
    save_picture,
    save_video,
)


def printed(done):
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("ending", CODECS)
def test_videos(ending, predict, tmp_path, model):
    video = save_video(tmp_path / f"clip{ending}", images(9))
    assert printed(predict(video)) == csv(image_rows(range(9)))
    assert sorted(model.sizes) == [1, 4, 4]


MAPS = maps(5)
BYTES = (MAPS * 20).astype(np.uint8)


def quantized_rows():
    for number in range(5):
        seen = number % 3 != 2
        yield f"{number},node0,{f'{number}.0,1.0,10.0' if seen else 'NaN,NaN,0.0'}"
        yield f"{number},node1,5.0,3.0,{20 * (number + 1)}.0"


@pytest.mark.parametrize(
    ("name", "content", "options", "wanted"),
    [
        ("m.npy", MAPS, [], rows(range(5))),
        ("m.npy", MAPS.astype(np.float64), [], rows(range(5))),
        ("m.npy", BYTES, [], quantized_rows()),
        ("m.npz", {"confmaps": MAPS}, [], rows(range(5))),
        ("m.npz", {"confmaps": BYTES}, [], quantized_rows()),
        ("m.npz", {"images": images(5)}, [], image_rows(range(5))),
        ("m.npz", {"confmaps": MAPS, "images": images(5)}, [], rows(range(5))),
        ("m.npz", {"confmaps": MAPS, "images": images(5)}, ["--signature=images"],
         image_rows(range(5))),
        ("m.npy", images(5), ["--signature=images"], image_rows(range(5))),
    ],
    ids=["npy", "float64", "bytes", "npz", "npz of bytes", "npz of images", "npz of both",
         "images of both", "npy of images"],
)  # fmt: skip
def test_arrays(name, content, options, wanted, predict, tmp_path):
    path = tmp_path / name
    np.savez(path, **content) if isinstance(content, dict) else np.save(path, content)
    assert printed(predict(path, *options)) == csv(wanted)


@pytest.fixture
def shots(tmp_path):
    """Pictures whose files have sizes of their own; 10 comes after 9, and a text is none."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for number, image in enumerate(images(3)):
        save_picture(folder / f"shot{(9, 10, 11)[number]}.png", image)
    save_picture(folder / "shot2.jpg", images(1)[0])
    (folder / "notes.txt").write_text("no picture")
    return folder


def sizes(*files):
    return csv(
        f"{number},node0,{file.stat().st_size}.0,0.0,1.0" for number, file in enumerate(files)
    )


class TestPictures:
    def test_a_folder_goes_as_files_in_the_order_in_which_people_count(self, predict, shots):
        wanted = [shots / name for name in ("shot2.jpg", "shot9.png", "shot10.png", "shot11.png")]
        assert printed(predict(shots)) == sizes(*wanted)

    def test_a_pattern(self, predict, shots):
        wanted = [shots / name for name in ("shot10.png", "shot11.png")]
        assert printed(predict(shots / "shot1?.*")) == sizes(*wanted)

    def test_one(self, predict, shots):
        assert printed(predict(shots / "shot9.png")) == sizes(shots / "shot9.png")

    def test_decoded_where_the_signature_takes_images(self, predict, shots):
        done = predict(shots / "*.png", "--signature", "images")
        assert printed(done) == csv(image_rows(range(3)))

    def test_decoded_where_the_model_has_no_encoded_images(self, predict, shots):
        other = FakeModel(signatures=("images",))
        done = predict(shots / "*.png", address=other.address)
        other.stop()
        assert printed(done) == csv(image_rows(range(3)))


def write(folder):
    """Files that something is wrong with."""
    np.savez(folder / "none.npz", other=MAPS)
    np.save(folder / "flat.npy", MAPS[0])
    np.save(folder / "wide.npy", MAPS.astype(np.uint16))
    np.save(folder / "maps.npy", MAPS)
    np.save(folder / "bytes.npy", BYTES)
    np.save(folder / "tall.npy", np.zeros((1, 5, 6, 2), np.float32))
    save_video(folder / "large.mkv", images(2, height=8, width=12))
    save_video(folder / "clip.mkv", images(2))
    (folder / "text.mp4").write_text("no video")
    (folder / "text.png").write_text("no picture")
    (folder / "text.txt").write_text("nothing")
    save_picture(folder / "large.png", images(1, height=8, width=12)[0])
    (folder / "empty").mkdir()


@pytest.mark.parametrize(
    ("given", "options", "sentence"),
    [
        ("gone.mp4", [], "{tmp}/gone.mp4: expected a file, a folder or a pattern, got no such file"),
        ("text.txt", [], "{tmp}/text.txt: expected .mp4, .avi, .mov, .mkv, .webm, .png, .jpg, .jpeg, .npy, .npz, a folder or a pattern, got a file that ends in '.txt'"),
        ("empty", [], "{tmp}/empty/: expected pictures (.png, .jpg, .jpeg), got no file; name a folder of pictures, a quoted pattern such as 'shots/*.png', or one file"),
        ("*.gif", [], "{tmp}/*.gif: expected pictures (.png, .jpg, .jpeg), got no file; name a folder of pictures, a quoted pattern such as 'shots/*.png', or one file"),
        ("text.mp4", [], "{tmp}/text.mp4: expected a video, got Invalid data found when processing input; look at it with: ffprobe {tmp}/text.mp4"),
        ("none.npz", [], "{tmp}/none.npz: expected the key 'confmaps' or 'images', got other; save it with numpy.savez(path, confmaps=maps)"),
        ("flat.npy", [], "{tmp}/flat.npy: expected confmaps [samples, height, width, channels] of float32 or uint8, got float32 [4, 6, 2]"),
        ("wide.npy", [], "{tmp}/wide.npy: expected confmaps [samples, height, width, channels] of float32 or uint8, got uint16 [5, 4, 6, 2]"),
        ("large.mkv", [], "{tmp}/large.mkv: expected frames of 4 x 6 pixels (height x width), got 8 x 12; scale them with: ffmpeg -i {tmp}/large.mkv -vf scale=6:4 {tmp}/large_scaled.mkv (or export the model with --image-height 8 --image-width 12)"),
        ("large.png", ["--signature=images"], "{tmp}/large.png: expected frames of 4 x 6 pixels (height x width), got 8 x 12; scale them with: ffmpeg -i {tmp}/large.png -vf scale=6:4 {tmp}/large_scaled.png (or export the model with --image-height 8 --image-width 12)"),
        ("tall.npy", [], "{tmp}/tall.npy: expected maps of 4 x 6 x 2 (height x width x channels), got 5 x 6 x 2; ask the model that was exported with --height 5 --width 6 --channels 2"),
        ("text.png", ["--signature=images"], "{tmp}/text.png: expected a PNG or JPEG picture, got something else"),
        ("maps.npy", ["--signature=quantized"], "{tmp}/maps.npy: expected uint8, got float32; ask the signature keypoints, or make bytes with (255 * maps).round().astype('uint8')"),
        ("bytes.npy", ["--signature=keypoints"], "{tmp}/bytes.npy: expected float32, got uint8; ask the signature quantized, or convert them with maps.astype('float32') / 255"),
        ("maps.npy", ["--signature=nope"], "{tmp}/maps.npy: expected a model with the signature nope for maps, got one with encoded_images, images, keypoints, local_peaks, quantized; choose another with --signature"),
        ("maps.npy", ["--signature=other"], "expected a signature from confmaps or images or encoded_images to points, got other, from x to y; choose another with --signature: encoded_images, images, keypoints, local_peaks, quantized"),
        ("clip.mkv", ["--signature=keypoints"], "{tmp}/clip.mkv: expected confmaps for the signature keypoints, got a video; name one that takes images, or leave --signature out"),
        ("maps.npy", ["--signature=encoded_images"], "{tmp}/maps.npy: expected encoded_images for the signature encoded_images, got maps; name one that takes confmaps or images, or leave --signature out"),
    ],
    ids=lambda value: value if isinstance(value, str) and "{" not in value else "",
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(given, options, sentence, predict, tmp_path):
    write(tmp_path)
    done = predict(tmp_path / given, *options)
    assert done.stderr == f"Error: {sentence.format(tmp=tmp_path)}\n"
    assert done.exit_code == 1
    assert done.stdout == ""


def test_what_needs_more_than_eight_bits_is_not_cut_off(predict, tmp_path):
    deep = save_picture(tmp_path / "deep.png", np.zeros((4, 6), np.uint16))
    done = predict(deep, "--signature", "images")
    # What the mode is called depends on Pillow's version.
    assert re.fullmatch(
        rf"Error: {deep}: expected a picture of 8 bits per channel, got Pillow's mode I(;16)?; "
        "convert it with: magick IN -depth 8 OUT\n",
        done.stderr,
    )


def test_a_video_needs_a_model_with_a_network(predict, tmp_path):
    video = save_video(tmp_path / "clip.mkv", images(2))
    other = FakeModel(signatures=("keypoints", "quantized"))
    done = predict(video, address=other.address)
    other.stop()
    assert done.stderr == (
        f"Error: {video}: expected a model with the signature images for a video, got one with "
        "keypoints, quantized; export the model with --backbone\n"
    )


def test_a_damaged_video_keeps_the_frames_before(predict, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 4, 6, 3), np.uint8)
    video = save_video(tmp_path / "clip.mov", noise)
    content = bytearray(video.read_bytes())
    # The sixth picture's own marker.
    start = [at for at in range(len(content)) if content.startswith(b"IHDR", at)][5]
    content[start : start + 4] = b"RDHI"
    video.write_bytes(content)
    out = tmp_path / "points.csv"
    done = predict(video, "--out", out, "--batch", 2)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {video}: frame 5 cannot be decoded: ")
    assert done.stderr.endswith(f"; the first 5 frames are in {out}\n")
    assert out.read_text().splitlines()[-1].startswith("4,node2,")
