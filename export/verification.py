"""Served against eager: every case over every transport, all mismatches collected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from export.case import Case
from export.comparison import Mismatch, compare, excuse, ulps_between
from export.tally import Outcome, Tally
from serving_config.errors import ServingError
from serving_config.tensor_types import without_subnormals
from signatures.contract import ModelContract

LISTED_MISMATCHES = 20
REFUSED = "INVALID_ARGUMENT"


class Client(Protocol):
    """What verification needs of a client.

    Attributes:
      transport: `"gRPC"` or `"REST"`.
      keeps_subnormals: Whether subnormal numbers survive the way to the server and back.
    """

    transport: str
    keeps_subnormals: bool

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        *,
        model: str,
        version: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Asks the server."""

    def status(self) -> Mapping[int, Any]:
        """The states of all versions."""


class VerificationError(AssertionError):
    """Served output differs from eager: every mismatch, one per line.

    Attributes:
      mismatches: All of them.
    """

    def __init__(self, mismatches: list[Mismatch]) -> None:
        self.mismatches = mismatches
        lines = [f"{len(mismatches)} served outputs differ from eager"]
        lines += [f"  {mismatch}" for mismatch in mismatches[:LISTED_MISMATCHES]]
        if len(mismatches) > LISTED_MISMATCHES:
            lines.append(f"  and {len(mismatches) - LISTED_MISMATCHES} more")
        super().__init__("\n".join(lines))


@dataclass
class Report:
    """The outcome of a verification.

    Attributes:
      exact: Whether equal bits were asked even where the contract has a tolerance.
      tallies: One per signature and transport, in the order of the contract.
      mismatches: All of them.
      compared: The cases.
      eager_seconds: How long the eager function took for each of them; `None` where it refused.
      excused: Outputs that differ where the choice was nearer to a tie than the contract's
        margin, one line each.
    """

    exact: bool = False
    tallies: list[Tally] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)
    compared: list[Case] = field(default_factory=list)
    eager_seconds: list[float | None] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[Mismatch]:
        """Every mismatch; or else each signature and transport of which nothing was compared."""
        return self.mismatches or [
            Mismatch(tally.signature, tally.transport, "all", "", (), "cases", "none", np.nan)
            for tally in self.tallies
            if not tally.elements and not tally.refusals
        ]

    def raise_if_different(self) -> None:
        """Raises one error with every mismatch.

        Raises:
          VerificationError: Something differs, or nothing was compared.
        """
        if self.faults:
            raise VerificationError(self.faults)


@dataclass(frozen=True)
class Expected:
    """What eager says to a case.

    Attributes:
      outputs: By name; `None` for a refusal.
      sentence: That of a refusal.
      undecided: bool, of the outputs' leading axes: choices that are nearer to a tie than the
        contract's margin. They may fall otherwise, and are listed. `None` if there are none.
      seconds: How long the function took, from arrays to arrays; `None` for a refusal.
    """

    outputs: Mapping[str, np.ndarray] | None
    sentence: str | None = None
    undecided: np.ndarray | None = None
    seconds: float | None = None


Outputs = Mapping[str, np.ndarray]
# A case, what eager says to it, and what each transport brought.
Observer = Callable[[Case, Outputs, Mapping[str, Outputs]], None]


def verify(
    cases: Iterable[Case],
    clients: Iterable[Client],
    expect: Callable[[Case], Expected],
    contract: ModelContract,
    *,
    version: int | None = None,
    exact: bool = False,
    progress: Callable[[Case], None] | None = None,
    observe: Observer | None = None,
) -> Report:
    """Sends every case over every client and compares with eager.

    Args:
      cases: The requests.
      clients: One per transport.
      expect: The eager answer to a case.
      contract: The model family; its name is the servable's.
      version: The version asked; the newest if left out.
      exact: Asks for equal bits even where the contract has a tolerance: the server runs this
        build of TensorFlow on this host's CPU.
      progress: Called after each case.
      observe: Called after each case that eager answers, with what came, right or wrong.
    """
    report = Report(exact)
    clients = list(clients)
    tallies: dict[tuple[str, str], Tally] = {}
    for case in cases:
        report.compared.append(case)
        expected = expect(case)
        report.eager_seconds.append(expected.seconds)
        answers: dict[str, Outputs] = {}
        for client in clients:
            key = (case.signature, client.transport)
            outcome = Outcome(case.name)
            tallies.setdefault(key, Tally(*key)).outcomes.append(outcome)
            found = list(
                _compare_case(
                    case, client, expected, contract, version, exact, outcome, report.excused,
                    answers,
                )
            )  # fmt: skip
            outcome.mismatches = len(found)
            report.mismatches += found
        if observe and expected.outputs is not None:
            observe(case, expected.outputs, answers)
        if progress:
            progress(case)
    report.tallies = list(tallies.values())
    return report


def _compare_case(
    case: Case,
    client: Client,
    expected: Expected,
    contract: ModelContract,
    version: int | None,
    exact: bool,
    outcome: Outcome,
    excused: list[str],
    answers: dict[str, Outputs],
) -> Iterator[Mismatch]:
    def mismatch(
        output: str, wanted: object, came: object, index: tuple[int, ...] = (), ulps: float = np.nan
    ) -> Mismatch:
        return Mismatch(
            case.signature, client.transport, case.name, output, index, str(wanted), str(came), ulps
        )

    if case.refused != (expected.sentence is not None):
        yield mismatch("", "a refusal" if case.refused else "an answer", f"eager: {expected}")
        return
    start = time.perf_counter()
    try:
        served = client.predict(case.signature, case.inputs, model=contract.name, version=version)
        outcome.seconds = time.perf_counter() - start
        answers[client.transport] = served
    except ServingError as error:
        refusal = f"{error.code} {error.sentence}"
        if expected.sentence is None:
            yield mismatch("", "an answer", refusal)
        elif (error.code, error.sentence) != (REFUSED, expected.sentence):
            yield mismatch("", f"{REFUSED} {expected.sentence}", refusal)
        else:
            outcome.is_refused = True
        return
    if expected.outputs is None:
        yield mismatch("", f"{REFUSED} {expected.sentence}", "an answer")
        return

    outcome.is_answered = True
    if served.keys() != expected.outputs.keys():
        yield mismatch("", sorted(expected.outputs), sorted(served))
    tolerance = contract.signature(case.signature).tolerance
    steady = tolerance.steady if tolerance else ()
    if tolerance and exact and tolerance.exact_on_same_build:
        tolerance = None
    for name in expected.outputs.keys() & served.keys():
        want, got = expected.outputs[name], served[name]
        if not client.keeps_subnormals:
            want = without_subnormals(want)
        if expected.undecided is not None and name not in steady:
            got, places = excuse(want, got, expected.undecided)
            excused += [f"{case.id} over {client.transport}: {name} {place}" for place in places]
        result = compare(want, got, tolerance.of_output(name) if tolerance else None)
        outcome.elements += result.elements
        outcome.difference = max(outcome.difference, result.difference)
        outcome.ulps = max(outcome.ulps, result.ulps)
        if result.fault:
            yield mismatch(name, *result.fault)
        elif result.index is not None:
            at = result.index
            ulps = ulps_between(want[at], got[at]) if want.dtype.kind == "f" else np.nan
            yield mismatch(name, f"{want[at]:.9g}", f"{got[at]:.9g}", at, ulps)
