"""A verification as plain data: what `verify --json` prints, and what its page is made of."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.case import Case
from export.hosting import Host
from export.margins import MARGINS, summarise
from export.reporting.environment import environment
from export.tally import Tally
from export.verification import Report
from signatures.contract import ModelContract

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """When which version was asked.

    Attributes:
      version: Its number; `None` if it is not known.
      content: Its content identity; `None` where no model root tells it.
      started: Date and time, UTC, ISO 8601.
      seconds: How long the comparison took.
    """

    version: int | None = None
    content: str | None = None
    started: str = ""
    seconds: float = 0.0


def report_of(
    report: Report,
    contract: ModelContract,
    host: Host,
    maps: np.ndarray,
    maps_path: Path | None,
    run: Run = Run(),
) -> dict[str, Any]:
    """The report as plain data; floats and discrete outputs apart.

    JSON has no NaN: mismatches carry it as text, their ulps as null.

    Args:
      report: The outcome.
      contract: The model family.
      host: The server that was asked.
      maps: The maps of the cases, [samples, height, width, channels].
      maps_path: Where the maps came from; `None` if they were drawn.
      run: When which version was asked.
    """
    floats, discrete = [], []
    for tally in report.tallies:
        tolerance = contract.signature(tally.signature).tolerance
        entry = {
            "signature": tally.signature,
            "transport": tally.transport,
            "cases": tally.cases,
            "refused": tally.refusals,
            "numbers": tally.elements,
            "wrong_outputs": tally.mismatches,
            "latency_ms": _percentiles(tally.seconds),
        }
        if tolerance:
            entry |= {
                "largest_difference": tally.difference,
                "largest_ulps": tally.ulps,
                "allowed": "0 ulps"
                if report.exact and tolerance.exact_on_same_build
                else str(tolerance),
            }
            floats.append(entry)
        else:
            discrete.append(entry)
    return {
        "format": FORMAT,
        "verdict": "different" if report.faults else "equal",
        "equal_bits_required": report.exact,
        "started": run.started,
        "seconds": run.seconds,
        "model": {"name": contract.name, "version": run.version, "content": run.content},
        "server": {
            "grpc": host.grpc_address,
            "rest": host.rest_address,
            "name": host.text,
            "version": host.version,
        },
        "maps": {
            "source": "drawn" if maps_path is None else str(maps_path),
            "shape": list(maps.shape),
        },
        "distinct_cases": len(report.compared),
        "transports": _per_transport(report.tallies),
        "float_outputs": floats,
        "discrete_outputs": discrete,
        "decision_margins": decision_margins(report.compared, contract),
        "undecided": report.excused,
        "mismatches": [_plain(dataclasses.asdict(fault)) for fault in report.faults],
        "cases": _cases(report),
        "environment": environment(),
        "contract": contract.as_dict(),
    }


def decision_margins(cases: Iterable[Case], contract: ModelContract) -> list[dict[str, Any]]:
    """Per signature and kind of choice: how near the accepted cases were to a tie."""
    collected: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for case in cases:
        signature = contract.signature(case.signature)
        if case.refused or signature.name not in MARGINS:
            continue
        inputs = signature.with_defaults(case.inputs)
        for kind, margins in MARGINS[signature.name](inputs).items():
            collected[case.signature, kind].append(margins)
    return [
        {"signature": signature, "choice": kind, **summarise(np.concatenate(margins))}
        for (signature, kind), margins in collected.items()
    ]


def _per_transport(tallies: Iterable[Tally]) -> list[dict[str, Any]]:
    """What was sent over each transport, and how much of it is wrong."""
    sums: dict[str, dict[str, int]] = {}
    for tally in tallies:
        row = sums.setdefault(
            tally.transport, {"cases": 0, "refused": 0, "numbers": 0, "wrong_outputs": 0}
        )
        row["cases"] += tally.cases
        row["refused"] += tally.refusals
        row["numbers"] += tally.elements
        row["wrong_outputs"] += tally.mismatches
    return [{"transport": transport, **row} for transport, row in sums.items()]


def _cases(report: Report) -> list[dict[str, Any]]:
    """Every request: what was sent, how long eager and each transport took, what differs."""
    asked: dict[str, list[Tally]] = defaultdict(list)
    for tally in report.tallies:
        asked[tally.signature].append(tally)
    number: dict[str, int] = defaultdict(int)
    rows = []
    for case, seconds in zip(report.compared, report.eager_seconds, strict=True):
        at = number[case.signature]
        number[case.signature] += 1
        outcomes = [(tally.transport, tally.outcomes[at]) for tally in asked[case.signature]]
        rows.append(
            {
                "signature": case.signature,
                "case": case.name,
                "refused": case.refused,
                "inputs": {
                    name: f"{'string' if array.dtype == object else array.dtype} "
                    f"{list(array.shape)}"
                    for name, array in case.inputs.items()
                },
                "eager_ms": _milliseconds(seconds),
                "served": [
                    {
                        "transport": transport,
                        "ms": _milliseconds(outcome.seconds),
                        "numbers": outcome.elements,
                        "largest_difference": outcome.difference,
                        "largest_ulps": outcome.ulps,
                        "wrong_outputs": outcome.mismatches,
                    }
                    for transport, outcome in outcomes
                ],
            }
        )
    return rows


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds


def _plain(fault: dict[str, Any]) -> dict[str, Any]:
    """A mismatch for JSON."""
    return {**fault, "ulps": None if np.isnan(fault["ulps"]) else fault["ulps"]}


def _percentiles(seconds: list[float]) -> dict[str, float | int] | None:
    if not seconds:
        return None
    median, p90, p99 = np.percentile(np.array(seconds) * 1000, [50, 90, 99])
    return {
        "requests": len(seconds),
        "median": float(median),
        "p90": float(p90),
        "p99": float(p99),
    }
