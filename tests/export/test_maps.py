"""Reading and drawing confidence maps."""

from __future__ import annotations

import numpy as np
import pytest

from export.cases import make_cases
from export.maps import MapsError, draw_maps, load_maps
from export.peak_ops_cases import peak_rows


def test_drawn_maps_have_their_maximum_at_the_keypoint():
    maps, keypoints = draw_maps(3, 30, 40, 2, noise=0.0)
    for sample in range(3):
        for channel in range(2):
            at = np.unravel_index(np.argmax(maps[sample, :, :, channel]), (30, 40))
            x, y = keypoints[sample, channel]
            assert abs(at[0] - y) <= 0.5
            assert abs(at[1] - x) <= 0.5


@pytest.mark.parametrize("ending", ["npy", "npz"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_load(tmp_path, ending, dtype):
    maps = draw_maps()[0].astype(dtype)
    path = tmp_path / f"maps.{ending}"
    np.save(path, maps) if ending == "npy" else np.savez(path, confmaps=maps, other=1)
    loaded = load_maps(path)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, maps.astype(np.float32))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            {"maps": np.zeros((1, 2, 2, 1), np.float32)},
            "expected the key 'confmaps', got maps; save",
        ),
        ({"confmaps": np.zeros((2, 2, 1), np.float32)}, "got shape \\[2, 2, 1\\]; add the missing"),
        (
            {"confmaps": np.zeros((1, 2, 2, 1), np.uint8)},
            "expected float32 maps, got uint8; convert",
        ),
        ({"confmaps": np.zeros((0, 2, 2, 1), np.float32)}, "expected at least one pixel"),
        (b"", "expected a .npz file with the key 'confmaps' or a .npy file"),
        (
            b"junk that is no array",
            "'confmaps' or a .npy file, got another kind of file; save maps",
        ),
        (b"PK\x03\x04 a broken archive", "expected a .npz file"),
    ],
    ids=["key", "rank", "dtype", "empty", "zero_bytes", "junk", "broken_zip"],
)
def test_unusable_files_are_one_sentence(tmp_path, content, text):
    path = tmp_path / "maps.npz"
    path.write_bytes(content) if isinstance(content, bytes) else np.savez(path, **content)
    with pytest.raises(MapsError, match=text) as error:
        load_maps(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_cases_name_every_kind_of_place():
    maps = draw_maps(2, 6, 7, 2)[0]
    rows = peak_rows(maps)
    places = {tuple(row) for row in rows[rows[:, 0] == 1][:, 1:3].tolist()}
    assert {(0, 0), (0, 6), (5, 0), (5, 6)} <= places
    assert np.isnan(rows).any()
    assert np.isinf(rows).any()
    assert {tuple(row) for row in rows[:, [0, 3]].tolist()} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert (rows[:, 1:3] % 1 == 0.5).any()


def test_case_ids_are_unique():
    ids = [case.id for case in make_cases(draw_maps()[0])]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 9, 2), (2, 3, 1, 1)], ids=str)
def test_cases_exist_for_the_smallest_maps(shape):
    assert make_cases(np.ones(shape, np.float32))
