"""Which models are hosted, which of their versions answers a request, and what their labels are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from serving_config.embedded.disk import BasePathError, wanted_versions
from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.lifecycle import Lifecycle, Load, Retries, Say
from serving_config.embedded.model_config import (
    ModelEntry,
    check_entries,
    check_platform_is_ours,
    check_platforms,
    read_model_config,
)
from serving_config.embedded.servable import Servable
from serving_config.embedded.states import StateBoard
from serving_config.status import VersionStatus
from serving_config.wire import ModelQuery

_JOIN_SECONDS = 2.0

_GoOn = Callable[[], bool]


class Manager:
    """The hosted models. Safe to use from many threads.

    Args:
      load: Makes a servable of a version's directory.
      retries: What happens to loads that fail.
      poll_seconds: Between two looks at the base paths; 0 looks once, a negative number never.
      labels_before_versions: Whether a new label may name a version that is not available.
      say: One line of the log.
    """

    def __init__(
        self,
        load: Load,
        *,
        retries: Retries,
        poll_seconds: float = 1.0,
        labels_before_versions: bool = False,
        say: Say = print,
    ) -> None:
        self._board = StateBoard()
        self._lifecycle = Lifecycle(load, self._board, retries, say)
        self._poll_seconds = poll_seconds
        self._labels_before_versions = labels_before_versions
        self._say = say
        self._lock = threading.Lock()
        self._reloading = threading.Lock()
        self._config: list[ModelEntry] | None = None
        self._watched: list[ModelEntry] = []
        self._labels: dict[str, dict[str, int]] = {}
        self._stop = threading.Event()
        self._look = threading.Event()
        self._threads: list[threading.Thread] = []
        self._is_watching = False

    def reload(self, entries: Sequence[ModelEntry] | None, go_on: _GoOn = lambda: True) -> bool:
        """Hosts these models instead of those before, and waits for the new ones.

        Models that are not listed any more are unloaded. As in the stock server a refusal because
        of labels comes before any model is touched.

        Args:
          entries: The models; `None` changes nothing.
          go_on: Asked while waiting; when it says no, waiting ends and the models stay configured.

        Returns:
          Whether the models are available; `False` if told not to wait.

        Raises:
          StatusError: With the stock server's text.
        """
        while not self._reloading.acquire(timeout=0.1):
            if not go_on():
                return False
        try:
            return self._reload(entries, go_on)
        finally:
            self._reloading.release()

    def _reload(self, entries: Sequence[ModelEntry] | None, go_on: _GoOn) -> bool:
        is_first = not self._is_watching
        if entries is None:
            if self._config is None:
                return True
            raise StatusError(
                "FAILED_PRECONDITION",
                "Cannot transition to requested config. It is only legal to transition from one "
                "ModelConfigList to another.",
            )
        check_entries(entries)
        check_platforms(self._config or [], entries)
        self._config = list(entries)
        self._assign_labels(entries)
        for entry in entries:
            check_platform_is_ours(entry)
        mark = -1 if is_first else self._board.now()
        names = {entry.name for entry in entries}
        with self._lock:
            before = {entry.name for entry in self._watched}
            self._watched = list(entries)
            for dropped in sorted(before - names):
                self._lifecycle.want(dropped, {})
        if is_first:
            self._is_watching = True
            self._begin(self._watch_disk)
        self._look.set()
        return self._board.wait_until_available(
            names if is_first else names - before,
            noun="servable" if is_first else "model",
            since=mark,
            go_on=lambda: go_on() and not self._stop.is_set(),
        )

    def follow_config_file(self, path: str, poll_seconds: float) -> None:
        """Reads the model config file again and again; what is wrong with it is only logged."""

        def follow() -> None:
            while not self._stop.is_set():
                try:
                    entries = read_model_config(path)
                    self.reload(entries, go_on=lambda: not self._stop.is_set())
                except StatusError as error:
                    self._say(f"{path}: {error.code}: {error.text}")
                self._stop.wait(poll_seconds)

        self._begin(follow)

    def _begin(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=work.__name__, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch_disk(self) -> None:
        if self._poll_seconds < 0:
            return
        told = ""
        while not self._stop.is_set():
            self._look.clear()
            trouble = self._look_at_disk()
            if trouble and trouble != told:
                self._say(trouble)
            told = trouble
            if not self._poll_seconds:
                return
            self._look.wait(self._poll_seconds)

    def _look_at_disk(self) -> str:
        """Passes on what is on disk; what there is to complain about, else an empty text."""
        # Under the lock: an outdated list must not bring back a model that was dropped.
        with self._lock:
            try:
                wanted = wanted_versions(self._watched)
            except BasePathError as error:
                return f"No versions of the servable found: {error}"
            for name, versions in wanted.items():
                self._lifecycle.want(name, versions)
            paths = {entry.name: entry.base_path for entry in self._watched}
        empty = [
            f"No versions of the servable found: {name} under base path {paths[name]}"
            for name, versions in wanted.items()
            if not versions
        ]
        return "; ".join(empty)

    def _assign_labels(self, entries: Sequence[ModelEntry]) -> None:
        labels: dict[str, dict[str, int]] = {}
        for entry in entries:
            states = dict(self._board.of(entry.name))
            for label, version in entry.labels.items():
                before = self._labels.get(entry.name, {}).get(label, version)
                if self._labels_before_versions and before == version:
                    pass
                elif version not in states or not states[version].is_available:
                    raise StatusError(
                        "FAILED_PRECONDITION",
                        f"Request to assign label to version {version} of model {entry.name}, "
                        "which is not currently available for inference",
                    )
                labels.setdefault(entry.name, {})[label] = version
        self._labels = labels

    @contextmanager
    def lease(self, query: ModelQuery) -> Iterator[Servable]:
        """The version that a request means; it is not unloaded before the block ends.

        Raises:
          StatusError: INVALID_ARGUMENT without a name or for a label nobody assigned; NOT_FOUND
            for a model or version that is not there.
        """
        if not query.name:
            raise invalid_argument("ModelSpec has no name specified.")
        version = query.version
        if query.label is not None:
            version = self._labels.get(query.name, {}).get(query.label)
            if version is None:
                raise invalid_argument(f"Unrecognized servable version label: {query.label}")
        with self._lifecycle.lease(query.name, version) as servable:
            if servable is None:
                meant = f"Latest({query.name})"
                if version is not None:
                    meant = f"Specific({query.name}, {version})"
                raise StatusError("NOT_FOUND", f"Servable not found for request: {meant}")
            yield servable

    def statuses(self, query: ModelQuery) -> list[tuple[int, VersionStatus]]:
        """The states of one version or of all, newest first; a label means all.

        Raises:
          StatusError: NOT_FOUND for what was never seen.
        """
        found = self._board.of(query.name)
        if query.version is not None:
            found = [entry for entry in found if entry[0] == query.version]
            if not found:
                raise StatusError(
                    "NOT_FOUND", f"Could not find version {query.version} of model {query.name}"
                )
        if not found:
            raise StatusError("NOT_FOUND", f"Could not find any versions of model {query.name}")
        return found

    def close(self) -> None:
        """Stops looking at the disk and frees what is not in use."""
        self._stop.set()
        self._look.set()
        for thread in self._threads:
            # A disk that hangs must not hold up the end.
            thread.join(_JOIN_SECONDS)
        self._lifecycle.close()
