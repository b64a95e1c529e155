"""The versions of a model as rows: what the command `versions list` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.manifest import ManifestError, file_sizes, missing_files, read_manifest
from export.store import StoreError, VersionStore
from export.version_labels import VersionLabels

_SHORT = len("sha256:") + 12


def rows_of(model_root: Path, model: str) -> list[dict[str, Any]]:
    """One row per version, ascending.

    Raises:
      StoreError: There is no version, or the labels cannot be read.
    """
    store = VersionStore(model_root, model)
    state = VersionLabels(store).read()
    rows = []
    for version in store.versions():
        directory = store.version_path(version)
        try:
            manifest = read_manifest(directory)
        except ManifestError:
            manifest = {}
        rows.append(
            {
                "version": version,
                "labels": state.labels_of(version),
                "pinned": version in state.pinned,
                "complete": not missing_files(directory),
                "content": manifest.get("content"),
                "bytes": sum(file_sizes(directory).values()),
                "created": manifest.get("created"),
                "tensorflow": manifest.get("tensorflow"),
            }
        )
    if not rows:
        raise StoreError(f"no version of {model} in {store.path}; run: peakserve export")
    return rows


def table_of(rows: list[dict[str, Any]]) -> str:
    """The rows as a table of plain text."""
    headings = ("version", "labels", "content", "bytes", "created", "TensorFlow", "")
    lines = [headings, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    remarks = [word for word, is_so in (("pinned", row["pinned"]),) if is_so]
    if not row["complete"]:
        remarks.append("INCOMPLETE")
    return (
        str(row["version"]),
        ", ".join(row["labels"]),
        (row["content"] or "not exported by peakserve")[:_SHORT],
        f"{row['bytes']:,}",
        row["created"] or "",
        row["tensorflow"] or "",
        ", ".join(remarks),
    )
