"""Runs every rule on a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.doctor import (
    rules_batching,
    rules_checks,
    rules_directory,
    rules_gpu,
    rules_ops,
    rules_requests,
    rules_warmup,
)
from export.doctor.findings import ERROR, Finding, worst_first
from export.doctor.kernels import registry_has_gpu
from export.doctor.model import SavedModel, Unreadable
from export.doctor.placement import CONTROL, DESIGN, GPU, MISSING, PINNED
from export.doctor.subject import SERVER_VERSION, Rule, Subject

ROOMS = (
    rules_directory,
    rules_ops,
    rules_requests,
    rules_checks,
    rules_batching,
    rules_warmup,
    rules_gpu,
)
RULES: tuple[Rule, ...] = tuple(rule for room in ROOMS for rule in room.RULES)


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
      directory: The model.
      findings: Errors first.
      placement: One row per signature for a GPU; empty where none was asked for.
    """

    directory: Path
    findings: list[Finding]
    placement: list[dict[str, Any]] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        """The findings for which a model should not be published."""
        return [finding for finding in self.findings if finding.severity == ERROR]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "directory": str(self.directory),
            "healthy": not self.errors,
            "findings": [finding.as_dict() for finding in self.findings],
            "gpu": self.placement,
        }


def examine(
    directory: Path,
    *,
    gpu: bool = False,
    batching: str | None = None,
    server_version: str = SERVER_VERSION,
) -> Diagnosis:
    """Looks at a version's directory; nothing of the model is run.

    Args:
      directory: The version's directory.
      gpu: Whether it is to be served on a GPU: placement and copies are looked at too.
      batching: `server`, `in-graph`, or `None` for what the directory shows.
      server_version: The server that will host it.
    """
    try:
        subject = Subject(SavedModel(directory), gpu, batching, server_version)
    except Unreadable as unreadable:
        return Diagnosis(directory, [unreadable.finding])
    findings = worst_first(finding for rule in RULES for finding in rule(subject))
    return Diagnosis(directory, findings, _placement(subject) if gpu else [])


def diagnose(directory: Path, **options: Any) -> list[Finding]:
    """The findings of `examine`."""
    return examine(directory, **options).findings


def _placement(subject: Subject) -> list[dict[str, Any]]:
    """Per signature: how many ops run where, what is in host memory, and what is copied."""
    if not registry_has_gpu():
        return []
    rows = []
    for signature in subject.signatures:
        places = list(signature.placement.places.values())
        crossings = signature.crossings
        host = {
            argument
            for node, kernel in signature.placement.kernels.items()
            if signature.placement.places[node] == GPU
            for argument in (f"{node.op}.{name}" for name in kernel.host_arguments)
        }
        rows.append(
            {
                "signature": signature.key,
                "on_gpu": places.count(GPU),
                "pinned_to_host": places.count(PINNED),
                "on_host_by_design": places.count(DESIGN),
                "control_flow": places.count(CONTROL),
                "without_kernel": places.count(MISSING),
                "copies_to_device": crossings.count(lambda copy: not copy.to_host),
                "copies_to_host": crossings.count(lambda copy: copy.to_host),
                "copies_of_maps_to_device": crossings.count(
                    lambda copy: copy.is_map and not copy.to_host
                ),
                "copies_of_maps_to_host": crossings.count(
                    lambda copy: copy.is_map and copy.to_host and copy.reader is not None
                ),
                "arguments_in_host_memory": sorted(host),
            }
        )
    return rows
