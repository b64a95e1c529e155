"""The version store: numbering, atomic publishing, stale staging, interruptions, two exporters."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from export.store import STAGING_PREFIX, StoreError, VersionStore


def fill(directory: Path) -> None:
    (directory / "saved_model.pb").write_bytes(b"graph")
    (directory / "variables").mkdir()
    (directory / "variables" / "variables.index").write_bytes(b"index")


@pytest.fixture
def store(tmp_path):
    return VersionStore(tmp_path / "models", "peak_ops")


def staging(store):
    return list(store.path.glob(f"{STAGING_PREFIX}*"))


def test_versions_count_up_from_one(store):
    assert [store.publish(fill)[0] for _ in range(3)] == [1, 2, 3]
    assert store.versions() == [1, 2, 3]
    assert not staging(store)
    assert (store.version_path(3) / "variables" / "variables.index").read_bytes() == b"index"


@pytest.mark.parametrize(
    ("names", "following"),
    [
        (["7"], 8),
        (["007"], 8),
        (["abc", "-3", "1x", ".2", "v5", "0002.tmp", "٣"], 1),
        (["2", "10"], 11),
    ],
    ids=["gap", "leading_zeros", "no_numbers", "numeric_order"],
)
def test_the_next_free_version_is_the_servers_newest_plus_one(store, names, following):
    for name in names:
        (store.path / name).mkdir(parents=True)
    assert store.publish(fill)[0] == following


@pytest.mark.parametrize("taken", ["5", "005"])
def test_an_existing_version_is_never_overwritten(store, taken):
    (store.path / taken).mkdir(parents=True)
    (store.path / taken / "precious").write_text("data")
    with pytest.raises(StoreError, match="version 5 exists already"):
        store.publish(fill, version=5)
    assert (store.path / taken / "precious").read_text() == "data"
    assert not staging(store)


def test_a_file_named_as_a_version_counts_as_one(store):
    store.path.mkdir(parents=True)
    (store.path / "9").write_text("not a folder")
    assert store.publish(fill)[0] == 10


def test_a_given_version_is_published_as_asked(store):
    assert store.publish(fill, version=42) == (42, store.path / "42")
    assert store.publish(fill)[0] == 43


def test_published_folders_are_readable_by_others(store):
    _, directory = store.publish(fill)
    assert directory.stat().st_mode & 0o055 == 0o055 & ~os.umask(os.umask(0o022))


def test_a_failing_writer_leaves_nothing(store):
    def fail(directory):
        fill(directory)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.publish(fail)
    assert list(store.path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(store):
    def fail(directory):
        fill(directory)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StoreError, match="No space left on device; choose a writable folder"):
        store.publish(fail)
    assert list(store.path.iterdir()) == []


def test_a_time_stamp_is_none_of_the_servers_numbers(store):
    """Versions are signed numbers of 64 bits; a longer one is no version for the server."""
    (store.path / "20261125163000123456").mkdir(parents=True)
    assert store.versions() == []
    assert store.publish(fill)[0] == 1


def test_a_file_system_without_locks_is_one_sentence(store, monkeypatch):
    """Such as some network file systems: nobody may wait for a lock that never comes."""

    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("export.store.fcntl.flock", none)
    with pytest.raises(StoreError, match="cannot publish into .*: No locks available"):
        store.publish(fill)
    assert list(store.path.iterdir()) == []


def test_a_root_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "models").write_text("")
    with pytest.raises(StoreError, match="cannot publish into"):
        VersionStore(tmp_path / "models", "peak_ops").publish(fill)


def test_nothing_numbered_exists_before_the_rename(store):
    seen = []

    def look(directory):
        fill(directory)
        seen.extend(store.versions())

    store.publish(look)
    assert seen == []


def test_two_exporters_get_two_versions(store):
    barrier = threading.Barrier(8)

    def meet(directory):
        fill(directory)
        barrier.wait(timeout=30)

    with ThreadPoolExecutor(8) as pool:
        numbers = [f.result()[0] for f in [pool.submit(store.publish, meet) for _ in range(8)]]
    assert sorted(numbers) == list(range(1, 9))


KILLED = """
import sys, time
from pathlib import Path
from export.store import VersionStore
def write(directory):
    (directory / "saved_model.pb").write_bytes(b"graph")
    print("staged", flush=True)
    sys.stdin.read()
VersionStore(Path(sys.argv[1]), "peak_ops").publish(write)
"""


def test_staging_of_a_killed_exporter_is_removed_by_the_next_and_of_a_living_one_kept(
    store, tmp_path
):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "models")]
    exporters = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    try:
        for exporter in exporters:
            assert exporter.stdout.readline() == b"staged\n"
        dead, alive = exporters
        dead.send_signal(signal.SIGKILL)
        dead.wait(timeout=30)
        assert len(staging(store)) == 2
        assert store.publish(fill)[0] == 1
        assert len(staging(store)) == 1
        alive.communicate(timeout=30)
        assert alive.returncode == 0
        assert store.versions() == [1, 2]
        assert not staging(store)
    finally:
        for exporter in exporters:
            exporter.kill()
            exporter.communicate()


def test_a_store_without_a_folder_has_no_versions(store):
    assert store.versions() == []
    shutil.rmtree(store.path, ignore_errors=True)
    assert store.remove_stale_staging() == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/x", "a/b", ".hidden", "a\0b", "a\nb", "x" * 129], ids=repr
)
def test_a_model_cannot_leave_the_model_root(tmp_path, name):
    with pytest.raises(StoreError, match="expected a model's name, one folder of"):
        VersionStore(tmp_path, name)
