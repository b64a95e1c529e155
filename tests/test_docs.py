"""What the pages say can be run: the commands parse, the links lead somewhere, the examples print."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from export.cli import main
from serving_config.ports import free_ports

from .conftest import load_module
from .docs_pages import PAGES, ROOT, blocks, commands


def shown_commands():
    """Every command of every page."""
    for page in PAGES:
        for command in commands(page):
            yield pytest.param(command, id=f"{page.name}: {command}"[:90])


def parse(command, words, parent=None):
    """Reads a command line as the command would, and runs nothing."""
    if not isinstance(command, click.Group):
        command.make_context(command.name, words, parent=parent)
        return
    context = click.Context(command, parent=parent, info_name=command.name)
    _, (name, *rest), _ = command.make_parser(context).parse_args(words)
    inner = command.get_command(context, name)
    assert inner is not None, name
    parse(inner, rest, context)


@pytest.fixture
def any_file(monkeypatch):
    """Files need not be there; names of options and values have to be right."""
    monkeypatch.setattr(click.Path, "convert", lambda self, value, *_: Path(value))


@pytest.mark.parametrize("command", shown_commands())
def test_commands_have_the_options_that_the_pages_give_them(command, any_file):
    parse(main, [word for word in shlex.split(command) if word not in ("...", "&")])


@pytest.mark.parametrize("command", ["export --nope", "versions list extra", "tune"])
def test_a_wrong_command_is_noticed(command, any_file):
    with pytest.raises(click.UsageError):
        parse(main, shlex.split(command))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.fixture(scope="module")
def keypoints_host(tmp_path_factory):
    from export.builder import write_saved_model
    from serving_config.process import ModelServer
    from serving_config.programs import find_server
    from signatures.contract import KeypointOptions
    from signatures.keypoints import Keypoints

    directory = tmp_path_factory.mktemp("models") / "keypoints" / "1"
    directory.mkdir(parents=True)
    write_saved_model(Keypoints(KeypointOptions(height=40, width=48, channels=3)), directory)
    with ModelServer("keypoints", directory.parent, program=find_server()) as server:
        yield server


def test_the_tutorial_from_beginning_to_end(tmp_path, networks, long_run):
    """As it is written, but for the ports; the network takes every second pixel."""
    if not long_run:
        pytest.skip("two exports and a comparison: --long")
    frames = load_module(ROOT / "tests" / "export" / "prediction" / "frames.py")
    networks.save_every_nth_pixel(tmp_path / "network", stride=2)
    pictures = np.random.default_rng(0).integers(0, 50, (6, 320, 560, 3), np.uint8)
    pictures[:, 100:120, 200:230] = 250
    frames.save_video(tmp_path / "clip.mp4", pictures)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "peakserve"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m export "$@"\n')
    command.chmod(0o755)
    grpc_port, rest_port = map(str, free_ports(2))
    _, *steps = blocks(ROOT / "docs" / "tutorial.md", "sh")
    script = "".join(steps).replace("8500", grpc_port).replace("8501", rest_port)
    serve = "peakserve serve --model keypoints"
    assert serve in script
    script = script.replace(serve, f"{serve} --port {grpc_port} --rest-port {rest_port}")
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", f"set -e; trap 'kill %1' EXIT\n{script}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    # `versions diff` says by its exit code whether clients break: they do not.
    assert done.returncode == 0, done.stdout + done.stderr
    assert "published keypoints version 1: " in done.stdout
    assert '"state": "AVAILABLE"' in done.stdout
    assert "\nframe,node,x,y,confidence\n0,nose," in done.stdout
    assert "equal" in done.stdout
    assert (tmp_path / "drawn.mp4").stat().st_size > 1000


def test_the_javascript_example_prints_what_the_page_shows(keypoints_host, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on PATH")
    page = ROOT / "docs" / "wire-format.md"
    (example,) = blocks(page, "js")
    (line,) = blocks(page, "sh")
    (tmp_path / "keypoints.mjs").write_text(example)
    arguments = shlex.split(line.replace("127.0.0.1:8501", keypoints_host.rest_address))[1:]
    done = subprocess.run(
        [node, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = page.read_text().split(line)[1].split("```text\n")[1].split("```")[0]
    assert done.stdout == shown
