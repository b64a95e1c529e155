"""The state of one version, as every transport reports it."""

from __future__ import annotations

from dataclasses import dataclass

AVAILABLE = "AVAILABLE"


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
