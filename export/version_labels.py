"""Labels, pins and pruning: what the store remembers about its versions.

A label (`stable`, `canary`) is a name that clients ask for instead of a number. It stands in one
small file beside the versions, which is replaced by one rename under a lock: readers see the old
or the new state, never half of one, and a label never names a version that cannot be loaded.
The server ignores the file, whose name is no number.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from export.manifest import changed_files, missing_files
from export.store import StoreError, VersionStore, flush, locked

STATE_FILE = "peakserve-labels.json"
STABLE = "stable"
FORMAT = 1
# Nobody rolls back further; the file must not grow with every promotion.
_REMEMBERED = 100
_TRASH_PREFIX = ".trash-"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class State:
    """What is remembered about the versions of a model.

    Attributes:
      labels: Label to version.
      history: Label to the versions that it named before, the latest last.
      pinned: Versions that pruning keeps.
      loading: Versions that servers have beside the labelled ones while a label moves: the one
        that it will name, then the one that it named.
    """

    labels: dict[str, int] = field(default_factory=dict)
    history: dict[str, list[int]] = field(default_factory=dict)
    pinned: list[int] = field(default_factory=list)
    loading: list[int] = field(default_factory=list)

    @property
    def served(self) -> list[int]:
        """The versions that are labelled or may still be asked for, ascending."""
        return sorted({*self.labels.values(), *self.loading})

    def labels_of(self, version: int) -> list[str]:
        """The labels of a version, sorted."""
        return sorted(label for label, number in self.labels.items() if number == version)


class VersionLabels:
    """The labels of one model's versions. Safe with several writers.

    Args:
      store: The model's versions.
    """

    def __init__(self, store: VersionStore) -> None:
        self.store = store
        self._path = store.path / STATE_FILE

    def read(self) -> State:
        """The current state; empty where nothing was labelled.

        Raises:
          StoreError: The file is not one of ours.
        """
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return State()
        try:
            content = json.loads(text)
            if content.pop("format") != FORMAT:
                raise ValueError("another format")
            state = State(**content)
            numbers = chain(
                state.labels.values(), *state.history.values(), state.pinned, state.loading
            )
            if not all(isinstance(number, int) for number in numbers):
                raise ValueError("a version that is no number")
            return state
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"{self._path}: expected the labels of a store, got {error}; move the file away "
                "and set the labels again with: peakserve versions promote"
            ) from error

    def announce(self, version: int) -> State:
        """The first step of moving a label: servers should load the version.

        Raises:
          StoreError: The version cannot be loaded.
        """
        with self._changing() as state:
            self._require_loadable(version)
            # What a killed rollout left may still be served, and stays until one has ended.
            loading = sorted({*state.loading, version})
            changed = dataclasses.replace(state, loading=loading)
            self._write(changed)
        return changed

    def move(self, label: str, version: int) -> State:
        """The second step: the label names the version; the one it leaves may still be served.

        Raises:
          StoreError: The version cannot be loaded, or the label is no word.
        """
        check_label(label)
        with self._changing() as state:
            self._require_loadable(version)
            changed = _moved(state, label, version)
            self._write(changed)
        return changed

    def forget(self) -> State:
        """The end of a rollout, or of one that failed: servers need what is labelled."""
        with self._changing() as state:
            changed = dataclasses.replace(state, loading=[])
            self._write(changed)
        return changed

    def restore(self, label: str, before: State) -> State:
        """Gives a label the version and the history that it had before a move.

        The version that it names now may still be served.

        Raises:
          StoreError: The labels cannot be written.
        """
        with self._changing() as state:
            labels = {name: at for name, at in state.labels.items() if name != label}
            if label in before.labels:
                labels[label] = before.labels[label]
            history = {**state.history, label: before.history.get(label, [])}
            loading = sorted({*state.loading, *filter(None, [state.labels.get(label)])})
            changed = dataclasses.replace(state, labels=labels, history=history, loading=loading)
            self._write(changed)
        return changed

    def previous(self, label: str) -> int:
        """The version that a label named before, and that can still be loaded.

        Raises:
          StoreError: There is none.
        """
        state = self.read()
        current = state.labels.get(label)
        for version in reversed(state.history.get(label, [])):
            if version != current and self._fault(version) is None:
                return version
        raise StoreError(
            f"expected a version that {label} named before {current or 'now'} in "
            f"{self.store.path}, got none; choose one with: peakserve versions promote"
        )

    def roll_back(self, label: str, version: int) -> State:
        """Points a label back; the version that it leaves is no longer in its history.

        Raises:
          StoreError: The version cannot be loaded.
        """
        with self._changing() as state:
            self._require_loadable(version)
            before = state.history.get(label, [])
            last = max((i for i, number in enumerate(before) if number == version), default=0)
            changed = dataclasses.replace(
                state,
                labels={**state.labels, label: version},
                history={**state.history, label: before[:last]},
                loading=_still_served(state, label, version),
            )
            self._write(changed)
        return changed

    def remove(self, label: str) -> State:
        """Takes a label away; the version that it names may still be served, and rolled back to.

        Raises:
          StoreError: There is no such label.
        """
        with self._changing() as state:
            if label not in state.labels:
                known = ", ".join(sorted(state.labels)) or "none"
                raise StoreError(f"expected a label of {known}, got {label!r}")
            labels = {name: number for name, number in state.labels.items() if name != label}
            history = {**state.history, label: _remembered(state, label)}
            loading = sorted({*state.loading, state.labels[label]})
            changed = dataclasses.replace(state, labels=labels, history=history, loading=loading)
            self._write(changed)
        return changed

    def pin(self, version: int, *, pinned: bool = True) -> State:
        """Has pruning keep a version, or not.

        Raises:
          StoreError: There is no such version.
        """
        with self._changing() as state:
            if pinned:
                self._require_loadable(version)
            elif version not in state.pinned:
                # One that is pinned may have been deleted by hand.
                self._require_present(version)
            others = [number for number in state.pinned if number != version]
            changed = dataclasses.replace(
                state, pinned=sorted([*others, version] if pinned else others)
            )
            self._write(changed)
        return changed

    def prune(self, keep: int) -> list[int]:
        """Deletes all but the newest versions; labelled and pinned ones stay.

        So does the version that each label named before, which rolling back needs. A version is
        renamed away before its files go, so that no numbered directory is ever incomplete.

        Args:
          keep: How many of the newest versions stay, at least one.

        Returns:
          The versions that were deleted.

        Raises:
          StoreError: A version could not be deleted.
        """
        with self._changing() as state:
            versions = self.store.versions()
            protected = {*versions[-keep:], *state.labels.values(), *state.pinned, *state.loading}
            for label in state.labels:
                with contextlib.suppress(StoreError):
                    protected.add(self.previous(label))
            deleted = [version for version in versions if version not in protected]
            try:
                for version in deleted:
                    path = self.store.version_path(version)
                    path.rename(path.with_name(f"{_TRASH_PREFIX}{secrets.token_hex(8)}"))
                flush(self.store.path)
                self._empty_trash()
            except OSError as error:
                raise StoreError(
                    f"cannot delete from {self.store.path}: {error.strerror or error}"
                ) from error
        return deleted

    def _require_loadable(self, version: int) -> None:
        fault = self._fault(version)
        if fault is not None:
            raise StoreError(fault)

    def _require_present(self, version: int) -> None:
        fault = self._absence(version)
        if fault is not None:
            raise StoreError(fault)

    def _absence(self, version: int) -> str | None:
        versions = self.store.versions()
        if version in versions:
            return None
        known = ", ".join(map(str, versions)) or "none"
        return f"expected a version in {self.store.path}, one of {known}, got {version}"

    def _fault(self, version: int) -> str | None:
        """Why a version cannot be labelled, in one sentence."""
        if absence := self._absence(version):
            return absence
        directory = self.store.version_path(version)
        try:
            if missing := missing_files(directory):
                return (
                    f"{directory}: expected a complete version, got one whose files are missing "
                    f"or cut: {', '.join(missing)}; export it again"
                )
            if changed := changed_files(directory):
                return (
                    f"{directory}: expected the files that were exported, got others: "
                    f"{', '.join(changed)}; export it again"
                )
        except OSError as error:
            return f"cannot read {error.filename}: {error.strerror or error}; export it again"
        return None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[State]:
        """The state, while no other writer can change it."""
        if not self.store.path.is_dir():
            raise StoreError(f"no version in {self.store.path}; run: peakserve export")
        with locked(self.store.path, wait=True):
            self._empty_trash()
            yield self.read()

    def _write(self, state: State) -> None:
        content = {"format": FORMAT, **dataclasses.asdict(state)}
        staging = self._path.with_name(f".{STATE_FILE}-{secrets.token_hex(8)}")
        try:
            staging.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            flush(staging)
            os.replace(staging, self._path)  # noqa: PTH105 - one rename that replaces
            flush(self.store.path)
        except OSError as error:
            staging.unlink(missing_ok=True)
            raise StoreError(f"cannot write {self._path}: {error.strerror or error}") from error

    def _empty_trash(self) -> None:
        """Removes what a writer that was killed had renamed away, or left half written."""
        for path in self.store.path.glob(f"{_TRASH_PREFIX}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for path in self.store.path.glob(f".{STATE_FILE}-*"):
            path.unlink(missing_ok=True)


def check_label(label: str) -> None:
    """Refuses what is no label.

    Raises:
      StoreError: It could not be part of an address.
    """
    if not _LABEL.fullmatch(label):
        raise StoreError(
            f"expected a label of letters, digits, '_', '.' and '-', such as {STABLE}, "
            f"got {label!r}"
        )


def labels_in(model_root: Path, model: str) -> VersionLabels:
    """The labels of a model in a model root."""
    return VersionLabels(VersionStore(model_root, model))


def _remembered(state: State, label: str) -> list[int]:
    """A label's history, once it no longer names what it names."""
    return [*state.history.get(label, []), state.labels[label]][-_REMEMBERED:]


def _moved(state: State, label: str, version: int) -> State:
    is_elsewhere = state.labels.get(label) not in (None, version)
    history = _remembered(state, label) if is_elsewhere else state.history.get(label, [])
    return dataclasses.replace(
        state,
        labels={**state.labels, label: version},
        history={**state.history, label: history},
        loading=_still_served(state, label, version),
    )


def _still_served(state: State, label: str, version: int) -> list[int]:
    """What servers may have besides labelled versions once the label names the version."""
    left = {state.labels[label]} if label in state.labels else set()
    return sorted({*state.loading, *left} - {version})
