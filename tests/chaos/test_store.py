"""The store under kill -9: two writers, a reader that looks all the time, and what is left.

Short: 60 kills. `--long`: 500.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from export.rollout import LOCK_FILE
from export.store import STAGING_PREFIX
from export.version_labels import STATE_FILE, labels_in
from serving_config.models_config import MODELS_CONFIG

from .store_writer import FILES, LABELS, MODEL, PIECES, write_version

ROOT = Path(__file__).parents[2]


class Store:
    """The store and the configuration as a server finds them."""

    def __init__(self, root: Path, config_dir: Path) -> None:
        self.root, self.config_dir = root, config_dir
        self.labels = labels_in(root, MODEL)
        self.looks = 0
        self.positions: set[tuple[str, int]] = set()

    def is_whole(self, version: int) -> bool:
        """Whether every file of a version has all its bytes."""
        directory = self.labels.store.version_path(version)
        try:
            return all((directory / name).read_bytes() == name.encode() * PIECES for name in FILES)
        except OSError:
            return False

    def look(self) -> None:
        """What must hold at any moment, while others write."""
        for label, version in self.labels.read().labels.items():
            self.positions.add((label, version))
            if not self.is_whole(version):
                # It may have been unlabelled, and then pruned, between the two looks.
                assert self.labels.read().labels.get(label) != version, (label, version)
        self.configured()
        self.looks += 1

    def configured(self) -> list[tuple[set[int], dict[str, int]]]:
        """Versions and labels of each model in the server's configuration."""
        try:
            text = (self.config_dir / MODELS_CONFIG).read_text()
        except FileNotFoundError:
            return []
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        return [
            (set(entry.model_version_policy.specific.versions), dict(entry.version_labels))
            for entry in config.model_config_list.config
        ]

    def check_at_rest(self) -> None:
        """What must hold while nobody writes, however the last writers ended."""
        state = self.labels.read()
        for version in {*self.labels.store.versions(), *state.served}:
            assert self.is_whole(version), (version, state)
        for versions, labels in self.configured():
            assert set(labels.values()) <= versions
            for version in versions:
                assert self.is_whole(version), f"the server is told to load {version}, {state}"


def start_writer(store: Store, seed: int) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("store_writer.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(store.root), str(store.config_dir), str(seed)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return process


def end(writer: subprocess.Popen[bytes]) -> None:
    assert writer.poll() is None, "the writer ended by itself, with an error"
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=30)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    root, config_dir = tmp_path / "models", tmp_path / "serving"
    config_dir.mkdir()
    store = Store(root, config_dir)
    for _ in range(3):
        store.labels.store.publish(write_version)
    for label in LABELS:
        store.labels.move(label, 1)
    store.labels.forget()
    return store


def test_kills_of_two_writers(store, tell, long_run):
    """Each is killed at random moments while the other goes on; every second time both rest."""
    draw = random.Random(0)
    wanted, kills = 500 if long_run else 60, 0
    writers = [start_writer(store, 0), start_writer(store, 1)]
    stop, faults = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                store.look()
            except BaseException as error:
                faults.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while kills < wanted and not faults:
            time.sleep(draw.uniform(0.002, 0.08))
            end(writers[0])
            kills += 1
            if kills % 4 == 1:
                end(writers[1])
                kills += 1
                store.check_at_rest()
                writers[1] = start_writer(store, 1000 + kills)
            writers[0] = start_writer(store, kills)
            writers.reverse()
    finally:
        stop.set()
        reader.join()
        for writer in writers:
            writer.kill()
            writer.communicate(timeout=30)
    assert not faults, faults[0]
    store.check_at_rest()
    newest = store.labels.store.publish(write_version)[0]
    store.labels.move("stable", newest)
    store.labels.forget()
    left = [path.name for path in store.labels.store.path.iterdir()]
    assert set(left) == {STATE_FILE, LOCK_FILE, *map(str, store.labels.store.versions())}
    assert not [name for name in left if name.startswith(STAGING_PREFIX)]
    tell(
        f"store: {kills} kills of two writers, {newest} versions published, "
        f"{len(store.positions)} label positions seen in {store.looks} looks, all sound"
    )
