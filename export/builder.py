"""From a model family to a published SavedModel."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from export.differences import BreakingChangeError, breaking, differences_of
from export.doctor import examine
from export.doctor.findings import Finding
from export.identity import content_hash
from export.manifest import ManifestError, read_manifest, write_manifest
from export.network_source import NetworkSource
from export.replay import ReplayCounts, replay
from export.store import Unchanged, VersionStore
from export.warmup import Shape, check_shapes, default_shapes, write_warmup
from serving_config.batching import write_batching_file
from signatures.batching import BATCH_THREADS, MOST_BATCHES, timeout_micros
from signatures.contract import KeypointOptions, ModelContract
from signatures.peak_ops import PeakOps


@dataclass(frozen=True)
class Exported:
    """The outcome of an export.

    Attributes:
      version: The version that holds the content.
      directory: Its directory.
      content: The content identity.
      published: False where the newest version had the same content already.
      replayed: What the replay compared; `None` if nothing was published.
    """

    version: int
    directory: Path
    content: str
    published: bool
    replayed: ReplayCounts | None


class Exportable(Protocol):
    """A module with traced functions.

    Attributes:
      contract: What is promised about every signature.
      functions: Signature key to traced function.
    """

    contract: ModelContract
    functions: dict[str, Any]


def write_saved_model(
    module: Exportable, directory: Path, warmup_shapes: Sequence[Shape] = ()
) -> str:
    """Writes a module's signatures and its manifest into a directory.

    Args:
      module: What to write.
      directory: An existing, empty directory.
      warmup_shapes: Shapes of maps to write warm-up requests for.

    Returns:
      The content identity.
    """
    tf.saved_model.save(module, str(directory), signatures=module.functions)
    options = dict(module.contract.options)
    if options.get("batching") == "server":
        write_batching_file(
            directory,
            max_batch=options["max_batch"],
            timeout_micros=timeout_micros(KeypointOptions(batch_timeout=options["batch_timeout"])),
            max_enqueued=MOST_BATCHES,
            threads=BATCH_THREADS,
        )
    if warmup_shapes:
        write_warmup(directory, module.contract, list(warmup_shapes))
    content = content_hash(directory, module.contract.as_dict())
    write_manifest(directory, module.contract, content=content, tensorflow_version=tf.__version__)
    return content


def export_model(
    model_root: str | Path,
    module: Exportable | None = None,
    *,
    version: int | None = None,
    force: bool = False,
    source: NetworkSource | None = None,
    warmup_shapes: Sequence[Shape] | None = None,
    allow_breaking: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> Exported:
    """Builds a model family, replays it in a fresh process, and publishes it.

    Args:
      model_root: The folder of all models; the family's name is appended.
      module: What to export; `PeakOps()` with its default bounds if left out.
      version: The version's number; the next free one if left out.
      force: Publish even if the newest version has the same content.
      source: Where the module's network came from; the replay loads it again.
      warmup_shapes: Shapes of maps to write warm-up requests for; a sample, and a full batch
        where requests are joined, if left out.
      allow_breaking: Publish even if clients of the newest version cannot use this one.
      progress: Called with the name of each step.

    Raises:
      StoreError: The version exists, or the folder cannot be written.
      ReplayError: The exported model does not answer as eager does.
      BreakingChangeError: Clients of the newest version could not use this one.
      DoctorError: A server could not host the model.
      InvalidInputError: Warm-up requests that the model would refuse.
    """
    module = module or PeakOps()
    shapes = default_shapes(module.contract) if warmup_shapes is None else list(warmup_shapes)
    check_shapes(shapes, module.contract)
    store = VersionStore(model_root, module.contract.name)
    content = ""
    counts: ReplayCounts | None = None

    def write(staging: Path) -> None:
        nonlocal content, counts
        progress("tracing and staging")
        try:
            content = write_saved_model(module, staging, shapes)
        except tf.errors.OpError as error:
            # TensorFlow writes files itself, and has errors of its own for a disk that is full.
            if str(staging) not in error.message:
                raise
            raise OSError(errno.EIO, _reason_of(error)) from error
        newest = max(store.versions(), default=None)
        if newest is not None:
            before = store.version_path(newest)
            if not force and content_of(before) == content:
                raise Unchanged(newest)
            if not allow_breaking:
                _refuse_breaking(newest, before, staging)
        progress("examining")
        errors = examine(staging).errors
        if errors:
            raise DoctorError(errors)
        progress("replaying in a fresh process")
        counts = replay(staging, source)
        progress("publishing")

    try:
        number, directory = store.publish(write, version)
    except Unchanged as same:
        return Exported(same.version, store.version_path(same.version), content, False, None)
    return Exported(number, directory, content, True, counts)


class DoctorError(RuntimeError):
    """A staged model that a server could not host; it is not published.

    Attributes:
      errors: What the doctor found.
    """

    def __init__(self, errors: list[Finding]) -> None:
        self.errors = errors
        lines = [f"not published: the doctor found {len(errors)} errors"]
        lines += [f"  {error.code}: {error.sentence}; {error.fix}" for error in errors]
        super().__init__("\n".join(lines))


def _reason_of(error: tf.errors.OpError) -> str:
    r"""Why a file was not written, without its path and TensorFlow's own notes.

    >>> _reason_of(tf.errors.ResourceExhaustedError(None, None, "/m/a.pb; No space left on device"))
    'No space left on device'
    """
    text = error.message.splitlines()[0].partition(" [Op:")[0]
    return text.rpartition("; ")[2].strip() or "it cannot be written"


def _refuse_breaking(newest: int, before: Path, after: Path) -> None:
    """Refuses what clients of the newest version could not use.

    Raises:
      BreakingChangeError: Every change that breaks them.
    """
    # A version that was not exported here promises nothing.
    with suppress(ManifestError):
        changes = breaking(differences_of(before, after))
        if changes:
            raise BreakingChangeError(newest, changes)


def content_of(directory: Path) -> str | None:
    """The content identity in a version's manifest, `None` if it has none."""
    try:
        content: str | None = read_manifest(directory).get("content")
    except ManifestError:
        return None
    return content
