"""What is drawn, and where it goes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from export.prediction.outputs import Npz, TidyCsv
from export.prediction.overlay import colour_of, drawn
from export.prediction.replies import Mark

from .frames import csv, image_rows, images, maps, save_picture, save_video

av = pytest.importorskip("av", reason="no package av: pip install 'peakserve[video]'")
Image = pytest.importorskip("PIL.Image", reason="no Pillow: pip install 'peakserve[video]'")


def mark(x, y, channel=0):
    return Mark(channel, np.float32(x), np.float32(y), np.float32(0.87))


NOTHING = mark(np.nan, np.nan)
NAMES = [f"name{channel}" for channel in range(9)]


def letters(pixels, channel):
    """How many pixels have the full colour of a channel's text."""
    light = [(part + 255) // 2 for part in colour_of(channel)]
    return (pixels == light).all(axis=2).sum()


@pytest.mark.parametrize("grey", [0, 128, 255], ids=["dark", "grey", "light"])
def test_a_dot_and_a_text_stand_out(grey):
    picture = Image.new("RGB", (400, 300), (grey,) * 3)
    pixels = np.asarray(drawn(picture, [mark(100, 80)], NAMES)).astype(int)
    assert tuple(pixels[80, 100]) == colour_of(0)
    # Outwards from the dot: its colour, a light ring, a dark one, the picture.
    row = [tuple(pixel) for pixel in pixels[80, 100:110]]
    assert list(dict.fromkeys(row)) == list(
        dict.fromkeys([colour_of(0), (255,) * 3, (0,) * 3, (grey,) * 3])
    )
    # Beside it both extremes, on whatever is behind.
    text = pixels[55:78, 105:200]
    assert (text.max(axis=2) == 0).sum() > 100
    assert letters(text, 0) > 40
    changed = (pixels != grey).any(axis=2)
    assert not changed[90:].any()
    assert not changed[:, :90].any()
    assert np.asarray(picture).min() == np.asarray(picture).max() == grey


def test_nothing_found_changes_nothing():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8))
    assert np.array_equal(drawn(picture, [NOTHING], NAMES), picture)


@pytest.mark.parametrize("corner", [(0, 0), (399, 0), (0, 299), (399, 299)])
def test_a_text_stays_inside(corner):
    picture = Image.new("RGB", (400, 300))
    beside, inside = (
        np.asarray(drawn(picture, [mark(*place)], NAMES)) for place in (corner, (200, 150))
    )
    assert letters(beside, 0) == letters(inside, 0) > 40


def test_texts_of_neighbours_do_not_cover_one_another():
    picture = Image.new("RGB", (400, 300))
    marks = [mark(200, 150, 0), mark(200, 153, 1)]
    both = np.asarray(drawn(picture, marks, NAMES))
    for channel, one in enumerate(marks):
        alone = np.asarray(drawn(picture, [one], NAMES))
        assert letters(both, channel) == letters(alone, channel) > 40


def test_small_pictures_are_enlarged():
    image = drawn(Image.new("RGB", (64, 48)), [mark(10, 20)], NAMES)
    assert image.size == (64 * 5, 48 * 5)
    assert image.getpixel((52, 102)) == colour_of(0)


def test_neighbours_have_colours_that_differ():
    colours = np.array([colour_of(channel) for channel in range(30)])
    distance = np.abs(colours[1:] - colours[:-1]).sum(axis=1)
    assert distance.min() > 150
    assert len({tuple(colour) for colour in colours}) == 30


