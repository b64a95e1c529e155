"""Versions that are damaged, half there, or whose exporter is killed: the old one goes on."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from export.hosting import wait_for_version
from export.rollout import Rollout
from export.store import STAGING_PREFIX, StoreError, VersionStore
from export.version_labels import labels_in
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.programs import STOCK

from .damage import DAMAGES, UNREADABLE
from .load import Load, mixed
from .models import STAMPED
from .questions import stamped_questions
from .tally import Allowed

ROOT = Path(__file__).parents[2]
CLIENTS = 3
# A server looks at the disk once a second.
LOOK_SECONDS = 1.5
ROUNDS = 10
SHORT_DAMAGE = "variables of random bytes"


def loaded(server, allowed, clients=CLIENTS):
    questions = stamped_questions(allowed)
    return Load(mixed(server.grpc_address, server.rest_address, clients), questions)


def latest_of(root):
    """Flags that host the newest version, whatever the labels are: the later flag wins."""
    return "--model_config_file=", f"--model_base_path={root / STAMPED}"


def rollout_of(root, server, timeout=20.0):
    return Rollout(root, STAMPED, [server.grpc_address], None, timeout, lambda line: None)


def test_damaged_versions_change_nothing(program, templates, root, start, long_run, tell):
    """Each damage as a new version that nobody promoted, and then as one that somebody does."""
    server = start()
    labels = labels_in(root, STAMPED)
    allowed = {"stable": Allowed(1), None: Allowed(1)}
    damages = dict(DAMAGES)
    skipped = "" if os.geteuid() else ", modes not tried: root reads every file"
    if not skipped:
        damages |= UNREADABLE
    by_store = by_server = 0
    with loaded(server, allowed) as load:
        for turn in range(ROUNDS if long_run else 1):
            first = 2 + turn * len(damages)
            for version, spoil in enumerate(damages.values(), start=first):
                templates.place(root, STAMPED, version, spoil)
            load.wait_for(10**9, LOOK_SECONDS)
            for version, name in enumerate(damages, start=first):
                with pytest.raises((StoreError, ServingError)) as refused:
                    rollout_of(root, server).promote("stable", version)
                by_store += refused.type is StoreError
                by_server += refused.type is ServingError
                state = labels.read()
                assert (state.labels, state.loading) == ({"stable": 1}, []), name
                assert "\n" not in str(refused.value)
    tell(
        f"{program.kind}, {len(damages)} damages x {turn + 1}{skipped}: {load.tally}; promotions "
        f"refused: {by_store} by the store, {by_server} by the server"
    )
    assert not load.tally.failed
    assert not load.tally.wrong
    assert set(load.tally.answered) == {f"{STAMPED} 1"}


@pytest.mark.parametrize("damage", ["graph truncated", SHORT_DAMAGE, "empty"])
def test_the_version_that_answers_is_damaged_on_disk(
    program, templates, root, start, damage, long_run, tell
):
    """What was loaded is in memory; nobody goes back to what is left on disk."""
    if damage != SHORT_DAMAGE and not long_run:
        pytest.skip("another damage of the same kind: --long")
    labels = labels_in(root, STAMPED)
    templates.publish(root, STAMPED)
    labels.move("stable", 2)
    server = start()
    with loaded(server, {"stable": Allowed(2), None: Allowed(2)}) as load:
        for version in (1, 2):
            DAMAGES[damage](labels.store.version_path(version))
        load.wait_for(10**9, LOOK_SECONDS)
        with pytest.raises(StoreError, match="expected a version that stable named before"):
            rollout_of(root, server).roll_back("stable")
        load.wait_for(10**9, LOOK_SECONDS / 3)
    tell(f"{program.kind}, the version that answers: {damage}: {load.tally}")
    assert not load.tally.failed
    assert not load.tally.wrong


# Copies a version into place in small pieces, as the exporter does.
EXPORTER = """
import sys
from pathlib import Path
from export.store import VersionStore
source, root, model, version = Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4])
def write(staging):
    for path in sorted(source.rglob("*")):
        target = staging / path.relative_to(source)
        if path.is_dir():
            target.mkdir()
            continue
        with target.open("wb", buffering=0) as file:
            content = path.read_bytes()
            for start in range(0, len(content), 256):
                file.write(content[start:start + 256])
