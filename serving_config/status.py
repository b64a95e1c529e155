"""The state of one version, as every transport reports it, and the status codes."""

from __future__ import annotations

from dataclasses import dataclass

AVAILABLE = "AVAILABLE"

# Canonical status names and their numbers on the wire.
CODE_NUMBERS = {
    "OK": 0,
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
    "UNAUTHENTICATED": 16,
}


@dataclass(frozen=True)
class VersionStatus:
    """What a server says about one version of a model.

    Attributes:
      state: `START`, `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
      error_code: Canonical status name, `OK` if nothing went wrong.
      error_message: Why the version is not served; empty if nothing went wrong.
    """

    state: str
    error_code: str = "OK"
    error_message: str = ""

    @property
    def is_available(self) -> bool:
        """Whether the version answers requests."""
        return self.state == AVAILABLE
