"""What the doctor says: findings, and the table of their codes. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

ERROR = "error"
WARNING = "warning"
INFO = "info"
SEVERITIES = (ERROR, WARNING, INFO)

# Code to severity: an error fails requests, loading or other clients; a warning is a trap that
# needs a certain request, client or load; an info is worth knowing.
CODES: dict[str, str] = {
    # The directory.
    "no-saved-model": ERROR,
    "unreadable-saved-model": ERROR,
    "no-serve-tag": ERROR,
    "no-signature": ERROR,
    "missing-variables": ERROR,
    "incomplete-variables": ERROR,
    "missing-asset": ERROR,
    "no-serving-default": INFO,
    "newer-producer": WARNING,
    "minor-version-ahead": INFO,
    # What a stock server cannot run.
    "unknown-op": ERROR,
    "xla-compiled": ERROR,
    "python-function": ERROR,
    # Requests.
    "missing-shape-check": WARNING,
    "assert-beside-work": WARNING,
    "request-sized-allocation": WARNING,
    "single-output": INFO,
    "scalar-output": INFO,
    "large-reply": WARNING,
    "large-request": INFO,
    "impossible-request": ERROR,
    # Batching.
    "scalar-input-batched": ERROR,
    "scalar-output-batched": ERROR,
    "static-batch": ERROR,
    "output-axis-not-batch": ERROR,
    "unknown-inner-shape": WARNING,
    "shared-batch-queue": ERROR,
    "not-batched-in-graph": WARNING,
    "batching-file-missing": WARNING,
    # Warm-up.
    "warmup-unreadable": ERROR,
    "warmup-too-many": ERROR,
    "warmup-request": ERROR,
    # The GPU.
    "no-gpu-registry": WARNING,
    "no-gpu-kernel": WARNING,
    "no-gpu-kernel-on-maps": ERROR,
    "string-op": WARNING,
    "maps-copied-to-host": ERROR,
    "maps-copied-again": WARNING,
}


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor found.

    Attributes:
      code: A key of `CODES`.
      sentence: What was expected, what is there, and where.
      fix: What to do about it, in one line.
      signature: The signature that has it, `None` where it is the model's.
    """

    code: str
    sentence: str
    fix: str
    signature: str | None = None

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"code: expected one of {', '.join(CODES)}, got {self.code}")

    @property
    def severity(self) -> str:
        """`error`, `warning` or `info`."""
        return CODES[self.code]

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain data."""
        code, sentence, fix, signature = dataclasses.astuple(self)
        return {
            "code": code,
            "severity": self.severity,
            "signature": signature,
            "sentence": sentence,
            "fix": fix,
        }


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, then the rest; each finding once, in the table's order of codes."""
    codes = list(CODES)
    return sorted(
        dict.fromkeys(findings),
        key=lambda found: (
            SEVERITIES.index(found.severity),
            codes.index(found.code),
            found.signature or "",
        ),
    )
