"""The pages' commands, run as they are written, in a folder that has what they name.

In this process, which has TensorFlow already, and without the replay before publishing, which takes
most of an export, and with smaller images; the tutorial goes the whole way, as a shell script, with
`--long`.
"""

from __future__ import annotations

import re
import shlex
import shutil
from contextlib import ExitStack
from pathlib import Path

import click.testing
import numpy as np
import pytest

from export import builder
from export.cli import main
from export.maps import draw_maps
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST

from .conftest import load_module
from .docs_pages import PAGES, commands
from .export.adapters import deeplabcut_folder, mmpose_network, sleap_folder

# By whom a command is run that would take minutes here, or take the place of this process.
ELSEWHERE = {
    "demo": "tests/export/test_cli.py",
    "bench": "tests/export/benchmark/test_bench_command.py",
    "tune": "tests/export/benchmark/test_tuning.py",
}
SHOWING = [page for page in PAGES if any(c.split()[0] not in ELSEWHERE for c in commands(page))]
TESTS = Path(__file__).parent
# Pixels of images and crops.
SMALLER = {
    "320": "64",
    "560": "80",
    "1024": "64",
    "1280": "80",
    "160": "32",
    "480": "64",
    "640": "80",
}
ADDRESS = re.compile(r"(?:127\.0\.0\.1|HOST):(8500|8501)")


# The others show examples, each of which begins with no model.
ONE_AFTER_THE_OTHER = ("operating.md", "tutorial.md")
# Which option names the folder that a command makes, and where.
MAKES = {"export": ("--model", Path("models")), "adapt": ("--out", Path())}


@pytest.fixture(scope="module")
def files(tmp_path_factory, networks):
    """What the pages take for granted: networks, a video, labelled maps."""
    folder = tmp_path_factory.mktemp("pages")
    for name, maps in (("network", 3), ("network.keras", 2), ("centroid.keras", 1)):
        networks.save_every_nth_pixel(folder / name, maps=maps)
    networks.save_every_nth_pixel(folder / "better.keras", maps=2, gain=0.5)
    networks.save_every_nth_pixel(folder / "instance.keras")
    write_networks_of_others(folder)
    frames = load_module(TESTS / "export" / "prediction" / "frames.py")
    pictures = np.random.default_rng(0).integers(0, 50, (3, 64, 80, 3), np.uint8)
    pictures[:, 20:30, 40:52] = 250
    frames.save_video(folder / "clip.mp4", pictures)
    np.savez(folder / "maps.npz", confmaps=draw_maps(2, 16, 32, 2)[0])
    maps = draw_maps(2, 32, 32, 3)[0]
    np.savez(folder / "labelled.npz", confmaps=maps, gt_cm=np.full((2, 3, 2), 16.0))
    return folder


def write_networks_of_others(folder):
    """What SLEAP, DeepLabCut and a conversion of MMPose leave, as the adapters' tests write it."""
    (folder / "models").mkdir()
    for kind, parts in (("single_instance", 2), ("centroid", 1), ("centered_instance", 2)):
        head = sleap_folder.pixels_network(sleap_folder.HEADS[kind], parts=parts)
        sleap_folder.write(
            folder / "models" / f"240101.{kind}", sleap_folder.configuration(kind), head
        )
    (folder / "exported-models").mkdir()
    name = "DLC_task_resnet_50_iteration-0_shuffle-1"
    deeplabcut_folder.write(folder / "exported-models" / name)
    mmpose_network.save(folder / "converted", mmpose_network.every_fourth_pixel)
    mmpose_network.write_config(folder, mmpose_network.configuration())


class Reader:
    """Who follows a page.

    Args:
      folder: Where what the page names lies.
      servers: Ends the server that the page has started.
    """

    def __init__(self, folder: Path, servers: ExitStack) -> None:
        self._folder = folder
        self._servers = servers
        self._server: ModelServer | None = None

    def follow(self, command: str) -> None:
        """Runs a command; every one has to succeed."""
        name, *options = words = [w for w in shlex.split(command) if w != "&"]
        if name == "serve":
            assert options == ["--model", "keypoints"]
            self._start()
            return
        if ADDRESS.search(command) and self._server is None:
            self._start()
        done = click.testing.CliRunner().invoke(main, [self._placed(word) for word in words])
        assert done.exit_code == 0, (command, done.output, done.exception)

    def _start(self) -> None:
        config = self._folder / "serving" / "models.config"
        flags = ["--enable_model_warmup=false"]
        if config.exists():
            # As in `serve.sh` beside it.
            flags += [
                f"--model_config_file={config}",
                "--allow_version_labels_for_unavailable_models=true",
            ]
        models = self._folder / "models" / "keypoints"
        server = ModelServer("keypoints", models, program=EMBEDDED_HOST, extra_flags=flags)
        self._server = self._servers.enter_context(server)

    def _placed(self, word: str) -> str:
        """A word with the addresses of the server that runs, and with smaller images."""
        if self._server is None:
            return SMALLER.get(word, word)
        places = {"8500": self._server.grpc_address, "8501": self._server.rest_address}
        word = ADDRESS.sub(lambda found: str(places[found[1]]), word)
        return SMALLER.get(word, word)


@pytest.mark.parametrize("page", SHOWING, ids=lambda page: page.name)
def test_commands_run_as_they_are_written(page, files, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "replay", lambda *_: builder.ReplayCounts(1, 1))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    with ExitStack() as servers:
        reader = Reader(tmp_path, servers)
        for command in commands(page):
            name, *options = command.split()
            if page.name not in ONE_AFTER_THE_OTHER and (made := MAKES.get(name)):
                option, root = made
                shutil.rmtree(root / options[options.index(option) + 1], ignore_errors=True)
            if name not in ELSEWHERE:
                reader.follow(command)
