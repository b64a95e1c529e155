"""What is known about every version that was ever seen, and who waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from serving_config.embedded.failures import StatusError
from serving_config.status import AVAILABLE, VersionStatus

START, LOADING, UNLOADING, END = "START", "LOADING", "UNLOADING", "END"
_PATIENCE_SECONDS = 0.2


class StateBoard:
    """The states of all versions of all models. Safe to use from many threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events = 0
        # The number of the event that set a state tells whether it is older than a question.
        self._states: dict[str, dict[int, tuple[int, VersionStatus]]] = {}

    def set(self, name: str, version: int, status: VersionStatus) -> None:
        """Records a state; those who wait look again."""
        with self._changed:
            self._events += 1
            self._states.setdefault(name, {})[version] = (self._events, status)
            self._changed.notify_all()

    def of(self, name: str) -> list[tuple[int, VersionStatus]]:
        """All versions of a model with their states, newest first."""
        with self._changed:
            states = self._states.get(name, {})
            return [(version, states[version][1]) for version in sorted(states, reverse=True)]

    def now(self) -> int:
        """A mark in time for `wait_until_available`."""
        with self._changed:
            return self._events

    def wait_until_available(
        self,
        names: Iterable[str],
        *,
        noun: str,
        since: int = -1,
        go_on: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Waits until of every model some version was loaded, or failed for good.

        Args:
          names: The models.
          noun: What the stock server calls them in its text.
          since: States that were set before this mark do not count.
          go_on: Asked now and then; waiting ends when it says no.

        Returns:
          Whether the models are available; `False` if told to stop before.

        Raises:
          StatusError: UNKNOWN, of one model or more the newest version that came to an end
            failed, with the stock server's text.
        """
        models = sorted(set(names))
        with self._changed:
            while True:
                reached = [(name, self._reached(name, since)) for name in models]
                known = [(name, *found) for name, found in reached if found is not None]
                if len(known) == len(models):
                    break
                if not go_on():
                    return False
                self._changed.wait(_PATIENCE_SECONDS)
        failed = [
            f"{{{{name: {name} version: {version}}}{_reason(status)}}}, "
            for name, version, status in known
            if not status.is_available
        ]
        if failed:
            raise StatusError(
                "UNKNOWN",
                f"{len(failed)} {noun}(s) did not become available: {{{''.join(failed)}}}",
            )
        return True

    def _reached(self, name: str, since: int) -> tuple[int, VersionStatus] | None:
        states = self._states.get(name, {})
        for version in sorted(states, reverse=True):
            event, status = states[version]
            if event > since and status.state in (AVAILABLE, END):
                return version, status
        return None


def _reason(status: VersionStatus) -> str:
    if status.error_code == "OK":
        return ""
    return f" due to error: {status.error_code}: {status.error_message}"
