"""What the command `inspect` shows of an exported version. Needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from export.hosting import require_version
from export.manifest import ManifestError, contract_of, read_manifest
from export.snippets import curl_snippet, python_snippet
from export.store import VersionStore
from export.writing import print_json
from signatures.contract import DEFAULT_SIGNATURE, ModelContract, TensorContract

_PROVENANCE = ("content", "created", "tool", "tensorflow", "python")


def inspect_and_tell(
    model: str, model_root: Path, version: int | None, *, as_json: bool = False
) -> None:
    """Prints one version's contract, identity, provenance and snippets, as text or as JSON.

    Raises:
      StoreError: There is no such version.
      ManifestError: It was not exported by a compatible peakserve.
    """
    directory = require_version(model, model_root, version)
    manifest = read_manifest(directory)
    contract = contract_of(manifest)
    if as_json:
        print_json(inspection_data(model_root, directory, manifest, contract))
        return
    click.echo("\n".join(_overview(model_root, directory, manifest, contract)))
    for signature in contract.signature_keys():
        click.echo("\n".join(_signature(contract, signature, int(directory.name))))


def inspection_data(
    model_root: Path, directory: Path, manifest: dict[str, Any], contract: ModelContract
) -> dict[str, Any]:
    """What is known of a version, as plain data."""
    store = VersionStore(model_root, contract.name)
    version = int(directory.name)
    return {
        "model": contract.name,
        "version": version,
        "directory": str(directory),
        "bytes": folder_size(directory),
        **{name: manifest[name] for name in _PROVENANCE},
        "contract": manifest["model"],
        "versions": [
            {"version": number, "content": _known_content(store.version_path(number))}
            for number in store.versions()
        ],
        "signatures": {
            key: {
                "curl": curl_snippet(contract, key, version=version),
                "python": python_snippet(contract, key, version=version),
            }
            for key in contract.signature_keys()
        },
    }


def folder_size(directory: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _overview(
    model_root: Path, directory: Path, manifest: dict[str, Any], contract: ModelContract
) -> list[str]:
    store = VersionStore(model_root, contract.name)
    return [
        f"model      {contract.name} version {directory.name}",
        f"directory  {directory}",
        f"content    {manifest['content']}",
        f"size       {folder_size(directory):,} bytes",
        f"created    {manifest['created']} by {manifest['tool']['name']} "
        f"{manifest['tool']['version']}, TensorFlow {manifest['tensorflow']}, "
        f"Python {manifest['python']}",
        "options    " + ", ".join(f"{name} {value}" for name, value in contract.options),
        "versions",
        *(f"  {number}  {_content(store.version_path(number))}" for number in store.versions()),
    ]


def _content(directory: Path) -> str:
    return _known_content(directory) or "not exported by peakserve"


def _known_content(directory: Path) -> str | None:
    try:
        return str(read_manifest(directory)["content"])
    except ManifestError:
        return None


def _signature(contract: ModelContract, key: str, version: int) -> list[str]:
    signature = contract.signature(key)
    same = f" (the same as {signature.name})" if key == DEFAULT_SIGNATURE else ""
    lines = ["", f"signature {key}{same}", f"  {signature.summary}"]
    if not same:
        lines += [f"  input   {_tensor(tensor)}" for tensor in signature.inputs]
        lines += [f"  output  {_tensor(tensor)}" for tensor in signature.outputs]
        lines += [f"  rule    {rule.describe()}" for rule in signature.rules]
        tolerance = signature.tolerance
        lines.append(
            f"  equal to eager within {tolerance}: {tolerance.reason}"
            if tolerance
            else "  equal to eager to the last bit"
        )
    lines += ["", f"  {curl_snippet(contract, key, version=version)}", ""]
    lines += [f"  {line}" for line in python_snippet(contract, key, version=version).splitlines()]
    return lines


def _tensor(tensor: TensorContract) -> str:
    default = "" if tensor.default is None else f", default {tensor.default}"
    return (
        f"{tensor.name}: {tensor.dtype} {tensor.shape_text}{default}; {tensor.axes}; "
        f"{tensor.units}; {tensor.meaning}"
    )