print("begun", flush=True)
VersionStore(root, model).publish(write, version)
"""


def start_exporter(*arguments):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_exporters_killed_at_random_moments(
    program, templates, root, start, tmp_path, long_run, tell
):
    """The server takes whatever is newest, without labels: only whole versions ever appear."""
    server = start(*latest_of(root))
    store = VersionStore(root, STAMPED)
    draw, allowed = random.Random(0), Allowed(1)
    kills = whole = 0
    length = 0.0
    with loaded(server, {None: allowed}) as load:
        # The first is left alone: it says how long the others may take.
        while kills < (100 if long_run else 8):
            version = max(store.versions()) + 1
            source = tmp_path / f"source-{version}-{kills}"
            source.mkdir()
            templates.fill(STAMPED, version, source)
            # The server has its own time to look.
            allowed.become(*range(1, version + 1))
            exporter = start_exporter("-c", EXPORTER, source, root, STAMPED, version)
            assert exporter.stdout.readline() == b"begun\n"
            begin = time.monotonic()
            if length:
                threading.Event().wait(draw.uniform(0, length))
                exporter.kill()
            exporter.communicate(timeout=30)
            if not length:
                length = time.monotonic() - begin
                continue
            kills += 1
            whole += version in store.versions()
        load.wait_for(10**9, LOOK_SECONDS)
        newest = max(store.versions())
        wait_for_version(server.grpc_address, STAMPED, newest, seconds=60)
    tell(
        f"{program.kind}, {kills} exporters killed, {whole} versions came through: {load.tally}; "
        f"answered by {len(load.tally.answered)} versions"
    )
    assert not load.tally.failed
    assert not load.tally.wrong
    assert 0 < whole < kills or not long_run
    store.remove_stale_staging()
    assert not list(store.path.glob(f"{STAGING_PREFIX}*"))


def test_the_command_is_killed_at_random_moments(program, root, start, long_run, tell):
    """`peakserve export` beside a server on the same folder, killed in every phase of its work."""
    if not long_run:
        pytest.skip("the command takes its time: --long")
    server = start()
    allowed = {"stable": Allowed(1), None: Allowed(1)}
    draw, kills, ended = random.Random(1), 12, 0
    with loaded(server, allowed) as load:
        for _ in range(kills):
            exporter = start_exporter("-m", "export", "export", "--model-root", root)
            try:
                exporter.wait(timeout=draw.uniform(1, 30))
                ended += 1
            except subprocess.TimeoutExpired:
                exporter.kill()
            exporter.communicate(timeout=30)
            store = VersionStore(root, "peak_ops")
            assert store.versions() in ([], [1])
    store.remove_stale_staging()
    assert not [path for path in store.path.iterdir() if path.name != "1"]
    tell(f"{program.kind}, {kills - ended} of {kills} commands killed: {load.tally}")
    assert not load.tally.failed
    assert not load.tally.wrong


def test_the_servers_own_trap_and_how_the_store_keeps_out_of_it(
    program, templates, root, start, tmp_path, long_run, tell
):
    """Under the plain policy a copy without its variables replaces the good version.

    A server that is given labels never looks at it. Publishing takes one rename, so that the
    plain policy never sees half of a version either.
    """
    if program.kind != STOCK and not long_run:
        pytest.skip("a trap of the stock server, which the embedded host imitates: --long")
    server = start(*latest_of(root))
    # Not atomic: the graph first.
    directory = templates.place(root, STAMPED, 2, DAMAGES["without variables"])
    with GrpcClient(server.grpc_address, model=STAMPED, contracts={}) as client:
        wait_for_version(server.grpc_address, STAMPED, 2, seconds=20)
        with pytest.raises(ServingError) as failed:
            client.predict("", {"x": np.ones(1, np.float32)})
    assert failed.value.code in ("FAILED_PRECONDITION", "NOT_FOUND")
    shutil.rmtree(directory)
    wait_for_version(server.grpc_address, STAMPED, 1, seconds=20)
    source, copied = tmp_path / "source", threading.Event()
    source.mkdir()
    templates.fill(STAMPED, 2, source)

    def slowly(staging):
        """Each file some time after the one before, the graph first."""
        for path in sorted(source.rglob("*"), key=lambda path: path.name != "saved_model.pb"):
            target = staging / path.relative_to(source)
            if path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
                copied.wait(0.3)

    allowed = Allowed(1, 2)
    with loaded(server, {None: allowed}) as load:
        VersionStore(root, STAMPED).publish(slowly)
        wait_for_version(server.grpc_address, STAMPED, 2, seconds=20)
        load.wait_for(10, 5)
    tell(
        f"{program.kind}, latest policy: a copy without variables is AVAILABLE and answers "
        f"{failed.value.code}; published over two seconds: {load.tally}"
    )
    assert not load.tally.failed
    assert not load.tally.wrong
    assert set(load.tally.answered) == {f"{STAMPED} 1", f"{STAMPED} 2"}
