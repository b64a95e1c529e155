"""The command `bench`, as users run it: small sizes, no time is checked."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from export.benchmark.in_graph import QUICK

ROOT = Path(__file__).parents[3]
WORK = "find_local_peaks"
PEERS = {"SciPy": "scipy", "scikit-image": "skimage"}


def bench(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "export", "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **environment},
    )


def is_installed(module):
    return importlib.util.find_spec(module) is not None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def done(folder):
    options = ["--quick", "--rounds", 3, "--work", WORK, "--out", folder / "bench.json"]
    if is_installed("matplotlib"):
        options += ["--plots", folder / "plots"]
    return bench(*options)


def test_the_table_names_every_case_and_contestant(done):
    assert done.returncode == 0, done.stderr
    for percent in QUICK.densities:
        assert f"{percent:g}% candidates" in done.stdout
    for contestant in ("peakserve", "one read", "dilation", *PEERS):
        assert f" {contestant} " in done.stdout
    for contestant, module in PEERS.items():
        (line,) = [line for line in done.stdout.splitlines() if f" {contestant} " in line]
        assert ("not installed" in line) == (not is_installed(module))


def test_what_is_to_be_reached_is_listed_and_small_sizes_are_not_judged(done):
    reach = done.stdout.split("to be reached")[1]
    assert "dilation / peakserve" in reach
    assert "at least 9" in reach
    assert "missed" not in reach


def test_json_holds_the_same_rows(done, folder):
    data = json.loads((folder / "bench.json").read_text())
    assert (data["rounds"], data["quick"]) == (3, True)
    points = {axis: [] for axis in ("density", "size", "batch")}
    for table in data["tables"]:
        assert table["work"] == WORK
        points[table["axis"]].append(table["at"])
        first = table["rows"][0]
        assert (first["contestant"], first["ratio"]) == ("peakserve", 1.0)
        assert all(row["note"] or row["milliseconds"] > 0 for row in table["rows"])
    assert points == {
        "density": list(QUICK.densities),
        "size": list(QUICK.size),
        "batch": list(QUICK.batch),
    }


@pytest.mark.parametrize("axis", ["density", "size", "batch"])
def test_curves_are_drawn(done, folder, axis):
    if not is_installed("matplotlib"):
        pytest.skip("matplotlib is not installed: pip install 'peakserve[plots]'")
    picture = (folder / "plots" / f"cost_by_{axis}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width >= 400
    assert height >= 300


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--work", "nope"], "'nope' is not one of"),
        (["--rounds", "0"], "0 is not in the range"),
    ],
    ids=["unknown work", "no rounds"],
)
def test_bad_options_are_refused(arguments, text):
    done = bench(*arguments)
    assert done.returncode == 2
    assert text in done.stderr


def test_without_matplotlib_curves_are_refused_before_measuring(tmp_path, monkeypatch):
    from export.benchmark.plots import PlotsError
    from export.benchmark.run import told

    # As Python marks a module that must not be imported.
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotsError, match="pip install 'peakserve\\[plots\\]'"):
        told(lambda console: pytest.fail("measured"), plots=tmp_path / "plots")
    assert not (tmp_path / "plots").exists()
