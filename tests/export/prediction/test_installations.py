"""What the command needs to be installed: no TensorFlow ever, and an extra only where it is used.

Packages that are not allowed are hidden from the subprocesses of these tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .frames import csv, image_rows, images, maps, rows, save_picture, save_video

ROOT = Path(__file__).parents[3]
ONLY = ROOT / "tests" / "serving_config" / "client_only.py"
README = (ROOT / "README.md").read_text()
# The README's list for this command, without what decodes.
CLIENT = ("numpy", "grpcio", "grpcio-channelz", "protobuf", "click", "rich")
VIDEO = (*CLIENT, "av", "pillow")


def run(packages, *arguments):
    """The command where only some packages are installed."""
    return subprocess.run(
        [sys.executable, ONLY, ",".join(packages), "-m", "export", "predict", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture
def files(tmp_path):
    """One of each kind."""
    np.savez(tmp_path / "maps.npz", confmaps=maps(2), images=images(2))
    save_picture(tmp_path / "shot.png", images(1)[0])
    save_video(tmp_path / "clip.mkv", images(2))
    return tmp_path


def test_the_readme_names_the_packages():
    section = README.split("### Client without TensorFlow\n")[1].split("\n### ")[0]
    (sentence,) = re.findall(r"`peakserve predict` needs\s+([^.]+)\.", section)
    assert re.findall(r"`([\w-]+)`", sentence) == ["click", "rich", "av", "pillow"]


def test_maps_need_the_clients_packages_only(files, model):
    done = run(CLIENT, files / "maps.npz", "--address", model.address)
    assert (done.returncode, done.stdout) == (0, csv(rows(range(2)))), done.stderr


def test_files_of_pictures_as_well(files, model):
    done = run(CLIENT, files / "shot.png", "--address", model.address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("frame,node,x,y,confidence\n0,node0,")


def test_videos_and_overlays_with_their_extra(files, model):
    done = run(VIDEO, files / "clip.mkv", "--address", model.address, "--overlay", files / "o.mp4")
    assert (done.returncode, done.stdout) == (0, csv(image_rows(range(2)))), done.stderr
    assert (files / "o.mp4").stat().st_size > 500


def test_tensorflow_is_not_imported(files, model):
    """Where it is installed."""
    code = (
        "import sys\n"
        "from export.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print([name for name in ('tensorflow', 'keras', 'yaml') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", files / "clip.mkv", "--address", model.address,
         "--overlay", files / "drawn", "--out", files / "points.csv"],
        capture_output=True, text=True, timeout=60, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout == "[]\n"
    assert (files / "points.csv").read_text() == csv(image_rows(range(2)))


def test_help_imports_nothing_that_decodes():
    code = (
        "import sys, click.testing\n"
        "from export.cli import main\n"
        "click.testing.CliRunner().invoke(main, ['predict', '--help'], catch_exceptions=False)\n"
        "print([name for name in ('av', 'PIL', 'grpc', 'rich.progress') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("packages", "given", "options", "sentence"),
    [
        (CLIENT, "clip.mkv", [], "{tmp}/clip.mkv: decoding a video needs the package av, which is not installed; pip install 'peakserve[video]'"),
        (CLIENT, "shot.png", ["--signature=images"], "{tmp}/shot.png: decoding a picture needs the package pillow, which is not installed; pip install 'peakserve[video]'"),
        (CLIENT, "maps.npz", ["--overlay={tmp}/o.png"], "--overlay needs the package pillow, which is not installed; pip install 'peakserve[video]'"),
        ((*CLIENT, "pillow"), "maps.npz", ["--overlay={tmp}/o.mp4"], "--overlay {tmp}/o.mp4: encoding a video needs the package av, which is not installed; pip install 'peakserve[video]'"),
        (VIDEO, "clip.mkv", ["--out={tmp}/p.slp"], "writing a .slp file needs the package sleap-io, which is not installed; pip install 'peakserve[slp]'"),
        (CLIENT[:-1], "maps.npz", [], "this command needs the package rich, which is not installed; pip install peakserve adds all it needs"),
    ],
    ids=["video", "decoded picture", "overlay", "overlay as a video", "slp", "command line"],
)  # fmt: skip
def test_what_is_missing_is_named_with_the_line_that_adds_it(
    packages, given, options, sentence, files, model
):
    options = [option.format(tmp=files) for option in options]
    done = run(packages, files / given, "--address", model.address, *options)
    assert done.stderr == f"Error: {sentence.format(tmp=files)}\n"
    assert done.returncode == 1
    assert model.sizes == []
