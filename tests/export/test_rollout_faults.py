"""Rollouts that meet one another, a full disk, or a server that goes away half way."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from export import rollout
from export.rollout import Rollout
from export.served_models import served_models
from export.store import StoreError
from export.version_labels import labels_in
from serving_config.errors import ServingError
from serving_config.models_config import MODELS_CONFIG, models_config_text
from serving_config.status import AVAILABLE, VersionStatus

HOSTS = rollout._hosts


@pytest.fixture
def store(tmp_path):
    for model in ("m", "n"):
        for number in (1, 2):
            directory = tmp_path / "models" / model / str(number)
            directory.mkdir(parents=True)
            (directory / "saved_model.pb").write_bytes(b"graph")
        labels_in(tmp_path / "models", model).move("stable", 1)
    return tmp_path / "models"


@pytest.fixture
def told(monkeypatch):
    """What servers are told; they have every version that they were told to have, at once."""
    texts = []

    class Client:
        transport = "gRPC"

        def __init__(self, address, **options):
            self.address = address

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def reload_config(self, text):
            texts.append((self.address, text))

        def status(self):
            told = (text for address, text in reversed(texts) if address == self.address)
            if (last := next(told, None)) is None:
                raise ServingError("no such model", code="NOT_FOUND", transport="gRPC")
            asked = versions_of("m", last)
            return {n: VersionStatus(AVAILABLE if n in asked else "END") for n in (1, 2)}

    monkeypatch.setattr(rollout, "GrpcClient", Client)
    monkeypatch.setattr(rollout, "_hosts", lambda client, model: True)
    Client.texts = texts
    return Client


def roll(store, model="m", addresses=("a",), config_dir=None):
    return Rollout(store, model, addresses, config_dir, 5.0, lambda line: None)


def versions_of(model, text):
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (entry,) = (e for e in config.model_config_list.config if e.name == model)
    return entry.model_version_policy.specific.versions


def test_rollouts_of_two_models_never_tell_what_is_outdated(store, told, monkeypatch):
    """The slower of two makes its text first, and would take the other's label back."""
    make, other = (
        rollout.models_config_text,
        threading.Thread(target=lambda: roll(store, "n").promote("stable", 2)),
    )

    def slowly(models):
        text = make(models)
        if threading.current_thread() is not other and not other.ident:
            other.start()
            other.join(timeout=1.0)
        return text

    monkeypatch.setattr(rollout, "models_config_text", slowly)
    roll(store).promote("stable", 2)
    other.join()
    assert told.texts[-1][1] == models_config_text(served_models(store))
    # Once a server was asked to load version 2 of `n`, nobody may take that back.
    asked = [2 in versions_of("n", text) for _, text in told.texts]
    assert asked == sorted(asked)


def test_two_rollouts_of_one_model_follow_one_another(store, told, monkeypatch):
    """The second's announcement would end the first's: its version is no longer asked for."""
    first_waits, second = threading.Event(), []
    look = told.status

    def status(client):
        if not first_waits.is_set():
            first_waits.set()
            second.append(threading.Thread(target=lambda: roll(store).promote("canary", 1)))
            second[0].start()
            second[0].join(timeout=0.5)
            assert labels_in(store, "m").read().loading == [2]
        return look(client)

    monkeypatch.setattr(told, "status", status)
    roll(store).promote("stable", 2)
    second[0].join()
    assert labels_in(store, "m").read().labels == {"stable": 2, "canary": 1}


def test_a_server_that_serve_started_is_not_told_one_thing_and_given_another(store, told):
    """It reads its file again, which then has to say the same about the model; and only of it."""
    path = store / ".serving" / "m" / MODELS_CONFIG
    path.parent.mkdir(parents=True)
    path.write_text("")
    roll(store).promote("stable", 2)
    (own, _) = served_models(store)
    assert path.read_text() == models_config_text([own])
    assert (own.name, own.versions, own.labels) == ("m", (2,), {"stable": 2})
    roll(store).roll_back("stable")
    assert list(versions_of("m", path.read_text())) == [1]
    assert not (store / ".serving" / "n").exists()
    # A running server refuses a label on a version that it has not loaded yet.
    said = []
    Rollout(store, "m", (), None, 5.0, said.append).promote("stable", 2)
    assert said == [
        "stable is m 2, was 1; servers that run go on as before: move it on them with --address "
        "HOST:PORT"
    ]
    assert list(versions_of("m", path.read_text())) == [1]


