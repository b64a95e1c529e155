"""Which versions there are, which of them answers a request, and what their states are."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.servable import Servable
from serving_config.status import AVAILABLE, VersionStatus
from serving_config.wire import ModelQuery

_LARGEST_VERSION = 2**63 - 1


def version_directories(base_path: Path) -> dict[int, Path]:
    """The version numbers below a base path, and where each lies; other names are ignored.

    `007` is version 7; of two names for one number the first in the alphabet counts.
    """
    try:
        entries = sorted(base_path.iterdir())
    except OSError:
        return {}
    found: dict[int, Path] = {}
    for entry in entries:
        if entry.name.isascii() and entry.name.isdigit() and int(entry.name) <= _LARGEST_VERSION:
            found.setdefault(int(entry.name), entry)
    return found


class Manager:
    """The servables of all models, by name and version. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._servables: dict[str, dict[int, Servable]] = {}
        self._states: dict[str, dict[int, VersionStatus]] = {}

    def set_state(self, name: str, version: int, status: VersionStatus) -> None:
        """Records what a status request is told about a version."""
        with self._lock:
            self._states.setdefault(name, {})[version] = status

    def add(self, servable: Servable) -> None:
        """Makes a loaded version answer requests."""
        with self._lock:
            self._servables.setdefault(servable.name, {})[servable.version] = servable
            states = self._states.setdefault(servable.name, {})
            states[servable.version] = VersionStatus(AVAILABLE)

    def resolve(self, query: ModelQuery) -> Servable:
        """The version that a request means.

        Raises:
          StatusError: INVALID_ARGUMENT without a name or for a label nobody assigned; NOT_FOUND
            for a model or version that is not there.
        """
        if not query.name:
            raise invalid_argument("ModelSpec has no name specified.")
        if query.label is not None:
            raise invalid_argument(f"Unrecognized servable version label: {query.label}")
        with self._lock:
            versions = self._servables.get(query.name, {})
            wanted = query.version
            if wanted is None and versions:
                wanted = max(versions)
            if wanted in versions:
                return versions[wanted]
        meant = f"Latest({query.name})"
        if query.version is not None:
            meant = f"Specific({query.name}, {query.version})"
        raise StatusError("NOT_FOUND", f"Servable not found for request: {meant}")

    def statuses(self, query: ModelQuery) -> list[tuple[int, VersionStatus]]:
        """The states of one version or of all, newest first; a label means all.

        Raises:
          StatusError: NOT_FOUND for what was never seen.
        """
        with self._lock:
            states = dict(self._states.get(query.name, {}))
        if query.version is not None:
            if query.version not in states:
                raise StatusError(
                    "NOT_FOUND", f"Could not find version {query.version} of model {query.name}"
                )
            return [(query.version, states[query.version])]
        if not states:
            raise StatusError("NOT_FOUND", f"Could not find any versions of model {query.name}")
        return sorted(states.items(), reverse=True)

    def close(self) -> None:
        """Frees every session."""
        with self._lock:
            servables: Iterable[Servable] = [
                servable for versions in self._servables.values() for servable in versions.values()
            ]
            self._servables = {}
        for servable in servables:
            servable.close()
