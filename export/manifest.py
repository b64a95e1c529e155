"""The manifest beside a model: its contracts, and what made it."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from signatures.contract import ModelContract

# The server ignores this folder but for warm-up records.
MANIFEST = Path("assets.extra") / "peakserve.json"
FORMAT = 1


def tool_version() -> str:
    """The installed version of peakserve, or `"unknown"` in a checkout without an install."""
    try:
        return importlib.metadata.version("peakserve")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def write_manifest(directory: Path, contract: ModelContract, tensorflow_version: str) -> None:
    """Writes the manifest into a version's directory."""
    manifest = {
        "format": FORMAT,
        "tool": {"name": "peakserve", "version": tool_version()},
        "tensorflow": tensorflow_version,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "model": contract.as_dict(),
    }
    path = directory / MANIFEST
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a version's directory as plain data.

    Raises:
      FileNotFoundError: The directory was not made by peakserve.
    """
    manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    return manifest
