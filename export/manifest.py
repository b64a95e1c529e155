"""The manifest beside a model: its contracts, its identity, and what made it."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

from signatures.contract import InvalidInputError, ModelContract, contract_with

# The server ignores this folder but for warm-up records.
MANIFEST = Path("assets.extra") / "peakserve.json"
FORMAT = 1


class ManifestError(ValueError):
    """A directory without a manifest that this version can read, in one sentence."""


def tool_version() -> str:
    """The installed version of peakserve, or `"unknown"` in a checkout without an install."""
    try:
        return importlib.metadata.version("peakserve")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def write_manifest(
    directory: Path, contract: ModelContract, *, content: str | None, tensorflow_version: str
) -> None:
    """Writes the manifest into a version's directory.

    Args:
      directory: The version's directory.
      contract: The model family's contract.
      content: The content identity; `None` while it is not known yet.
      tensorflow_version: What traced the model.
    """
    manifest = {
        "format": FORMAT,
        "content": content,
        "tool": {"name": "peakserve", "version": tool_version()},
        "tensorflow": tensorflow_version,
        "python": platform.python_version(),
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "files": file_sizes(directory),
        "model": contract.as_dict(),
    }
    path = directory / MANIFEST
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a version's directory as plain data.

    Raises:
      ManifestError: There is none, or it is of another format.
    """
    path = directory / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(
            f"{directory}: expected a version that peakserve exported, got no readable "
            f"{MANIFEST}; export it with: peakserve export"
        ) from error
    if manifest.get("format") != FORMAT:
        raise ManifestError(
            f"{path}: expected format {FORMAT}, got {manifest.get('format')}; "
            "use the version of peakserve that exported it"
        )
    return manifest


def file_sizes(directory: Path) -> dict[str, int]:
    """The size of every file of a version but the manifest, by its path inside."""
    return {
        path.relative_to(directory).as_posix(): path.stat().st_size
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path != directory / MANIFEST
    }


def missing_files(directory: Path) -> list[str]:
    """Files of a version that are missing or of another size than when it was written.

    Of a version that was not exported here, only `saved_model.pb` is known.
    """
    try:
        wanted: dict[str, int] = read_manifest(directory)["files"]
    except (ManifestError, KeyError):
        return [] if (directory / "saved_model.pb").is_file() else ["saved_model.pb"]
    found = file_sizes(directory)
    return [name for name, size in wanted.items() if found.get(name) != size]


def contract_of(manifest: dict[str, Any]) -> ModelContract:
    """The contract that a manifest describes, made again from the family and its options.

    Raises:
      ManifestError: The family or an option is unknown here, or the contract has changed.
    """
    model = manifest["model"]
    try:
        contract = contract_with(model["name"], model["options"])
    except InvalidInputError as error:
        raise ManifestError(f"the manifest's options are unknown here: {error}") from error
    if json.loads(json.dumps(contract.as_dict())) != model:
        raise ManifestError(
            f"the manifest's contract of {model['name']} is not this version's; "
            "use the version of peakserve that exported it"
        )
    return contract