@pytest.mark.parametrize(
    "said", [None, VersionStatus("END", "CANCELLED", "Loading of servable cancelled")]
)
def test_a_server_that_undoes_what_it_is_told_is_explained(store, told, monkeypatch, said):
    looks = []

    def look(client):
        looks.append(1)
        return {2: said} if said is not None and len(looks) > 1 else {}

    monkeypatch.setattr(told, "status", look)
    with pytest.raises(
        ServingError, match=r"AVAILABLE, got .*; a server that reads .* --config-dir"
    ):
        Rollout(store, "m", ["a"], None, 0.2, lambda line: None).promote("stable", 2)
    assert labels_in(store, "m").read().labels == {"stable": 1}


def test_the_newest_is_not_waited_for_when_the_last_label_goes(store, told, monkeypatch):
    """Without labels it is what clients ask for, and stays."""
    everything = {number: VersionStatus(AVAILABLE) for number in (1, 2)}
    monkeypatch.setattr(told, "status", lambda client: everything)
    labels_in(store, "m").move("stable", 2)
    labels_in(store, "m").forget()
    said = []
    Rollout(store, "m", ["a"], None, 60.0, said.append).unlabel("stable")
    assert said == ["stable is no longer a label of m"]


def test_a_server_of_one_model_is_told_of_no_other(store, told, monkeypatch, tmp_path):
    """Which may be damaged, or not mounted where it runs; nor is it written where it was not."""
    monkeypatch.setattr(rollout, "_hosts", HOSTS)
    monkeypatch.setattr(told, "status", lambda client, model="m": of(model))

    def of(model):
        if model == "n":
            raise ServingError("no such model", code="NOT_FOUND", transport="gRPC")
        return {2: VersionStatus(AVAILABLE)}

    (tmp_path / MODELS_CONFIG).write_text(models_config_text(served_models(store)[:1]))
    roll(store, config_dir=tmp_path).promote("stable", 2)
    assert {'name: "n"' in text for _, text in told.texts} == {False}
    assert (tmp_path / MODELS_CONFIG).read_text() == models_config_text(served_models(store)[:1])
    (tmp_path / MODELS_CONFIG).write_text("models?")
    with pytest.raises(StoreError, match="expected the list of a server's models, got .*config"):
        roll(store, config_dir=tmp_path).promote("stable", 1)
    assert labels_in(store, "m").read().labels == {"stable": 2}


def test_what_no_model_can_be_is_passed_over(store):
    (store / ("x" * 130)).mkdir()
    (store / "lost+found").mkdir()
    assert [model.name for model in served_models(store)] == ["m", "n"]


def test_a_version_that_failed_once_may_load_when_it_is_asked_for_again(store, told, monkeypatch):
    """Until a stock server looks at its folder again, it says what it said before."""
    ended = VersionStatus("END", "UNKNOWN", "no such file")
    again = [ended, ended, VersionStatus("LOADING"), VersionStatus(AVAILABLE)]
    said = [*again, *again[:2], VersionStatus("LOADING"), ended]
    settled = VersionStatus("END")

    def status(client):
        return {2: said.pop(0) if said else settled}

    monkeypatch.setattr(told, "status", status)
    roll(store).promote("stable", 2)
    assert labels_in(store, "m").read().labels == {"stable": 2}
    labels_in(store, "m").move("stable", 1)
    with pytest.raises(ServingError, match="to be AVAILABLE, got END no such file"):
        roll(store).promote("stable", 2)
    assert labels_in(store, "m").read().labels == {"stable": 1}


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("act", ["promote", "roll back"])
def test_a_file_that_cannot_be_written_moves_nothing(store, told, tmp_path, monkeypatch, step, act):
    if act == "roll back":
        labels_in(store, "m").move("stable", 2)
    before = labels_in(store, "m").read()
    path = tmp_path / MODELS_CONFIG
    path.write_text("# as it was\n")
    left = [step]
    replace = os.replace

    def full(source, target):
        if Path(target) == path:
            left[0] -= 1
            if left[0] <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(rollout.os, "replace", full)
    move = roll(store, config_dir=tmp_path)
    with pytest.raises(StoreError, match=r"cannot write .*models\.config: No space left on device"):
        move.promote("stable", 2) if act == "promote" else move.roll_back("stable")
    state = labels_in(store, "m").read()
    assert state.labels == before.labels
    assert state.history.get("stable", []) == before.history.get("stable", [])
    assert not list(tmp_path.glob(".models*"))
    assert all("value: 2" not in text for _, text in told.texts) or act == "roll back"