class TestPlaces:
    @pytest.fixture
    def video(self, tmp_path):
        return save_video(tmp_path / "clip.mkv", images(5), rate=12)

    def test_a_video(self, predict, video, tmp_path):
        overlay = tmp_path / "drawn.mp4"
        done = predict(video, "--overlay", overlay)
        assert done.stdout == csv(image_rows(range(5)))
        with av.open(str(overlay)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.average_rate) == ("h264", 12)
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert [frame.shape for frame in frames] == [(240, 360, 3)] * 5
        # The dot of the third frame is where its point is.
        away = np.abs(frames[2][30, 150].astype(int) - colour_of(0)).max()
        assert away < 60
        assert np.abs(frames[0][30, 150].astype(int) - colour_of(0)).max() > 100

    def test_odd_sizes(self, predict, tmp_path):
        folder = tmp_path / "shots"
        folder.mkdir()
        save_picture(folder / "a.png", np.zeros((241, 301, 3), np.uint8))
        overlay = tmp_path / "drawn.mp4"
        assert predict(folder, "--overlay", overlay).exit_code == 0
        with av.open(str(overlay)) as container:
            assert [(f.width, f.height) for f in container.decode(video=0)] == [(302, 242)]

    def test_a_folder(self, predict, video, tmp_path):
        overlay = tmp_path / "new" / "drawn"
        assert predict(video, "--overlay", overlay).exit_code == 0
        assert sorted(file.name for file in overlay.iterdir()) == [
            f"00000{number}.png" for number in range(5)
        ]
        image = Image.open(overlay / "000003.png")
        assert image.getpixel((3 * 60 + 29, 29)) == colour_of(0)

    def test_pictures_keep_their_names(self, predict, tmp_path):
        for name in ("b.jpg", "a.png"):
            save_picture(tmp_path / name, images(1)[0])
        assert predict(tmp_path / "*.*g", "--overlay", tmp_path / "drawn").exit_code == 0
        names = sorted(file.name for file in (tmp_path / "drawn").iterdir())
        assert names == ["000000_a.png", "000001_b.png"]

    def test_one_picture(self, predict, tmp_path):
        shot = save_picture(tmp_path / "shot.png", images(1)[0])
        assert predict(shot, "--overlay", tmp_path / "drawn.png").exit_code == 0
        assert Image.open(tmp_path / "drawn.png").size == (360, 240)

    def test_maps_with_images_beside_them(self, predict, tmp_path):
        np.savez(tmp_path / "m.npz", confmaps=maps(2), images=images(2, height=40, width=60))
        assert predict(tmp_path / "m.npz", "--overlay", tmp_path / "drawn").exit_code == 0
        assert Image.open(tmp_path / "drawn" / "000001.png").size == (360, 240)

    @pytest.mark.parametrize(
        ("overlay", "sentence"),
        [
            ("d.png", "--overlay: expected a folder or a .mp4 file for 5 frames, got {tmp}/d.png"),
            ("d.gif", "--overlay: expected a .mp4 file, a picture (.png, .jpg, .jpeg) or a folder, got {tmp}/d.gif"),
            ("no/d.mp4", "--overlay: expected a place in a folder that is there, got {tmp}/no/d.mp4; make it with: mkdir -p {tmp}/no"),
            ("clip.mkv/d", "--overlay: expected a folder that can be made, got {tmp}/clip.mkv/d: Not a directory"),
            ("clip.mkv", "--overlay: expected a place beside the frames, got theirs: {tmp}/clip.mkv"),
        ],
        ids=["one picture of several", "unknown", "no folder", "under a file", "the frames"],
    )  # fmt: skip
    def test_others_are_refused(self, overlay, sentence, predict, video, tmp_path, model):
        done = predict(video, "--overlay", tmp_path / overlay)
        assert done.stderr == f"Error: {sentence.format(tmp=tmp_path)}\n"
        assert model.sizes == []

    def test_the_folder_of_the_frames_is_refused(self, predict, tmp_path):
        save_picture(tmp_path / "a.png", images(1)[0])
        done = predict(tmp_path / "a.png", "--overlay", tmp_path)
        assert done.stderr == (
            f"Error: --overlay: expected a place beside the frames, got theirs: {tmp_path}\n"
        )

    def test_sizes_that_differ_make_no_video(self, predict, tmp_path):
        for width in (300, 302):
            save_picture(tmp_path / f"{width}.png", np.zeros((240, width, 3), np.uint8))
        overlay = tmp_path / "drawn.mp4"
        done = predict(tmp_path, "--overlay", overlay, "--batch", 1, "--out", tmp_path / "p.csv")
        assert done.stderr == (
            f"Error: {overlay}: expected frames of one size, 300 x 240, got 302 x 240 for frame 1; "
            f"name a folder instead; the first 2 frames are in {tmp_path / 'p.csv'}\n"
        )

    @pytest.mark.parametrize("fails", ["printed rows", "the file of points"])
    def test_drawn_frames_are_kept_when_points_cannot_be(
        self, fails, predict, video, tmp_path, monkeypatch
    ):
        """Who reads what is printed may go away, such as `head`; a disk may be full at the end."""
        overlay, write = tmp_path / "drawn.mp4", TidyCsv.write

        def gone(self, first, reply):
            if first == 4:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            write(self, first, reply)

        def full(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(TidyCsv, "write", gone)
        monkeypatch.setattr(Npz, "close", full)
        options = [] if fails == "printed rows" else ["--out", tmp_path / "points.npz"]
        done = predict(video, "--batch", 2, "--overlay", overlay, *options)
        assert done.exit_code == 1
        with av.open(str(overlay)) as container:
            drawn = len(list(container.decode(video=0)))
        assert drawn == (5 if options else 4)

    @pytest.mark.parametrize("name", ["drawn.mp4", "drawn.png"])
    def test_a_full_disk_is_one_sentence(self, name, predict, tmp_path):
        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full")
        shot = save_picture(tmp_path / "shot.png", images(1)[0])
        (tmp_path / name).symlink_to("/dev/full")
        done = predict(shot, "--overlay", tmp_path / name, "--out", tmp_path / "p.csv")
        assert done.exit_code == 1
        assert done.stderr.startswith(f"Error: {tmp_path / name}: cannot be written: ")

    def test_a_picture_that_is_none_is_named(self, predict, tmp_path):
        (tmp_path / "shot.png").write_text("no picture")
        done = predict(
            tmp_path / "shot.png", "--overlay", tmp_path / "drawn", "--out", tmp_path / "p.csv"
        )
        assert done.stderr == (
            f"Error: {tmp_path}/shot.png: expected a PNG or JPEG picture, got something else; "
            f"the first frame is in {tmp_path}/p.csv\n"
        )

    def test_maps_alone_are_nothing_to_draw_on(self, predict, tmp_path, model):
        np.save(tmp_path / "m.npy", maps(2))
        done = predict(tmp_path / "m.npy", "--overlay", tmp_path / "drawn")
        assert done.stderr == (
            f"Error: {tmp_path}/m.npy: expected images beside the maps to draw on, got none; save "
            "them as images, uint8 [samples, height, width, 3], in the same .npz file, draw the maps "
            "themselves with --maps, or leave --overlay out\n"
        )
        assert model.sizes == []
