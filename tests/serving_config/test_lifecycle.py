"""Which version answers when: the order of loading and unloading, without TensorFlow's own time."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving_config.embedded.failures import StatusError
from serving_config.embedded.lifecycle import Retries
from serving_config.embedded.manager import Manager
from serving_config.embedded.model_config import ModelEntry, VersionPolicy
from serving_config.wire import ModelQuery

POLL = 0.02


class FakeServable:
    """Remembers that it was closed; a directory with a file `bad` does not load."""

    def __init__(self, name, version, directory):
        self.name, self.version, self.directory = name, version, directory
        self.signatures = {}
        self.is_closed = False

    def close(self):
        self.is_closed = True


class FakeLoader:
    def __init__(self):
        self.loaded = []
        self.attempts = []
        self.may_load = threading.Event()
        self.may_load.set()

    def __call__(self, name, version, directory):
        self.attempts.append((name, version))
        self.may_load.wait(10)
        if (directory / "bad").exists():
            raise StatusError("DATA_LOSS", "cannot be read")
        servable = FakeServable(name, version, directory)
        self.loaded.append(servable)
        return servable


def within(seconds, holds):
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < deadline:
        if holds():
            return True
        pause.wait(0.005)
    return False


class World:
    def __init__(self, base, **options):
        self.base = base
        self.loader = FakeLoader()
        self.said = []
        options = {"retries": Retries(), "poll_seconds": POLL, **options}
        self.manager = Manager(self.loader, say=self.said.append, **options)

    def publish(self, *names, model="m"):
        for name in names:
            (self.base / model / name).mkdir(parents=True)

    def remove(self, name, model="m"):
        path = self.base / model / name
        for inner in path.iterdir():
            inner.unlink()
        path.rmdir()

    def entry(self, name="m", **fields):
        return ModelEntry(name, str(self.base / name), **fields)

    def states(self, name="m"):
        try:
            found = self.manager.statuses(ModelQuery(name))
        except StatusError:
            return {}
        return {version: status.state for version, status in found}

    def status(self, version, name="m"):
        [(_, status)] = self.manager.statuses(ModelQuery(name, version=version))
        return (status.state, status.error_code, status.error_message)

    def reaches(self, states, name="m"):
        assert within(5, lambda: self.states(name) == states), self.states(name)

    def answering(self, name="m", **query):
        with self.manager.lease(ModelQuery(name, **query)) as servable:
            return servable.version


@pytest.fixture
def make_world(tmp_path):
    worlds = []

    def make(**options):
        worlds.append(World(tmp_path, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.loader.may_load.set()
        world.manager.close()


@pytest.fixture
def world(make_world):
    return make_world()


def refusal(call, *arguments, **options):
    with pytest.raises(StatusError) as caught:
        call(*arguments, **options)
    return (caught.value.code, caught.value.text)


@contextmanager
def in_background(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield thread
    thread.join(10)
    assert not thread.is_alive()


class TestVersions:
    @pytest.mark.parametrize(
        ("names", "answers"),
        [
            (["1", "2", "10"], 10),
            (["abc", "1x", "0002.tmp", ".2", "v5", "3"], 3),
            (["007", "6"], 7),
            (["99999999999999999999", "4"], 4),
            (["-3", "+2"], 2),
        ],
    )
    def test_names_that_count(self, world, names, answers):
        world.publish(*names)
        assert world.manager.reload([world.entry()])
        assert world.answering() == answers

    def test_the_new_one_answers_before_the_old_one_goes(self, world):
        world.publish("1")
        world.manager.reload([world.entry()])
        world.loader.may_load.clear()
        world.publish("2")
        world.reaches({1: "AVAILABLE", 2: "LOADING"})
        assert world.answering() == 1
        world.loader.may_load.set()
        world.reaches({1: "END", 2: "AVAILABLE"})
        assert world.answering() == 2
        first, second = world.loader.loaded
        assert first.is_closed
        assert not second.is_closed
        missing = ("NOT_FOUND", "Servable not found for request: Specific(m, 1)")
        assert refusal(world.answering, version=1) == missing

    def test_the_newest_deleted_brings_back_the_one_before(self, world):
        world.publish("1", "2")
        world.manager.reload([world.entry()])
        world.reaches({2: "AVAILABLE"})
        world.remove("2")
        world.reaches({1: "AVAILABLE", 2: "END"})
        assert [servable.version for servable in world.loader.loaded] == [2, 1]

    def test_an_older_one_does_not_matter(self, world):
        world.publish("5")
        world.manager.reload([world.entry()])
        world.publish("4")
        assert not within(0.2, lambda: 4 in world.states())

    def test_all_deleted_and_one_that_comes_back(self, world):
        world.publish("3")
        world.manager.reload([world.entry()])
        world.remove("3")
        world.reaches({3: "END"})
        missing = ("NOT_FOUND", "Servable not found for request: Latest(m)")
        assert refusal(world.answering) == missing
        world.publish("1")
        world.reaches({1: "AVAILABLE", 3: "END"})

    def test_the_base_path_is_gone_for_a_while(self, world):
        world.publish("1")
        world.manager.reload([world.entry()])
        (world.base / "m").rename(world.base / "away")
        assert within(5, lambda: any("Could not find base path" in line for line in world.said))
        assert world.answering() == 1
        (world.base / "away").rename(world.base / "m")
        world.publish("2")
        world.reaches({1: "END", 2: "AVAILABLE"})

    def test_a_file_is_no_version(self, world):
        world.publish("1")
        world.manager.reload([world.entry()])
        path = world.base / "m" / "9"
        path.write_text("")
        world.reaches({1: "AVAILABLE", 9: "END"})
        assert world.status(9) == (
            "END",
            "FAILED_PRECONDITION",
            "Error while attempting to reserve resources to load servable "
            f"{{name: m version: 9}}: {path}; Not a directory",
        )
        assert world.loader.attempts == [("m", 1)]

    def test_one_that_fails_is_not_tried_again_while_it_is_wanted(self, world):
        world.publish("1")
        world.manager.reload([world.entry()])
        (world.base / "staged" / "2").mkdir(parents=True)
        (world.base / "staged" / "2" / "bad").write_text("")
        (world.base / "staged" / "2").rename(world.base / "m" / "2")
        world.reaches({1: "AVAILABLE", 2: "END"})
        assert world.status(2) == ("END", "DATA_LOSS", "cannot be read")
        assert world.answering() == 1
        (world.base / "m" / "2" / "bad").unlink()
        assert not within(0.2, lambda: len(world.loader.attempts) > 2)
        world.publish("3")
        world.reaches({1: "END", 2: "END", 3: "AVAILABLE"})
        world.remove("3")
        world.reaches({1: "END", 2: "AVAILABLE", 3: "END"})

    def test_retries(self, make_world):
        world = make_world(retries=Retries(2, 0.01))
        world.publish("1")
        (world.base / "m" / "1" / "bad").write_text("")
        code, text = refusal(world.manager.reload, [world.entry()])
        assert (code, text) == (
            "UNKNOWN",
            "1 servable(s) did not become available: "
            "{{{name: m version: 1} due to error: DATA_LOSS: cannot be read}, }",
        )
        assert world.loader.attempts == [("m", 1)] * 3

    def test_waiting_for_a_retry_ends_when_nobody_wants_the_version(self, make_world):
        world = make_world(retries=Retries(5, 600))
        world.publish("1")
        world.manager.reload([world.entry()])
        (world.base / "staged").mkdir()
        (world.base / "staged" / "bad").write_text("")
        (world.base / "staged").rename(world.base / "m" / "2")
        world.reaches({1: "AVAILABLE", 2: "LOADING"})
        world.publish("3")
        world.reaches({1: "END", 2: "END", 3: "AVAILABLE"})

    def test_looking_once(self, make_world):
        world = make_world(poll_seconds=0)
        world.publish("1")
        world.manager.reload([world.entry()])
        world.publish("2")
        assert not within(0.2, lambda: 2 in world.states())
        assert world.answering() == 1

    @pytest.mark.parametrize(
        ("policy", "answering"),
        [
            (VersionPolicy("latest", 2), [2, 3]),
            (VersionPolicy("all"), [1, 2, 3]),
            (VersionPolicy("specific", versions=(1, 9)), [1]),
        ],
    )
    def test_policies(self, world, policy, answering):
        world.publish("1", "2", "3")
        world.manager.reload([world.entry(policy=policy)])
        world.reaches(dict.fromkeys(answering, "AVAILABLE"))
        assert world.answering() == max(answering)
        assert world.answering(version=min(answering)) == min(answering)

    def test_a_policy_that_changes(self, world):
        world.publish("1", "2")
        world.manager.reload([world.entry()])
        world.manager.reload([world.entry(policy=VersionPolicy("specific", versions=(1,)))])
        world.reaches({1: "AVAILABLE", 2: "END"})


def test_a_version_in_use_is_not_closed(world):
    world.publish("1")
    world.manager.reload([world.entry()])
    with world.manager.lease(ModelQuery("m")) as servable:
        world.publish("2")
        world.reaches({1: "UNLOADING", 2: "AVAILABLE"})
        assert world.answering() == 2
        assert not servable.is_closed
    world.reaches({1: "END", 2: "AVAILABLE"})
    assert servable.is_closed


def test_requests_never_miss_a_version(world):
    """A publisher that adds and removes versions, and clients that ask all the time."""
    world.publish("1")
    world.manager.reload([world.entry()])
    stop = threading.Event()
    answers, faults = set(), []

    def ask():
        while not stop.is_set():
            try:
                with world.manager.lease(ModelQuery("m")) as servable:
                    answers.add(servable.version)
                    if servable.is_closed:
                        faults.append(servable.version)
            except StatusError as error:
                faults.append(error.text)

    with in_background(ask), in_background(ask):
        try:
            for version in range(2, 12):
                world.publish(str(version))
                assert within(5, lambda v=version: world.states().get(v) == "AVAILABLE")
                if version % 3 == 0:
                    world.remove(str(version))
                    assert within(5, lambda v=version: world.states().get(v) == "END")
        finally:
            stop.set()
    assert not faults
    assert len(answers) > 5


class TestReload:
    def test_models_come_and_go(self, world):
        world.publish("1")
        world.publish("4", model="b")
        world.manager.reload([world.entry()])
        assert world.manager.reload([world.entry(), world.entry("b")])
        assert world.answering("b") == 4
        world.manager.reload([world.entry("b")])
        world.reaches({1: "END"})
        missing = ("NOT_FOUND", "Servable not found for request: Latest(m)")
        assert refusal(world.answering) == missing

    def test_a_model_that_fails(self, world):
        world.publish("1")
        world.publish("4", model="b")
        (world.base / "b" / "4" / "bad").write_text("")
        world.manager.reload([world.entry()])
        assert refusal(world.manager.reload, [world.entry(), world.entry("b")]) == (
            "UNKNOWN",
            "1 model(s) did not become available: "
            "{{{name: b version: 4} due to error: DATA_LOSS: cannot be read}, }",
        )
        # It is configured now: the next request has nothing to wait for.
        assert world.manager.reload([world.entry(), world.entry("b")])

    @pytest.mark.parametrize(
        ("entries", "text"),
        [
            ([ModelEntry("b", "/b"), ModelEntry("b", "/b")],
             "Illegal to list model b multiple times in config list"),
            ([ModelEntry("b", "relative/path")],
             "Expected model b to have an absolute path or URI; got base_path()=relative/path"),
            ([ModelEntry("m", "/m", platform="bogus")],
             "Illegal to change a model's platform. For model m platform was tensorflow and new "
             "platform requested is bogus"),
            ([ModelEntry("m", "/m", platform="")],
             "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
             "ModelServerConfig::model_platform, model name is m"),
            ([ModelEntry("b", "/b", platform="bogus")],
             "Model b requests unsupported platform bogus"),
        ],
    )  # fmt: skip
    def test_refusals(self, world, entries, text):
        world.publish("1")
        world.manager.reload([world.entry()])
        assert refusal(world.manager.reload, entries) == ("INVALID_ARGUMENT", text)
        assert world.answering() == 1

    def test_a_path_that_does_not_exist_blocks_until_told_to_go_on(self, world):
        world.publish("1")
        world.manager.reload([world.entry()])
        go_on = threading.Event()
        results = []

        def reload():
            entries = [world.entry(), world.entry("nowhere")]
            results.append(world.manager.reload(entries, lambda: not go_on.is_set()))

        with in_background(reload):
            assert not within(0.2, lambda: bool(results))
            assert world.answering() == 1
            go_on.set()
        assert results == [False]
        # The next one is not held up.
        assert world.manager.reload([world.entry()])

    def test_nothing_configured_yet(self, world):
        assert world.manager.reload(None)
        world.publish("1")
        assert world.manager.reload([world.entry()])
        assert refusal(world.manager.reload, None)[0] == "FAILED_PRECONDITION"


class TestLabels:
    def test_labels_follow_the_config(self, world):
        world.publish("1", "2")
        every = {"policy": VersionPolicy("all")}
        world.manager.reload([world.entry(**every)])
        world.reaches({1: "AVAILABLE", 2: "AVAILABLE"})
        world.manager.reload([world.entry(labels={"stable": 1, "canary": 2}, **every)])
        assert world.answering(label="stable") == 1
        assert world.answering(label="canary") == 2
        world.manager.reload([world.entry(labels={"stable": 2}, **every)])
        assert world.answering(label="stable") == 2
        unknown = ("INVALID_ARGUMENT", "Unrecognized servable version label: canary")
        assert refusal(world.answering, label="canary") == unknown

    def test_a_label_of_nothing_is_refused(self, world):
        world.publish("1")
        world.manager.reload([world.entry(labels={})])
        assert refusal(world.manager.reload, [world.entry(labels={"new": 7})]) == (
            "FAILED_PRECONDITION",
            "Request to assign label to version 7 of model m, which is not currently available "
            "for inference",
        )

    def test_at_the_start_too(self, world):
        world.publish("1")
        code, _ = refusal(world.manager.reload, [world.entry(labels={"stable": 1})])
        assert code == "FAILED_PRECONDITION"

    def test_unless_it_is_allowed(self, make_world):
        world = make_world(labels_before_versions=True)
        world.publish("1")
        world.manager.reload([world.entry(labels={"stable": 1, "next": 2})])
        assert world.answering(label="stable") == 1
        missing = ("NOT_FOUND", "Servable not found for request: Specific(m, 2)")
        assert refusal(world.answering, label="next") == missing
        # Only a new label may: one that moves must move to a version that answers.
        code, _ = refusal(world.manager.reload, [world.entry(labels={"stable": 3})])
        assert code == "FAILED_PRECONDITION"


def test_statuses(world):
    world.publish("1", "2")
    world.manager.reload([world.entry(policy=VersionPolicy("all"))])
    world.reaches({1: "AVAILABLE", 2: "AVAILABLE"})
    found = world.manager.statuses(ModelQuery("m", label="whatever"))
    assert [version for version, _ in found] == [2, 1]
    missing = ("NOT_FOUND", "Could not find version 9 of model m")
    assert refusal(world.manager.statuses, ModelQuery("m", version=9)) == missing
    missing = ("NOT_FOUND", "Could not find any versions of model nope")
    assert refusal(world.manager.statuses, ModelQuery("nope")) == missing
    assert refusal(world.answering, "") == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")


def test_where_a_servable_was_loaded_from(world):
    world.publish("007", "7")
    world.manager.reload([world.entry()])
    assert world.loader.loaded[0].directory == Path(world.base / "m" / "7")