def test_a_version_that_does_not_load_is_no_longer_asked_for(store, told, monkeypatch):
    failed = VersionStatus("END", "DATA_LOSS", "cut")
    monkeypatch.setattr(told, "status", lambda client: {2: failed})
    with pytest.raises(ServingError, match="cut"):
        roll(store).promote("stable", 2)
    (_, asked), (_, after) = told.texts
    assert "versions: 2" in asked
    assert "versions: 2" not in after


def test_a_server_that_goes_away_half_way_is_said_and_promoting_again_finishes(
    store, told, monkeypatch
):
    reload, gone = told.reload_config, []

    def once(client, text):
        if client.address == "b" and len(told.texts) == 3 and not gone:
            gone.append(client.address)
            raise ServingError("gone", code="UNAVAILABLE", transport="gRPC")
        reload(client, text)

    monkeypatch.setattr(told, "reload_config", once)
    with pytest.raises(
        ServingError,
        match="m 2 in the store, .*gone.*; run: peakserve versions promote 2 --label stable",
    ):
        roll(store, addresses=["a", "b"]).promote("stable", 2)
    roll(store, addresses=["a", "b"]).promote("stable", 2)
    assert {address for address, text in told.texts[-2:]} == {"a", "b"}
    assert told.texts[-1][1] == models_config_text(served_models(store))


def test_a_rollout_is_over_when_the_version_before_is_gone(store, told, monkeypatch):
    """Until then it looks available, and a label that goes back to it would soon name nothing."""
    looks, look = [], told.status

    def status(client):
        if not told.texts:
            return look(client)
        told_last = versions_of("m", told.texts[-1][1])
        looks.append(tuple(told_last))
        # Version 1 is unloaded a while after the server was told to.
        if looks.count((2,)) < 3:
            return {number: VersionStatus(AVAILABLE) for number in (1, 2)}
        return look(client)

    monkeypatch.setattr(told, "status", status)
    roll(store).promote("stable", 2)
    assert looks == [(1, 2), (2,), (2,), (2,)]


def test_a_version_that_stays_is_said(store, told, monkeypatch):
    everything = {number: VersionStatus(AVAILABLE) for number in (1, 2)}
    monkeypatch.setattr(told, "status", lambda client: everything)
    said = []
    Rollout(store, "m", ["a"], None, 0.3, said.append).promote("stable", 2)
    assert said[1:] == ["a: m 1, no longer needed, still there", "stable is m 2, was 1"]


def test_what_a_killed_rollout_left_is_ended_first(store, told):
    labels_in(store, "m").announce(2)
    roll(store).promote("canary", 1)
    assert [list(versions_of("m", text)) for _, text in told.texts] == [[1], [1], [1]]


@pytest.mark.parametrize("act", ["promote", "roll back", "unlabel"])
def test_a_server_that_goes_away_at_the_end_is_said(store, told, monkeypatch, act):
    """The label has moved by then, and the same command would move another one back."""
    labels = labels_in(store, "m")
    labels.move("stable", 2)
    labels.move("canary", 1)
    labels.forget()
    reload = told.reload_config

    def gone_at_the_end(client, text):
        reload(client, text)
        if len(told.texts) == (2 if act == "unlabel" else 3):
            raise ServingError("gone", code="UNAVAILABLE", transport="gRPC")

    monkeypatch.setattr(told, "reload_config", gone_at_the_end)
    move, label = roll(store), "canary" if act == "unlabel" else "stable"
    acts = {
        "promote": lambda: move.promote("canary", 2),
        "roll back": lambda: move.roll_back("stable"),
        "unlabel": lambda: move.unlabel("canary"),
    }
    with pytest.raises(ServingError, match="but servers may keep a version that no label names"):
        acts[act]()
    wanted = {"promote": {"canary": 2}, "roll back": {"stable": 1}, "unlabel": {}}[act]
    assert {**labels.read().labels, **wanted} == labels.read().labels
    assert (label in labels.read().labels) == (act != "unlabel")


def test_the_lock_of_a_model_is_no_version_and_no_model(store, told):
    roll(store).promote("stable", 2)
    assert labels_in(store, "m").store.versions() == [1, 2]
    assert [model.name for model in served_models(store)] == ["m", "n"]
    with pytest.raises(StoreError, match="no version in"):
        roll(store, "absent").promote("stable", 1)
    assert not (store / "absent").exists()
