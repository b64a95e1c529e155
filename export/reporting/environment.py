"""The machine and the packages of a report."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from typing import Any

from export.manifest import tool_version

_PACKAGES = ("tensorflow", "numpy", "grpcio", "protobuf", "httpx")


def environment() -> dict[str, Any]:
    """What ran this side: versions, `None` where a package is not installed, and the machine."""
    packages: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            packages[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            packages[package] = None
    return {
        "peakserve": tool_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        **packages,
    }


def now() -> str:
    """Date and time, UTC, ISO 8601 to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
