"""Labels, pins and pruning: what the store remembers, whoever writes and whenever it is killed."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from export.store import StoreError
from export.version_labels import STATE_FILE, labels_in


def add_version(root, number):
    """A version as another tool writes it; returns its directory."""
    directory = root / "m" / str(number)
    directory.mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"graph")
    return directory


@pytest.fixture
def labels(tmp_path):
    for number in range(1, 6):
        add_version(tmp_path, number)
    return labels_in(tmp_path, "m")


def numbers(labels):
    return labels.store.versions()


def test_a_label_moves_in_three_steps(labels):
    assert labels.read().served == []
    labels.move("stable", 1)
    assert labels.announce(3).served == [1, 3]
    state = labels.move("stable", 3)
    assert (state.labels, state.served, state.history) == ({"stable": 3}, [1, 3], {"stable": [1]})
    assert labels.forget().served == [3]


def test_what_a_killed_rollout_left_is_not_pruned(labels):
    """Servers may not know yet that the label moved."""
    labels.move("stable", 1)
    labels.move("stable", 2)
    labels.roll_back("stable", 1)
    labels.announce(3)
    assert labels.read().served == [1, 2, 3]
    assert labels.prune(keep=1) == [4]
    labels.forget()
    assert labels.prune(keep=1) == [2, 3]


def test_rolling_back_goes_to_the_version_before_and_further(labels):
    for number in (1, 2, 4):
        labels.move("stable", number)
    assert labels.previous("stable") == 2
    labels.roll_back("stable", 2)
    assert labels.previous("stable") == 1
    labels.roll_back("stable", 1)
    with pytest.raises(StoreError, match="expected a version that stable named before 1"):
        labels.previous("stable")


def test_a_label_that_was_taken_away_can_be_had_back(labels):
    for number in (1, 2):
        labels.move("stable", number)
    labels.remove("stable")
    assert labels.previous("stable") == 2
    labels.move("stable", 4)
    assert labels.previous("stable") == 2
    labels.remove("stable")
    assert labels.roll_back("stable", 4).labels == {"stable": 4}
    assert labels.previous("stable") == 2


def test_rolling_back_passes_over_what_cannot_be_loaded(labels):
    for number in (1, 2, 4):
        labels.move("stable", number)
    (labels.store.version_path(2) / "saved_model.pb").unlink()
    assert labels.previous("stable") == 1


def test_moving_to_the_same_version_is_no_history(labels):
    labels.move("stable", 2)
    labels.move("stable", 2)
    assert labels.read().history == {"stable": []}


@pytest.mark.parametrize(
    ("version", "text"),
    [(9, "one of 1, 2, 3, 4, 5, got 9"), (5, "missing or cut: saved_model.pb; export it again")],
)
def test_a_label_never_names_what_cannot_be_loaded(labels, version, text):
    (labels.store.version_path(5) / "saved_model.pb").unlink()
    for act in (labels.announce, lambda number: labels.move("stable", number), labels.pin):
        with pytest.raises(StoreError, match=text):
            act(version)
    assert labels.read().labels == {}


@pytest.mark.parametrize("label", ["", "a/b", "../x", "a b", "x" * 65, ".hidden"])
def test_a_label_is_a_word(labels, label):
    with pytest.raises(StoreError, match="expected a label of letters"):
        labels.move(label, 1)


def test_pruning_keeps_the_newest_the_labelled_the_pinned_and_the_way_back(labels, tmp_path):
    for number in range(6, 11):
        add_version(tmp_path, number)
    labels.move("stable", 2)
    labels.move("stable", 4)
    labels.move("canary", 6)
    labels.pin(1)
    assert labels.prune(keep=2) == [3, 5, 7, 8]
    assert numbers(labels) == [1, 2, 4, 6, 9, 10]
    labels.pin(1, pinned=False)
    labels.remove("canary")
    labels.forget()
    assert labels.prune(keep=1) == [1, 6, 9]
    assert numbers(labels) == [2, 4, 10]
    assert not list(labels.store.path.glob(".*"))


def test_a_file_that_is_not_ours_is_said(labels):
    (labels.store.path / STATE_FILE).write_bytes(b"\xff")
    with pytest.raises(StoreError, match=r"move the file away"):
        labels.read()
    (labels.store.path / STATE_FILE).write_text("{")
    with pytest.raises(StoreError, match=r"move the file away"):
        labels.read()
    (labels.store.path / STATE_FILE).write_text(json.dumps({"format": 9}))
    with pytest.raises(StoreError, match="another format"):
        labels.move("stable", 1)


@pytest.mark.parametrize(
    "damaged",
    [{"labels": []}, {"labels": {"stable": "1"}}, {"history": {"stable": 1}}, {"pinned": None}],
    ids=lambda damaged: json.dumps(damaged),
)
def test_a_file_with_something_else_inside_is_said(labels, damaged):
    (labels.store.path / STATE_FILE).write_text(json.dumps({"format": 1, **damaged}))
    with pytest.raises(StoreError, match="move the file away"):
        labels.read()


def test_versions_are_deleted_by_the_names_that_they_have(labels, tmp_path):
    """As the server reads them: `007` is 7."""
    add_version(tmp_path, "007")
    add_version(tmp_path, 9)
    (tmp_path / "m" / "8").write_bytes(b"no folder, but the server counts it")
    assert labels.move("stable", 7).labels == {"stable": 7}
    assert labels.prune(keep=1) == [1, 2, 3, 4, 5, 8]
    labels.move("stable", 9)
    labels.forget()
    add_version(tmp_path, 10)
    labels.move("stable", 10)
    labels.forget()
    assert labels.prune(keep=1) == [7]
    assert numbers(labels) == [9, 10]
    assert not list(labels.store.path.glob(".trash*"))


def test_unknown_labels_and_models_are_said(labels, tmp_path):
    with pytest.raises(StoreError, match="expected a label of none, got 'stable'"):
        labels.remove("stable")
    with pytest.raises(StoreError, match="no version in .*; run: peakserve export"):
        labels_in(tmp_path, "other").pin(1)


def test_unpinning_a_version_that_never_was_is_said(labels):
    with pytest.raises(StoreError, match=r"expected a version in .*, one of 1, .*, got 99"):
        labels.pin(99, pinned=False)
    labels.pin(1)
    shutil.rmtree(labels.store.version_path(1))
    assert labels.pin(1, pinned=False).pinned == []


def test_a_version_that_was_cut_is_seen(tmp_path, published):
    """Of our own versions the size of every file is known."""
    import shutil

    target = tmp_path / "peak_ops" / "1"
    shutil.copytree(published, target)
    labels = labels_in(tmp_path, "peak_ops")
    labels.move("stable", 1)
    (target / "saved_model.pb").write_bytes((target / "saved_model.pb").read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"missing or cut: saved_model\.pb"):
        labels.move("stable", 1)


def test_the_past_of_a_label_is_bounded(labels):
    for number in range(250):
        labels.move("stable", number % 2 + 1)
    assert len(labels.read().history["stable"]) == 100
    assert labels.previous("stable") == 1


def test_many_threads_lose_no_label(labels):
    def work(number):
        labels.move(f"label-{number}", number % 5 + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert labels.read().labels == {f"label-{number}": number % 5 + 1 for number in range(40)}
