"""Labels never name a version that was damaged, also where a server would load it."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from export.manifest import MANIFEST, changed_files, missing_files
from export.store import StoreError
from export.version_labels import labels_in


@pytest.fixture
def version(published, tmp_path):
    directory = tmp_path / "peak_ops" / "1"
    shutil.copytree(published, directory)
    return directory


def test_a_byte_that_changed_is_seen(version, tmp_path):
    """Another constant would be loaded, and answer wrongly."""
    labels = labels_in(tmp_path, "peak_ops")
    labels.move("stable", 1)
    path = version / "saved_model.pb"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert missing_files(version) == []
    assert changed_files(version) == ["saved_model.pb"]
    for act in (labels.announce, labels.pin, lambda number: labels.move("canary", number)):
        with pytest.raises(StoreError, match=r"the files that were exported, got others: saved_"):
            act(1)
    assert labels.read().labels == {"stable": 1}


def test_going_back_passes_over_a_byte_that_changed(published, tmp_path):
    labels = labels_in(tmp_path, "peak_ops")
    for number in (1, 2, 3):
        shutil.copytree(published, tmp_path / "peak_ops" / str(number))
        labels.move("stable", number)
    with (tmp_path / "peak_ops" / "2" / "saved_model.pb").open("r+b") as file:
        file.write(b"\xff")
    assert labels.previous("stable") == 1


def test_versions_of_before_know_no_digests(version):
    manifest = json.loads((version / MANIFEST).read_text())
    del manifest["digests"]
    (version / MANIFEST).write_text(json.dumps(manifest))
    assert changed_files(version) == []


def test_a_model_of_another_tool_without_its_variables_is_not_labelled(version, tmp_path):
    """A stock server calls it AVAILABLE, and every request fails."""
    shutil.rmtree(version / "assets.extra")
    labels = labels_in(tmp_path, "peak_ops")
    shutil.rmtree(version / "variables")
    # Functions without variables need none.
    labels.move("stable", 1)
    path = version / "saved_model.pb"
    # The name lies over the border of two blocks.
    path.write_bytes(b"x" * ((1 << 20) - 5) + b"VarHandleOp")
    with pytest.raises(StoreError, match=r"missing or cut: variables/variables\.index"):
        labels.announce(1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
@pytest.mark.parametrize("name", ["saved_model.pb", "variables"])
def test_what_cannot_be_read_is_one_sentence(version, tmp_path, name):
    path = version / name
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        with pytest.raises(StoreError, match="cannot read|missing or cut"):
            labels_in(tmp_path, "peak_ops").announce(1)
    finally:
        path.chmod(mode)


def test_a_file_that_cannot_be_read_is_one_sentence(version, tmp_path, monkeypatch):
    """As above, also for root."""

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("export.manifest._digest", refuse)
    with pytest.raises(StoreError, match=r"cannot read .*: Permission denied; export it again"):
        labels_in(tmp_path, "peak_ops").announce(1)
