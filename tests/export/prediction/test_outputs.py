"""Every format to the last byte, and what is said where one cannot hold the points."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from .frames import csv, images, maps, rows, save_picture, save_video


@pytest.fixture
def given(tmp_path):
    path = tmp_path / "maps.npy"
    np.save(path, maps(3))
    return path


TIDY = """\
frame,node,x,y,confidence
0,nose,0.0,1.0,0.5
0,tail,5.0,3.0,1.0
1,nose,1.0,1.0,0.5
1,tail,5.0,3.0,2.0
2,nose,NaN,NaN,0.0
2,tail,5.0,3.0,3.0
"""
DEEPLABCUT = """\
scorer,peakserve,peakserve,peakserve,peakserve,peakserve,peakserve
bodyparts,nose,nose,nose,tail,tail,tail
coords,x,y,likelihood,x,y,likelihood
0,0.0,1.0,0.5,5.0,3.0,1.0
1,1.0,1.0,0.5,5.0,3.0,2.0
2,,,0.0,5.0,3.0,3.0
"""
JSON = """\
{"names": ["nose", "tail"], "frames": [
{"frame": 0, "points": [[0.0, 1.0], [5.0, 3.0]], "confidences": [0.5, 1.0], "valid": [true, true]},
{"frame": 1, "points": [[1.0, 1.0], [5.0, 3.0]], "confidences": [0.5, 2.0], "valid": [true, true]},
{"frame": 2, "points": [[null, null], [5.0, 3.0]], "confidences": [0.0, 3.0], "valid": [false, true]}
]}
"""


@pytest.mark.parametrize(
    ("ending", "options", "wanted"),
    [
        ("csv", [], TIDY),
        ("csv", ["--format", "dlc"], DEEPLABCUT),
        ("json", [], JSON),
        ("CSV", ["--format", "csv", "--batch", "2"], TIDY),
    ],
    ids=["tidy", "DeepLabCut", "JSON", "in two requests"],
)
@pytest.mark.parametrize("printed", [False, True], ids=["file", "printed"])
def test_texts(ending, options, wanted, printed, predict, given, tmp_path):
    out = tmp_path / f"points.{ending}"
    place = ["--format", ending.lower(), *options] if printed else ["--out", out, *options]
    done = predict(given, "--names", "nose,tail", *place)
    assert done.exit_code == 0, done.stderr
    assert (done.stdout if printed else out.read_bytes().decode()) == wanted
    assert out.exists() is not printed
    assert done.stderr.startswith("3 frames in ")


def test_numpy(predict, given, tmp_path):
    out = tmp_path / "points.npz"
    assert predict(given, "--out", out, "--batch", 2).exit_code == 0
    with np.load(out) as found:
        assert sorted(found.files) == ["confidences", "names", "points", "valid"]
        nothing = [np.nan, np.nan]
        wanted = [[[0, 1], [5, 3]], [[1, 1], [5, 3]], [nothing, [5, 3]]]
        np.testing.assert_array_equal(found["points"], np.float32(wanted), strict=True)
        confidences = np.float32([[0.5, 1], [0.5, 2], [0, 3]])
        np.testing.assert_array_equal(found["confidences"], confidences, strict=True)
        assert found["valid"].tolist() == [[True, True], [True, True], [False, True]]
        assert found["names"].tolist() == ["node0", "node1"]


def test_a_file_has_the_name_that_it_was_given(predict, given, tmp_path):
    assert predict(given, "--out", tmp_path / "points.NPZ").exit_code == 0
    with np.load(tmp_path / "points.NPZ") as found:
        assert found["points"].shape == (3, 2, 2)


def test_pictures_are_named_where_there_is_room_for_it(predict, tmp_path):
    files = [save_picture(tmp_path / f"{name}.png", images(1)[0]) for name in "ab"]
    assert predict(tmp_path, "--out", tmp_path / "p.json").exit_code == 0
    assert predict(tmp_path, "--out", tmp_path / "p.npz").exit_code == 0
    told = json.loads((tmp_path / "p.json").read_text())
    assert [frame["file"] for frame in told["frames"]] == list(map(str, files))
    with np.load(tmp_path / "p.npz") as found:
        assert found["files"].tolist() == list(map(str, files))


PEAKS = """\
frame,node,x,y,confidence
0,node0,0.0,1.0,0.5
0,node1,5.0,3.0,1.0
1,node0,1.0,1.0,0.5
1,node1,5.0,3.0,2.0
2,node1,5.0,3.0,3.0
"""
JSON_PEAKS = """\
{"names": ["node0", "node1"], "frames": [
{"frame": 0, "peaks": [{"node": "node0", "x": 0.0, "y": 1.0, "confidence": 0.5}, {"node": "node1", "x": 5.0, "y": 3.0, "confidence": 1.0}]},
{"frame": 1, "peaks": [{"node": "node0", "x": 1.0, "y": 1.0, "confidence": 0.5}, {"node": "node1", "x": 5.0, "y": 3.0, "confidence": 2.0}]},
{"frame": 2, "peaks": [{"node": "node1", "x": 5.0, "y": 3.0, "confidence": 3.0}]}
]}
"""


class TestLocalPeaks:
    @pytest.mark.parametrize(("kind", "wanted"), [("csv", PEAKS), ("json", JSON_PEAKS)])
    def test_one_row_for_each_that_was_found(self, kind, wanted, predict, given):
        done = predict(given, "--signature", "local_peaks", "--format", kind)
        assert done.stdout == wanted

    def test_numpy(self, predict, given, tmp_path):
        out = tmp_path / "peaks.npz"
        assert predict(given, "--signature", "local_peaks", "--out", out).exit_code == 0
        with np.load(out) as found:
            assert sorted(found.files) == ["channels", "confidences", "count", "names", "points"]
            assert found["count"].tolist() == [2, 2, 1]
            assert found["channels"].tolist() == [[0, 1, -1], [0, 1, -1], [1, -1, -1]]
            assert np.isnan(found["points"]).any(axis=2).sum(axis=1).tolist() == [1, 1, 2]

    @pytest.mark.parametrize(("kind", "ending"), [("dlc", "csv"), ("slp", "slp")])
    def test_formats_of_one_point_per_landmark_are_refused(
        self, kind, ending, predict, given, tmp_path
    ):
        out = tmp_path / f"peaks.{ending}"
        done = predict(given, "--signature", "local_peaks", "--format", kind, "--out", out)
        assert done.exit_code == 1
        assert done.stderr == (
            f"Error: --format {kind}: expected one point for each landmark of a frame, got any "
            "number of them from the signature local_peaks; choose csv, json or npz\n"
        )


class TestSleap:
    def test_a_video(self, predict, tmp_path):
        sleap = pytest.importorskip("sleap_io", reason="the package sleap-io is not installed")
        frames = images(4)
        frames[2] = 0
        video = save_video(tmp_path / "clip.mp4", frames)
        done = predict(video, "--out", tmp_path / "points.slp", "--names", "a,b,c")
        assert done.exit_code == 0, done.stderr
        labels = sleap.load_slp(str(tmp_path / "points.slp"), open_videos=False)
        assert [node.name for node in labels.skeletons[0].nodes] == ["a", "b", "c"]
        assert str(labels.videos[0].filename) == str(video)
        assert [frame.frame_idx for frame in labels] == [0, 1, 3]
        (instance,) = labels[2].instances
        nothing = [np.nan, np.nan, 0]
        np.testing.assert_array_equal(
            instance.numpy(scores=True), [[3, 0, 255], [3, 1, 200], nothing]
        )
        assert instance.score == 227.5

    def test_maps_are_nothing_to_refer_to(self, predict, given, tmp_path):
        done = predict(given, "--out", tmp_path / "points.slp")
        assert done.exit_code == 1
        assert done.stderr == (
            f"Error: {given}: expected a video or pictures for a .slp file, which refers to them, "
            "got maps; choose another ending of --out\n"
        )


class TestNames:
    def test_a_file_with_one_a_line(self, predict, given, tmp_path):
        names = tmp_path / "names.txt"
        names.write_text("nose\n\n  tail, left \n")
        lines = predict(given, "--names", names).stdout.splitlines()
        assert lines[1:3] == ["0,nose,0.0,1.0,0.5", '0,"tail, left",5.0,3.0,1.0']

    def test_many_are_longer_than_the_name_of_a_file(self, predict, given):
        names = ",".join(f"keypoint_{number}" for number in range(40))
        done = predict(given, "--names", names)
        assert "expected 2 names, one per channel, got 40: keypoint_0, " in done.stderr

    @pytest.mark.parametrize(
        ("names", "sentence"),
        [
            ("a,b,c", "expected 2 names, one per channel, got 3: a, b, c"),
            ("a,a", "expected different names, such as nose,tail, or a file with one a line, got a twice"),
            ("a,", "expected different names, such as nose,tail, or a file with one a line, got 'a,'"),
        ],
        ids=["too many", "twice", "empty"],
    )  # fmt: skip
    def test_others_are_refused(self, names, sentence, predict, given, tmp_path):
        out = tmp_path / "points.csv"
        done = predict(given, "--names", names, "--out", out)
        assert done.stderr == f"Error: --names: {sentence}\n"
        assert not out.exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--out", "{tmp}/p.txt"], "expected --out with the ending .csv, .json, .npz, .slp, got {tmp}/p.txt"),
        (["--out", "{tmp}/p.csv", "--format", "npz"], "expected --out with the ending .npz, got {tmp}/p.csv"),
        (["--format", "npz"], "expected --out FILE.npz with --format npz, got none: it cannot be printed"),
        (["--out", "{tmp}/no/p.csv"], "--out: expected a file in a folder that is there, got {tmp}/no/p.csv; make it with: mkdir -p {tmp}/no"),
    ],
    ids=["ending", "other ending", "printed", "no folder"],
)  # fmt: skip
def test_where_points_cannot_go(options, sentence, predict, given, tmp_path, model):
    done = predict(given, *(option.format(tmp=tmp_path) for option in options))
    assert done.stderr == f"Error: {sentence.format(tmp=tmp_path)}\n"
    assert model.sizes == []


def test_frames_are_not_written_over(predict, tmp_path):
    path = tmp_path / "maps.npz"
    np.savez(path, confmaps=maps(3))
    done = predict(path, "--out", path)
    assert done.stderr == f"Error: --out: expected another file than the frames', got {path}\n"


def test_a_full_disk_is_one_sentence(predict, given):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    link = given.with_suffix(".csv")
    link.symlink_to("/dev/full")
    done = predict(given, "--out", link)
    assert done.exit_code == 1
    assert done.stderr == f"Error: {link}: cannot be written: No space left on device\n"


def test_an_existing_file_is_written_over(predict, given, tmp_path):
    out = tmp_path / "points.csv"
    out.write_text("something long that was there before\n" * 99)
    assert predict(given, "--out", out).exit_code == 0
    assert out.read_text() == csv(rows(range(3)))


def test_files_of_pictures_are_those_that_are_done(predict, model, tmp_path):
    """Where the second request fails: as many names of files as points."""
    files = [save_picture(tmp_path / f"{name}.png", images(1)[0]) for name in "ab"]
    failures = iter([False, True])

    def before(inputs):
        if next(failures, True):
            raise ValueError

    model.before = before
    done = predict(
        tmp_path, "--out", tmp_path / "p.npz", "--batch", 1, "--in-flight", 1, "--retry-for", 0
    )
    assert done.exit_code == 1
    with np.load(tmp_path / "p.npz") as found:
        assert found["files"].tolist() == [str(files[0])]
        assert len(found["points"]) == 1
