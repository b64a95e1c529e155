"""The manifest beside a model: its contracts, its identity, and what made it."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signatures.contract import InvalidInputError, ModelContract, contract_with

# The server ignores this folder but for warm-up records.
MANIFEST = Path("assets.extra") / "peakserve.json"
FORMAT = 1
_BLOCK = 1 << 20
_VARIABLE_OPS = (b"VarHandleOp", b"VariableV2")


# What is read of a manifest, where it is there.
_KINDS: dict[str, type | tuple[type, ...]] = {
    "content": (str, type(None)),
    "tool": dict,
    "files": dict,
    "digests": dict,
    "model": dict,
}
_MODEL_KINDS: dict[str, type] = {"name": str, "options": dict, "signatures": list, "default": str}


class ManifestError(ValueError):
    """A directory without a manifest that this version can read, in one sentence."""


class _Manifest(dict[str, Any]):
    """Plain data that says so where something is not there."""

    def __init__(self, data: dict[str, Any], path: Path) -> None:
        super().__init__(data)
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise damaged(self._path, f"nothing under {name!r}")


def damaged(path: Path, got: str) -> ManifestError:
    """The error of a manifest that somebody has changed."""
    return ManifestError(
        f"{path}: expected a manifest as peakserve writes it, got {got}; export the version again "
        "with: peakserve export"
    )


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
        "digests": file_digests(directory),
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
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(
            f"{directory}: expected a version that peakserve exported, got no readable "
            f"{MANIFEST}; export it with: peakserve export"
        ) from error
    if not isinstance(manifest, dict):
        raise damaged(path, f"a {type(manifest).__name__}")
    if manifest.get("format") != FORMAT:
        raise ManifestError(
            f"{path}: expected format {FORMAT}, got {manifest.get('format')}; "
            "use the version of peakserve that exported it"
        )
    _check_kinds(path, manifest, _KINDS)
    if "model" in manifest:
        for name in _MODEL_KINDS:
            if name not in manifest["model"]:
                raise damaged(path, f"a model without {name!r}")
        _check_kinds(path, manifest["model"], _MODEL_KINDS)
    return _Manifest(manifest, path)


def _check_kinds(
    path: Path, data: dict[str, Any], kinds: Mapping[str, type | tuple[type, ...]]
) -> None:
    for name, kind in kinds.items():
        if name in data and not isinstance(data[name], kind):
            raise damaged(path, f"a {type(data[name]).__name__} under {name!r}")


def file_sizes(directory: Path) -> dict[str, int]:
    """The size of every file of a version but the manifest, by its path inside."""
    return {
        path.relative_to(directory).as_posix(): path.stat().st_size
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path != directory / MANIFEST
    }


def file_digests(directory: Path) -> dict[str, str]:
    """The SHA-256 of every file of a version but the manifest, by its path inside."""
    return {name: _digest(directory / name) for name in file_sizes(directory)}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def missing_files(directory: Path) -> list[str]:
    """Files of a version that are missing or of another size than when it was written.

    Of a version that was not exported here, only `saved_model.pb` is known, and that it needs
    variables.
    """
    try:
        wanted: dict[str, int] = read_manifest(directory)["files"]
    except (ManifestError, KeyError):
        return _missing_of_others(directory)
    found = file_sizes(directory)
    return [name for name, size in wanted.items() if found.get(name) != size]


def changed_files(directory: Path) -> list[str]:
    """Files of a version whose content is not what was written; every byte is read.

    A server loads a model with another constant as readily as the right one. Of a version that
    does not know its files' digests, nothing can be said.
    """
    try:
        wanted: dict[str, str] = read_manifest(directory)["digests"]
    except (ManifestError, KeyError):
        return []
    return [name for name, digest in wanted.items() if _digest(directory / name) != digest]


def _missing_of_others(directory: Path) -> list[str]:
    """What a model of another tool lacks to be loaded, as far as names tell."""
    graph = directory / "saved_model.pb"
    if not graph.is_file():
        return ["saved_model.pb"]
    # Without its variables it would be loaded, called AVAILABLE, and fail every request.
    index = Path("variables") / "variables.index"
    if not (directory / index).is_file() and _mentions_variables(graph):
        return [index.as_posix()]
    return []


def _mentions_variables(graph: Path) -> bool:
    """Whether an op's name in a graph's bytes makes a variable."""
    overlap, before = max(map(len, _VARIABLE_OPS)), b""
    with graph.open("rb") as file:
        while block := file.read(_BLOCK):
            if any(name in before + block for name in _VARIABLE_OPS):
                return True
            before = block[-overlap:]
    return False


def contract_of(manifest: dict[str, Any]) -> ModelContract:
    """The contract that a manifest describes, made again from the family and its options.

    Raises:
      ManifestError: The family or an option is unknown here, or the contract has changed.
    """
    model = manifest["model"]
    try:
        contract = contract_with(model["name"], model["options"])
    except InvalidInputError as error:
        raise ManifestError(
            f"the manifest's options are unknown here: {error}; "
            "use the version of peakserve that exported it"
        ) from error
    if json.loads(json.dumps(contract.as_dict())) != model:
        raise ManifestError(
            f"the manifest's contract of {model['name']} is not this version's; "
            "use the version of peakserve that exported it"
        )
    return contract
