"""Points of several instances: every format to the last byte, and the colours of the overlay."""

from __future__ import annotations

import numpy as np
import pytest

from export.prediction.overlay import colour_of

from .fake_model import INSTANCES, FakeModel
from .frames import images, save_picture, save_video

# Two nodes at one place and a third; in the second frame is nobody.
FRAMES = np.stack([images(1)[0], np.zeros((4, 6, 3), np.uint8), images(3)[2]])
FRAMES = FRAMES[..., :2].repeat([2, 1], axis=3)


@pytest.fixture
def model():
    """Two instances of every frame in which something is; the second's blue is never found."""
    served = FakeModel(signatures=("images",), known=INSTANCES)
    yield served
    served.stop()


@pytest.fixture
def given(tmp_path):
    np.savez(tmp_path / "frames.npz", images=FRAMES)
    return tmp_path / "frames.npz"


TIDY = """\
frame,instance,node,x,y,confidence
0,0,nose,0.0,0.0,255.0
0,0,ear,0.0,0.0,255.0
0,0,tail,0.0,1.0,200.0
0,1,nose,0.0,0.0,255.0
0,1,ear,0.0,0.0,255.0
0,1,tail,NaN,NaN,0.0
2,0,nose,2.0,0.0,255.0
2,0,ear,2.0,0.0,255.0
2,0,tail,2.0,1.0,200.0
2,1,nose,2.0,0.0,255.0
2,1,ear,2.0,0.0,255.0
2,1,tail,NaN,NaN,0.0
"""
JSON = """\
{"names": ["nose", "ear", "tail"], "frames": [
{"frame": 0, "instances": [{"instance": 0, "confidence": 0.75, "points": [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]], "confidences": [255.0, 255.0, 200.0], "valid": [true, true, true]}, {"instance": 1, "confidence": 0.5, "points": [[0.0, 0.0], [0.0, 0.0], [null, null]], "confidences": [255.0, 255.0, 0.0], "valid": [true, true, false]}]},
{"frame": 1, "instances": []},
{"frame": 2, "instances": [{"instance": 0, "confidence": 0.75, "points": [[2.0, 0.0], [2.0, 0.0], [2.0, 1.0]], "confidences": [255.0, 255.0, 200.0], "valid": [true, true, true]}, {"instance": 1, "confidence": 0.5, "points": [[2.0, 0.0], [2.0, 0.0], [null, null]], "confidences": [255.0, 255.0, 0.0], "valid": [true, true, false]}]}
]}
"""


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(("kind", "wanted"), [("csv", TIDY), ("json", JSON)])
def test_texts(kind, wanted, batch, predict, given):
    done = predict(given, "--names", "nose,ear,tail", "--format", kind, "--batch", batch)
    assert done.stdout == wanted, done.stderr


def test_deeplabcuts_layout_of_several_animals(predict, given):
    """Every individual has its columns in every frame, whether it is there or not."""
    lines = predict(given, "--format", "dlc").stdout.splitlines()
    rows = [line.split(",") for line in lines]
    assert [row[0] for row in rows] == [
        *("scorer", "individuals", "bodyparts", "coords"), "0", "1", "2",
    ]  # fmt: skip
    assert {len(row) for row in rows} == {1 + 3 * 3 * 3}
    assert set(rows[0][1:]) == {"peakserve"}
    assert rows[1][1:] == [f"individual{number}" for number in (1, 2, 3) for _ in range(9)]
    assert rows[2][1:] == [f"node{node}" for node in (0, 1, 2) for _ in range(3)] * 3
    assert rows[3][1:] == ["x", "y", "likelihood"] * 9
    one, two = "2.0,0.0,255.0,2.0,0.0,255.0,2.0,1.0,200.0", "2.0,0.0,255.0,2.0,0.0,255.0,,,0.0"
    assert lines[6] == f"2,{one},{two}{',' * 9}"
    assert lines[5] == f"1{',' * 27}"


def test_an_individual_has_its_own_columns_whoever_else_is_there(predict, given, monkeypatch):
    """Of a model whose second slot is filled and whose first is not."""
    from . import fake_model

    usual = fake_model.instances_of

    def without_first(found):
        slots = usual(found)
        slots["instance_confidences"][:, 0] = 0
        return slots

    monkeypatch.setattr(fake_model, "instances_of", without_first)
    lines = predict(given, "--format", "dlc").stdout.splitlines()
    assert lines[6] == f"2{',' * 9},2.0,0.0,255.0,2.0,0.0,255.0,,,0.0{',' * 9}"
    tidy = predict(given).stdout.splitlines()
    assert [line.split(",")[:2] for line in tidy[1:]] == [["0", "1"]] * 3 + [["2", "1"]] * 3


def test_a_failure_keeps_the_instances_that_are_done(given, model, predict):
    refusals = iter([False, True])

    def before(inputs):
        if next(refusals, False):
            raise ConnectionError

    model.before = before
    whole = predict(given, "--names", "nose,ear,tail", "--batch", 1, "--in-flight", 1)
    assert whole.exit_code == 1
    assert whole.stdout == "".join(TIDY.splitlines(keepends=True)[:7])
    assert "the first frame is printed" in whole.stderr


