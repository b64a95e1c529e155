"""kill -9 while publishing: a numbered directory is complete or is not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from export import store as store_module
from export.store import STAGING_PREFIX, VersionStore

ROOT = Path(__file__).parents[2]
KILLS = 100
# Fractions of the interval in an order that covers it evenly at any time.
GOLDEN = 0.6180339887498949

# Publishes a copy of a real model, in small pieces so that every moment is long enough to be hit.
EXPORTER = """
import sys
from pathlib import Path
from export.store import VersionStore
source, root = Path(sys.argv[1]), sys.argv[2]
def write(staging):
    print("staging", flush=True)
    for path in sorted(source.rglob("*")):
        target = staging / path.relative_to(source)
        if path.is_dir():
            target.mkdir()
            continue
        content = path.read_bytes()
        with target.open("wb", buffering=0) as file:
            for start in range(0, len(content), 4096):
                file.write(content[start:start + 4096])
                print("piece", flush=True)
VersionStore(root, "peak_ops").publish(write)
print("published", flush=True)
"""


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def start(source, root):
    return subprocess.Popen(
        [sys.executable, "-c", EXPORTER, str(source), str(root)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def interval(source, root):
    """Of an undisturbed publication, from the first staged byte to its end: seconds and pieces."""
    exporter = start(source, root)
    assert exporter.stdout.readline() == b"staging\n"
    begin = time.perf_counter()
    told = exporter.stdout.read().split()
    seconds = time.perf_counter() - begin
    assert told.pop() == b"published"
    assert exporter.wait(timeout=30) == 0
    return seconds, len(told)


def test_kill_at_any_moment(published, tmp_path, tell):
    root = tmp_path / "models"
    store = VersionStore(root, "peak_ops")
    whole = content(published)
    length, pieces = max(interval(published, root) for _ in range(3))
    before, killed_early, orphans = 3, 0, 0
    for number in range(KILLS):
        exporter = start(published, root)
        assert exporter.stdout.readline() == b"staging\n"
        part = number * GOLDEN % 1
        try:
            if number % 2:
                # Between any two pieces, however fast the machine is.
                for _ in range(int(part * pieces)):
                    exporter.stdout.readline()
                exporter.send_signal(signal.SIGKILL)
            else:
                # At any time, such as while files are flushed or renamed.
                exporter.wait(timeout=length * part)
        except subprocess.TimeoutExpired:
            exporter.send_signal(signal.SIGKILL)
        exporter.communicate(timeout=30)
        versions = store.versions()
        assert versions in (list(range(1, before + 1)), list(range(1, before + 2)))
        killed_early += len(versions) == before
        if number % 2 == 0:
            # Other work on the machine comes and goes: half of these shall hit the interval.
            length *= 1.05 if len(versions) == before else 0.95
        before = len(versions)
        assert content(store.version_path(before)) == whole
        orphans = max(orphans, len(list(store.path.glob(f"{STAGING_PREFIX}*"))))
    assert killed_early >= KILLS // 4, "too few kills hit the interval"
    assert orphans == 1, "each run removes what the one before left"
    for version in store.versions():
        assert content(store.version_path(version)) == whole

    import tensorflow as tf

    assert "serving_default" in tf.saved_model.load(str(store.version_path(before))).signatures
    store.remove_stale_staging()
    assert not list(store.path.glob(f"{STAGING_PREFIX}*"))
    tell(f"{KILLS} kills, {killed_early} before the rename, {before} versions, all complete")


def test_everything_is_on_disk_before_the_rename(tmp_path, monkeypatch, tell):
    """What a power cut would tell: each file and folder is flushed before it gets its number."""
    store = VersionStore(tmp_path, "peak_ops")
    events = []
    flush, rename = os.fsync, Path.rename

    def note_flush(descriptor):
        events.append(("flush", os.fstat(descriptor).st_ino))
        flush(descriptor)

    def note_rename(path, target):
        events.append(("rename", path.stat().st_ino))
        return rename(path, target)

    monkeypatch.setattr(store_module.os, "fsync", note_flush)
    monkeypatch.setattr(Path, "rename", note_rename)

    def write(staging):
        (staging / "variables").mkdir()
        (staging / "saved_model.pb").write_bytes(b"graph")
        (staging / "variables" / "variables.index").write_bytes(b"index")

    _, directory = store.publish(write)
    moved = events.index(("rename", directory.stat().st_ino))
    for path in [directory, *directory.rglob("*")]:
        assert ("flush", path.stat().st_ino) in events[:moved], path
    assert ("flush", store.path.stat().st_ino) in events[moved:]
    tell(f"{moved} flushes before the rename")


def test_two_exporters_at_once_get_two_versions(published, tmp_path):
    exporters = [start(published, tmp_path) for _ in range(4)]
    for exporter in exporters:
        exporter.communicate(timeout=60)
        assert exporter.returncode == 0
    store = VersionStore(tmp_path, "peak_ops")
    assert store.versions() == [1, 2, 3, 4]
    for version in store.versions():
        assert content(store.version_path(version)) == content(published)


@pytest.mark.parametrize("version", [None, 7], ids=["free", "given"])
def test_an_interrupted_writer_leaves_the_older_version(published, tmp_path, version):
    store = VersionStore(tmp_path, "peak_ops")
    store.publish(lambda staging: (staging / "saved_model.pb").write_bytes(b"old"))

    def interrupted(staging):
        (staging / "saved_model.pb").write_bytes(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.publish(interrupted, version)
    assert [path.name for path in store.path.iterdir()] == ["1"]
    assert (store.version_path(1) / "saved_model.pb").read_bytes() == b"old"
