"""The examination: all rules over one version directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from export.doctor import (
    BATCHING,
    SERVER_VERSION,
    rules_batching,
    rules_checks,
    rules_directory,
    rules_gpu,
    rules_ops,
    rules_requests,
    rules_warmup,
)
from export.doctor.crossings import Copy
from export.doctor.findings import ERROR, Finding, worst_first
from export.doctor.model import GRAPH_FILE, SavedModel, Unreadable
from export.doctor.placement import CONTROL, DESIGN, GPU, MISSING, PINNED
from export.doctor.subject import Rule, Signature, Subject

RULES: tuple[Rule, ...] = (
    *rules_directory.RULES,
    *rules_ops.RULES,
    *rules_requests.RULES,
    *rules_batching.RULES,
    *rules_checks.RULES,
    *rules_warmup.RULES,
    *rules_gpu.RULES,
)


class DoctorError(ValueError):
    """A directory or an option that the doctor cannot take, in one sentence."""


@dataclass(frozen=True)
class PlacementRow:
    """Where one signature runs on a machine with a GPU.

    Attributes:
      signature: Its key.
      nodes: Nodes that run, without calls and conditions.
      on_gpu: Those on the GPU.
      pinned: Those pinned to the host.
      by_design: Those that TensorFlow puts on the host: feeds, pictures, datasets, what reads
        nothing but host memory.
      missing: Those without a GPU kernel.
      to_device: Copies to the device's memory that one request costs at most.
      maps_to_device: Those of maps.
      to_host: Copies to the host's memory.
      maps_to_host: Those of maps, the reply included.
      maps_in_reply: Whether the reply has maps, which must go to the host.
      host_ops: What is pinned or on the host by design: op to number of nodes.
      missing_ops: What has no GPU kernel: op to number of nodes.
      host_arguments: `Op.argument` that a kernel on the GPU keeps in host memory, to number of
        nodes.
    """

    signature: str
    nodes: int
    on_gpu: int
    pinned: int
    by_design: int
    missing: int
    to_device: int
    maps_to_device: int
    to_host: int
    maps_to_host: int
    maps_in_reply: bool
    host_ops: dict[str, int]
    missing_ops: dict[str, int]
    host_arguments: dict[str, int]


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found.

    Attributes:
      directory: The version directory.
      findings: The worst first.
      placement: One row for each signature; empty if the GPU was not asked about, or cannot be
        told of.
      server_version: The server that was assumed.
      signatures: All that clients can call; none of a model that cannot be read.
      gpu: Whether it was examined for a GPU, too.
      batching: `server` or `in-graph`, `None` for what the directory shows.
    """

    directory: Path
    findings: tuple[Finding, ...]
    placement: tuple[PlacementRow, ...]
    server_version: str
    signatures: tuple[str, ...] = ()
    gpu: bool = False
    batching: str | None = None

    @property
    def errors(self) -> list[Finding]:
        """The findings for which a model should not be served as it is."""
        return [finding for finding in self.findings if finding.severity == ERROR]


def examine(
    directory: str | Path,
    *,
    gpu: bool = False,
    batching: str | None = None,
    server_version: str = SERVER_VERSION,
) -> Diagnosis:
    """Examines a SavedModel directory. Nothing of it is run.

    Args:
      directory: A version directory.
      gpu: Whether it is to run on a GPU: adds the rules of the GPU and the table of places.
      batching: `server` or `in-graph`; `None` for what the directory shows.
      server_version: The version of the server, such as `2.20`.

    Raises:
      DoctorError: `batching` is unknown.
    """
    if batching not in (None, *BATCHING):
        raise DoctorError(f"batching: expected one of {', '.join(BATCHING)}, got {batching}")
    directory = Path(directory)
    try:
        subject = Subject(SavedModel(directory), gpu, batching, server_version)
    except Unreadable as unreadable:
        finding = unreadable.finding
        return Diagnosis(directory, (finding,), (), server_version, (), gpu, batching)
    findings = [finding for rule in RULES for finding in rule(subject)]
    rows = (
        [_row(signature) for signature in subject.signatures] if rules_gpu.is_told(subject) else []
    )
    return Diagnosis(
        directory,
        tuple(worst_first(findings)),
        tuple(rows),
        server_version,
        tuple(signature.key for signature in subject.signatures),
        gpu,
        batching,
    )


def diagnose(
    directory: str | Path,
    *,
    gpu: bool = False,
    batching: str | None = None,
    server_version: str = SERVER_VERSION,
) -> list[Finding]:
    """The findings of `examine`, the worst first; none means that nothing was found."""
    diagnosis = examine(directory, gpu=gpu, batching=batching, server_version=server_version)
    return list(diagnosis.findings)


def version_directory(path: Path) -> Path:
    """The directory to examine: the path itself, or its newest version.

    Raises:
      DoctorError: There is neither a model nor a version.
    """
    if (path / GRAPH_FILE).exists() or path.name.isdigit():
        return path
    versions = [entry for entry in path.iterdir() if entry.is_dir() and entry.name.isdigit()]
    if versions:
        return max(versions, key=lambda entry: int(entry.name))
    models = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    inside = f"; it holds {', '.join(models[:3])}" if models else ""
    raise DoctorError(
        f"{path}: expected a version directory with {GRAPH_FILE}, or a folder of numbered "
        f"versions, got neither{inside}; pass MODEL_ROOT/MODEL or MODEL_ROOT/MODEL/VERSION"
    )


def _row(signature: Signature) -> PlacementRow:
    placement, crossings = signature.placement, signature.crossings
    at: dict[str, list] = {place: [] for place in (GPU, PINNED, DESIGN, MISSING, CONTROL)}
    for node in signature.flat.nodes:
        at[placement.places[node]].append(node)
    # A kernel of the GPU that touches nothing but host memory works on the host.
    on_host = [node for node in at[GPU] if placement.kernels[node].is_host_only]
    by_design = at[DESIGN] + on_host
    host_only = set(on_host)
    on_gpu = [node for node in at[GPU] if node not in host_only]
    arguments = Counter(
        f"{node.op}.{name}" for node in on_gpu for name in placement.kernels[node].host_arguments
    )
    reply = {tensor.node for tensor in signature.flat.outputs.values()}

    def count(kind: Callable[[Copy], bool]) -> int:
        return crossings.count(kind)

    return PlacementRow(
        signature=signature.key,
        nodes=sum(len(nodes) for place, nodes in at.items() if place != CONTROL),
        on_gpu=len(on_gpu),
        pinned=len(at[PINNED]),
        by_design=len(by_design),
        missing=len(at[MISSING]),
        to_device=count(lambda copy: not copy.to_host),
        maps_to_device=count(lambda copy: not copy.to_host and copy.is_map),
        to_host=count(lambda copy: copy.to_host),
        maps_to_host=count(lambda copy: copy.to_host and copy.is_map),
        maps_in_reply=any(
            copy.is_map and copy.to_host and (copy.reader is None or copy.reader in reply)
            for copy in crossings.copies
        ),
        host_ops=_counted(node.op for node in at[PINNED] + by_design),
        missing_ops=_counted(rules_gpu.kinds([node]) for node in at[MISSING]),
        host_arguments=_counted(arguments.elements()),
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    """Name to number, the most frequent first."""
    return dict(Counter(names).most_common())