def test_deeplabcuts_layout_is_read_as_it_reads_its_own(predict, given, tmp_path):
    pandas = pytest.importorskip("pandas", reason="no pandas, with which DeepLabCut reads it")
    assert predict(given, "--format", "dlc", "--out", tmp_path / "p.csv").exit_code == 0
    frame = pandas.read_csv(tmp_path / "p.csv", header=[0, 1, 2, 3], index_col=0)
    assert frame["peakserve", "individual1", "node2", "likelihood"].tolist()[::2] == [200, 200]


def test_numpy(predict, given, tmp_path):
    assert predict(given, "--out", tmp_path / "p.npz", "--batch", 2).exit_code == 0
    with np.load(tmp_path / "p.npz") as found:
        shapes = {name: found[name].shape for name in found.files}
        assert shapes == {
            "points": (3, 3, 3, 2),
            "confidences": (3, 3, 3),
            "valid": (3, 3, 3),
            "instance_confidences": (3, 3),
            "names": (3,),
        }
        wanted = [[0.75, 0.5, 0], [0, 0, 0], [0.75, 0.5, 0]]
        np.testing.assert_array_equal(found["instance_confidences"], np.float32(wanted))
        np.testing.assert_array_equal(np.isnan(found["points"][..., 0]), ~found["valid"])
        assert found["points"][2, 0].tolist() == [[2, 0], [2, 0], [2, 1]]


def test_an_instance_without_a_node_is_none_of_sleap_s(predict, tmp_path, monkeypatch):
    sleap = pytest.importorskip("sleap_io", reason="the package sleap-io is not installed")
    from . import fake_model

    def without_nodes(found, whole=fake_model.instances_of):
        slots = whole(found)
        slots["valid"][:, 1] = False
        return slots

    monkeypatch.setattr(fake_model, "instances_of", without_nodes)
    video = save_video(tmp_path / "clip.mkv", FRAMES)
    assert predict(video, "--out", tmp_path / "points.slp").exit_code == 0
    labels = sleap.load_slp(str(tmp_path / "points.slp"), open_videos=False)
    assert [[one.score for one in frame.instances] for frame in labels] == [[0.75], [0.75]]


def test_sleap(predict, tmp_path):
    sleap = pytest.importorskip("sleap_io", reason="the package sleap-io is not installed")
    video = save_video(tmp_path / "clip.mkv", FRAMES)
    done = predict(video, "--out", tmp_path / "points.slp")
    assert done.exit_code == 0, done.stderr
    labels = sleap.load_slp(str(tmp_path / "points.slp"), open_videos=False)
    assert [frame.frame_idx for frame in labels] == [0, 2]
    assert [instance.score for instance in labels[1].instances] == [0.75, 0.5]
    first, second = (instance.numpy(scores=True) for instance in labels[1].instances)
    assert first[2].tolist() == [2, 1, 200]
    np.testing.assert_array_equal(second[0], [2, 0, 255])


def test_every_instance_has_a_colour_of_its_own(predict, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="no Pillow: pip install 'peakserve[video]'")
    shot = save_picture(tmp_path / "shot.png", FRAMES[2])
    assert predict(shot, "--overlay", tmp_path / "drawn.png").exit_code == 0
    pixels = np.asarray(image.open(tmp_path / "drawn.png").convert("RGB"))
    # The second instance's dots lie on the first's but for the node that it has not.
    assert tuple(pixels[89, 149]) == colour_of(0)
    assert tuple(pixels[29, 149]) == colour_of(1)
    light = [(part + 255) // 2 for part in colour_of(1)]
    assert (pixels == light).all(axis=2).sum() > 40
    assert not (pixels == colour_of(2)).all(axis=2).any()


def test_a_reply_of_other_shapes_is_one_sentence(predict, given, model, monkeypatch):
    from . import fake_model

    monkeypatch.setattr(
        fake_model,
        "instances_of",
        lambda found: {**found, "instance_confidences": np.zeros((3, 2), np.float32)},
    )
    assert predict(given).stderr == (
        "Error: expected a reply with points [3, 2, 3, 2], confidences [3, 2, 3], valid "
        "[3, 2, 3], instance_confidences [3, 2], got confidences [3, 3], instance_confidences "
        "[3, 2], points [3, 3, 2], valid [3, 3]; name another signature with --signature\n"
    )


@pytest.mark.parametrize("shape", [(2, 3), (3, 3, 1)], ids=str)
def test_confidences_of_other_frames_are_none_of_these(predict, given, monkeypatch, shape):
    from . import fake_model

    usual = fake_model.instances_of

    def other(found):
        return {**usual(found), "instance_confidences": np.ones(shape, np.float32)}

    monkeypatch.setattr(fake_model, "instances_of", other)
    done = predict(given)
    assert done.exit_code == 1
    assert f"got confidences [3, 3, 3], instance_confidences {list(shape)}" in done.stderr
