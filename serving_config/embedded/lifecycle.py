"""Loading and unloading in the stock server's order: load, switch, then unload the old version.

The rules are those of its availability preserving policy. A version that is not wanted any more
is unloaded as soon as a wanted one answers (or none is wanted); of the wanted ones the highest is
loaded first; a version that failed is not tried again while it stays wanted.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from serving_config.embedded import states
from serving_config.embedded.failures import StatusError
from serving_config.embedded.memory import give_back_memory
from serving_config.embedded.servable import Servable
from serving_config.embedded.states import StateBoard
from serving_config.status import AVAILABLE, VersionStatus

NEW, LOADING, READY, UNLOADING, GONE, FAILED = range(6)
_IDLE_SECONDS = 0.5

Load = Callable[[str, int, Path], Servable]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Retries:
    """How often a load that fails is tried again.

    Attributes:
      count: Attempts after the first.
      seconds: Between two attempts.
    """

    count: int = 0
    seconds: float = 0.0


@dataclass
class _Version:
    """One version that is managed."""

    name: str
    number: int
    directory: Path
    state: int = NEW
    is_wanted: bool = True
    unwanted: threading.Event = field(default_factory=threading.Event)
    servable: Servable | None = None
    users: int = 0


class Lifecycle:
    """All managed versions. Safe to use from many threads.

    Args:
      load: Makes a servable of a version's directory, or raises StatusError.
      board: Where states are published.
      retries: What happens to loads that fail.
      say: One line of the log.
    """

    def __init__(self, load: Load, board: StateBoard, retries: Retries, say: Say) -> None:
        self._load = load
        self._board = board
        self._retries = retries
        self._say = say
        self._changed = threading.Condition()
        self._versions: dict[tuple[str, int], _Version] = {}
        self._pending: dict[str, Mapping[int, Path]] = {}
        self._is_closed = False
        self._loading = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._thread = threading.Thread(target=self._manage, name="lifecycle", daemon=True)
        self._thread.start()

    def want(self, name: str, versions: Mapping[int, Path]) -> None:
        """Says which versions of a model shall answer; a later call replaces an earlier one."""
        with self._changed:
            self._pending[name] = versions
            self._changed.notify_all()

    @contextmanager
    def lease(self, name: str, version: int | None) -> Iterator[Servable | None]:
        """A version that is not unloaded before the block ends.

        Args:
          name: The model.
          version: Its version, `None` for the newest that answers.

        Yields:
          The servable, `None` if there is none.
        """
        with self._changed:
            ready = {
                entry.number: entry
                for entry in self._versions.values()
                if entry.name == name and entry.state == READY
            }
            wanted = max(ready, default=None) if version is None else version
            held = ready.get(wanted) if wanted is not None else None
            if held is not None:
                held.users += 1
        try:
            yield held.servable if held is not None else None
        finally:
            if held is not None:
                with self._changed:
                    held.users -= 1
                    self._changed.notify_all()

    def close(self) -> None:
        """Stops managing; what is loaded is freed unless it is in use."""
        with self._changed:
            self._is_closed = True
            for entry in self._versions.values():
                entry.unwanted.set()
            self._changed.notify_all()
        self._thread.join()
        for entry in self._versions.values():
            if entry.servable is not None and not entry.users:
                entry.servable.close()

    def _manage(self) -> None:
        with self._changed:
            while not self._is_closed:
                self._forget_done()
                self._take_up_pending()
                if not self._act():
                    self._changed.wait(_IDLE_SECONDS)

    def _of(self, name: str) -> list[_Version]:
        return [entry for entry in self._versions.values() if entry.name == name]

    def _forget_done(self) -> None:
        done = [
            key
            for key, entry in self._versions.items()
            if not entry.is_wanted and entry.state in (NEW, GONE, FAILED)
        ]
        for key in done:
            del self._versions[key]

    def _take_up_pending(self) -> None:
        for name, versions in list(self._pending.items()):
            managed = self._of(name)
            # A version that comes back has to be gone before it can be loaded again.
            if any(not entry.is_wanted and entry.number in versions for entry in managed):
                continue
            for entry in managed:
                if entry.number not in versions:
                    entry.is_wanted = False
                    entry.unwanted.set()
            known = {entry.number for entry in managed}
            for number in sorted(set(versions) - known):
                self._versions[name, number] = _Version(name, number, versions[number])
                self._board.set(name, number, VersionStatus(states.START))
            del self._pending[name]
            self._forget_done()

    def _act(self) -> bool:
        """Starts what the policy allows; whether that was anything."""
        acted = False
        for name in sorted({entry.name for entry in self._versions.values()}):
            managed = self._of(name)
            if leaving := _next_to_unload(managed):
                leaving.state = UNLOADING
                _in_background(self._unload, leaving)
                acted = True
            elif coming := _next_to_load(managed):
                coming.state = LOADING
                _in_background(self._try_to_load, coming)
                acted = True
        return acted

    def _try_to_load(self, entry: _Version) -> None:
        try:
            servable = self._loaded(entry)
        except StatusError as error:
            self._end(entry, FAILED, VersionStatus(states.END, error.code, error.text))
            self._say(f"{entry.name} version {entry.number}: {error.code}: {error.text}")
            return
        if entry.unwanted.is_set():
            servable.close()
            text = "Loading of servable cancelled"
            self._end(entry, FAILED, VersionStatus(states.END, "CANCELLED", text))
            return
        with self._changed:
            entry.servable = servable
        self._end(entry, READY, VersionStatus(AVAILABLE))
        keys = ", ".join(sorted(servable.signatures))
        self._say(f"loaded {entry.name} version {entry.number} from {entry.directory}: {keys}")

    def _loaded(self, entry: _Version) -> Servable:
        """The servable, after as many attempts as it takes.

        Raises:
          StatusError: The last attempt failed, or nobody wants the version any more.
        """
        _check_is_directory(entry)
        self._board.set(entry.name, entry.number, VersionStatus(states.LOADING))
        attempts = 0
        while True:
            try:
                with self._loading:
                    return self._load(entry.name, entry.number, entry.directory)
            except StatusError:
                attempts += 1
                if attempts > self._retries.count:
                    raise
                if entry.unwanted.wait(self._retries.seconds):
                    raise

    def _unload(self, entry: _Version) -> None:
        self._board.set(entry.name, entry.number, VersionStatus(states.UNLOADING))
        with self._changed:
            self._changed.wait_for(lambda: not entry.users or self._is_closed)
            if entry.users:
                return
            servable, entry.servable = entry.servable, None
        if servable is not None:
            servable.close()
        del servable
        give_back_memory()
        self._end(entry, GONE, VersionStatus(states.END))
        self._say(f"unloaded {entry.name} version {entry.number}")

    def _end(self, entry: _Version, state: int, status: VersionStatus) -> None:
        """Ends a load or an unload; who waits for the status finds the version as it says."""
        with self._changed:
            entry.state = state
            self._board.set(entry.name, entry.number, status)
            self._changed.notify_all()


def _in_background(work: Callable[[_Version], None], entry: _Version) -> None:
    # A thread for each: a load that waits for its next attempt must not hold up the others.
    threading.Thread(target=work, args=[entry], name="load", daemon=True).start()


def _next_to_unload(managed: list[_Version]) -> _Version | None:
    wanted = [entry for entry in managed if entry.is_wanted]
    leaving = [entry for entry in managed if not entry.is_wanted and entry.state == READY]
    answers = any(entry.state == READY for entry in wanted)
    if not leaving or (wanted and not answers and len(leaving) == 1):
        return None
    return min(leaving, key=lambda entry: entry.number)


def _next_to_load(managed: list[_Version]) -> _Version | None:
    new = [entry for entry in managed if entry.is_wanted and entry.state == NEW]
    return max(new, key=lambda entry: entry.number, default=None)


def _check_is_directory(entry: _Version) -> None:
    """What the stock server finds out when it estimates a version's memory: never retried.

    Raises:
      StatusError: The directory is none, or is gone.
    """
    if entry.directory.is_dir():
        return
    reason = f"{entry.directory}; Not a directory"
    if not entry.directory.exists():
        reason = f"{entry.directory} not found"
    raise StatusError(
        "FAILED_PRECONDITION" if entry.directory.exists() else "NOT_FOUND",
        "Error while attempting to reserve resources to load servable "
        f"{{name: {entry.name} version: {entry.number}}}: {reason}",
    )
