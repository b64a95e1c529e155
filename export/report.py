"""The JSON report of a verification."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from export.case import Case
from export.hosting import Host
from export.manifest import tool_version
from export.margins import MARGINS, summarise
from export.verification import Report, Tally
from signatures.contract import ModelContract

FORMAT = 1
_PACKAGES = ("tensorflow", "numpy", "grpcio", "protobuf", "httpx")


class ReportError(RuntimeError):
    """A report that cannot be written, in one sentence."""


def report_of(
    report: Report, contract: ModelContract, host: Host, maps: np.ndarray, source: str
) -> dict[str, Any]:
    """The report as plain data; floats and discrete outputs apart.

    Args:
      report: The outcome.
      contract: The model family.
      host: The server that was asked.
      maps: The maps of the cases, [samples, height, width, channels].
      source: Where the maps came from.
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
            "latency_ms": _percentiles(tally),
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
        "server": {"grpc": host.grpc_address, "rest": host.rest_address, "name": host.text},
        "maps": {"source": source, "shape": list(maps.shape)},
        "float_outputs": floats,
        "discrete_outputs": discrete,
        "decision_margins": decision_margins(report.compared, contract),
        "undecided": report.excused,
        "mismatches": [dataclasses.asdict(mismatch) for mismatch in report.mismatches],
        "environment": environment(),
        "contract": contract.as_dict(),
    }


def report_data(
    report: Report, contract: ModelContract, host: Host, maps: np.ndarray, maps_path: Path | None
) -> dict[str, Any]:
    """The same for JSON, which has no NaN: mismatches carry it as text, their ulps as null."""
    source = "drawn" if maps_path is None else str(maps_path)
    content = report_of(report, contract, host, maps, source)
    for mismatch in content["mismatches"]:
        if np.isnan(mismatch["ulps"]):
            mismatch["ulps"] = None
    return content


def write_report(
    path: Path,
    report: Report,
    contract: ModelContract,
    host: Host,
    maps: np.ndarray,
    maps_path: Path | None,
) -> None:
    """Writes the report; see `report_of`.

    Raises:
      ReportError: The file cannot be written.
    """
    content = report_data(report, contract, host, maps, maps_path)
    try:
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ReportError(
            f"cannot write {path}: {error.strerror or error}; name another file with --report"
        ) from error


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


def environment() -> dict[str, Any]:
    """What ran the eager side."""
    packages: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            packages[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            packages[package] = None
    return {
        "peakserve": tool_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        **packages,
    }


def _percentiles(tally: Tally) -> dict[str, float | int] | None:
    if not tally.seconds:
        return None
    median, p90, p99 = np.percentile(np.array(tally.seconds) * 1000, [50, 90, 99])
    return {
        "requests": len(tally.seconds),
        "median": float(median),
        "p90": float(p90),
        "p99": float(p99),
    }
