"""The disk is full while something is written: one sentence, nothing half there, nothing left."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from export.configuration import ConfigurationError, write_configuration
from export.rollout import Rollout
from export.store import StoreError, VersionStore
from export.version_labels import STATE_FILE, labels_in
from serving_config.launch import ServerPlan

from .models import STAMPED, write_config

ROOT = Path(__file__).parents[2]
UNSHARE = ("unshare", "--map-root-user", "--mount")
SENTENCE = "No space left on device"

# Mounts a small disk that only this shell sees, runs commands in it and lists what is there.
SHELL = """
set -e
mount -t tmpfs -o size="$1" tmpfs "$2"
cd "$2"
eval "$3"
set +e
eval "$4"
echo "exit $?"
find . -mindepth 1 | sort
cat models/*/peakserve-labels.json 2>/dev/null
true
"""


@pytest.fixture
def small_disk(tmp_path):
    """Runs a command on a disk of a size; exit code, standard error, and what is left."""
    mounted = tmp_path / "disk"
    mounted.mkdir()

    def run(size, command, before="true"):
        done = subprocess.run(
            [*UNSHARE, "sh", "-c", SHELL, "sh", size, str(mounted), before, command],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "400"},
        )
        code, _, left = done.stdout.rpartition("exit ")[2].partition("\n")
        assert code.isdigit(), done.stderr
        return int(code), done.stderr, left

    try:
        run("16k", "true")
    except (AssertionError, OSError) as error:
        pytest.skip(f"a disk of one's own cannot be mounted here: {str(error).splitlines()[0]}")
    return run


def peakserve(*arguments):
    return " ".join([sys.executable, "-m", "export", *map(str, arguments)])


def is_one_sentence(stderr):
    """Whether a user was told what happened: progress, and one line."""
    lines = [line for line in stderr.splitlines() if line and not line.endswith("...")]
    return len(lines) == 1 and lines[0].startswith("Error: ") and SENTENCE in lines[0]


def test_the_export_command_on_a_small_disk(small_disk, long_run, tell):
    """Sizes that end in different files: the variables, the graph, the warm-up, the manifest."""
    outcomes = []
    for size in (
        ("4k", "64k", "600k", "700k", "800k", "864k", "880k", "2m") if long_run else ("64k",)
    ):
        code, stderr, left = small_disk(size, peakserve("export", "--model-root", "models"))
        if code == 0:
            assert "models/peak_ops/1/assets.extra/peakserve.json" in left
        else:
            assert is_one_sentence(stderr), stderr
            assert set(left.split()) <= {"./models", "./models/peak_ops"}, left
        outcomes.append(f"{size}: exit {code}")
    assert "exit 1" in outcomes[0]
    tell(f"peakserve export on disks of {', '.join(outcomes)}")


def test_labels_and_configurations_on_a_full_disk(small_disk, root, templates, tell):
    """Nothing moves; and what makes room still works."""
    for _ in range(3):
        templates.publish(root, STAMPED)
    labels_in(root, STAMPED).move("stable", 2)
    # The command knows two models by name; what is in them does not matter here.
    options = ("--model", "peak_ops", "--model-root", "models")
    copy = f"mkdir models; cp -r {root / STAMPED} models/peak_ops"
    fill = f"{copy}; cat /dev/zero > filler 2>/dev/null || true"
    before = (root / STAMPED / STATE_FILE).read_text()
    for command in (
        ("versions", "promote", 3, *options),
        ("versions", "rollback", *options),
        ("versions", "pin", 3, *options),
        ("config", "--model-root", "models", "--out", "serving"),
    ):
        code, stderr, left = small_disk("600k", peakserve(*command), fill)
        assert code == 1, command
        assert is_one_sentence(stderr), stderr
        assert before in left
        new = [line for line in left.splitlines() if "serving/" in line or "/.peak" in line]
        assert not new, left
    code, _, left = small_disk("600k", peakserve("versions", "prune", "--keep", 1, *options), fill)
    assert code == 0
    assert "./models/peak_ops/3\n" not in left
    assert before in left


class FullDisk:
    """Every write of Python's after a number of them fails, a file's half way."""

    def __init__(self, monkeypatch, after):
        self.left = after
        self.failed = False
        for owner, name in (
            (Path, "mkdir"), (Path, "write_text"), (Path, "write_bytes"), (Path, "rename"),
            (Path, "touch"), (os, "replace"), (os, "fsync"), (shutil, "copyfile"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self._failing(getattr(owner, name), name))

    def _failing(self, function, name):
        def call(*arguments, **options):
            if self.left > 0:
                self.left -= 1
                return function(*arguments, **options)
            self.failed = True
            if name in ("write_text", "write_bytes"):
                arguments[0].open("w").write("half of i")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return call


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".rollout.lock"
    }


def fill(staging):
    (staging / "variables").mkdir()
    (staging / "saved_model.pb").write_bytes(b"graph")
    (staging / "variables" / "variables.index").write_bytes(b"index")


ACTS = {
    "publish": lambda root, out: VersionStore(root, STAMPED).publish(fill),
    "publish the first": lambda root, out: VersionStore(root, "other").publish(fill),
    "promote": lambda root, out: Rollout(root, STAMPED, [], out, 1.0, print).promote("stable", 1),
    "roll back": lambda root, out: Rollout(root, STAMPED, [], out, 1.0, print).roll_back("stable"),
    "pin": lambda root, out: labels_in(root, STAMPED).pin(1),
    "unlabel": lambda root, out: Rollout(root, STAMPED, [], out, 1.0, print).unlabel("canary"),
    "prune": lambda root, out: labels_in(root, STAMPED).prune(1),
    "config": lambda root, out: write_configuration(root, out, ServerPlan()),
}


@pytest.mark.parametrize("act", ACTS)
def test_each_write_in_turn_finds_the_disk_full(root, templates, tmp_path, act, monkeypatch, tell):
    for _ in range(3):
        templates.publish(root, STAMPED)
    labels = labels_in(root, STAMPED)
    labels.move("stable", 2)
    labels.move("canary", 4)
    write_config(root, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    for after in range(100):
        store, written = tmp_path / f"store-{after}", tmp_path / f"out-{after}"
        shutil.copytree(root, store)
        shutil.copytree(out, written)
        whole = {number: content(store / STAMPED / str(number)) for number in range(1, 5)}
        before = labels_in(store, STAMPED).read()
        with monkeypatch.context() as patch:
            disk = FullDisk(patch, after)
            if told := _ends_in_one_sentence(act, store, written):
                assert SENTENCE in told
                assert "\n" not in told
        if act == "prune" and disk.failed:
            # What was renamed away and could not be deleted, the next writer deletes.
            labels_in(store, STAMPED).pin(2)
        hidden = {path.name for path in (*store.rglob(".*"), *written.rglob(".*"))}
        assert hidden <= {".rollout.lock"}, (after, hidden)
        state = labels_in(store, STAMPED).read()
        if disk.failed and act != "unlabel":
            assert state.labels["canary"] == 4
        found = VersionStore(store, STAMPED).versions()
        for number in found:
            if number in whole:
                assert content(store / STAMPED / str(number)) == whole[number]
            else:
                assert (store / STAMPED / str(number) / "variables" / "variables.index").is_file()
        for version in state.labels.values():
            assert version in found
        json.loads((store / STAMPED / STATE_FILE).read_text())
        if not disk.failed:
            break
        assert told, f"write {after} of {act} failed, and nobody was told"
        if not after and act != "prune":
            assert state == before
    tell(f"{act}: the disk full at each of {after} writes")
    assert after > 0


def _ends_in_one_sentence(act, store, out):
    """What a user reads, `None` where all went well."""
    try:
        ACTS[act](store, out)
    except (StoreError, ConfigurationError) as error:
        return str(error)
    return None
