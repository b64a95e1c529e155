"""From a model family to a published SavedModel."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from export.manifest import write_manifest
from export.store import VersionStore
from signatures.peak_ops import PeakOps


def write_saved_model(module: PeakOps, directory: Path) -> None:
    """Writes a module's signatures and its manifest into a directory."""
    tf.saved_model.save(module, str(directory), signatures=module.functions)
    write_manifest(directory, module.contract, tf.__version__)


def export_model(
    model_root: str | Path, module: PeakOps | None = None, *, version: int | None = None
) -> tuple[int, Path]:
    """Builds and publishes a model family.

    Args:
      model_root: The folder of all models; the family's name is appended.
      module: What to export; `PeakOps()` with its default bounds if left out.
      version: The version's number; the next free one if left out.

    Returns:
      The version and its directory.

    Raises:
      StoreError: The version exists, or the folder cannot be written.
    """
    module = module or PeakOps()
    store = VersionStore(model_root, module.contract.name)
    return store.publish(lambda directory: write_saved_model(module, directory), version)
