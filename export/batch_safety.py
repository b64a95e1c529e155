"""Whether requests may be joined: merged, run, split, and held against the separate runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from export.case import Case
from export.comparison import compare, excuse
from export.keypoint_cases import requests_of
from signatures.contract import ModelContract

Predict = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
Undecided = Callable[[Case], np.ndarray | None]


def batch_faults(
    predict: Predict,
    contract: ModelContract,
    maps: np.ndarray,
    undecided: Undecided = lambda case: None,
) -> list[str]:
    """Where an answer depends on who else is in the batch.

    Discrete outputs must be equal to the last bit, others within the contract's tolerance; where
    the contract has a margin, a choice that is nearer to a tie may fall otherwise.

    Args:
      predict: Runs a signature by its key.
      contract: The model family.
      maps: float32 [N, H, W, C].
      undecided: Which choices of a request are nearer to a tie than the contract's margin.

    Returns:
      One line per output that differs.
    """
    largest = int(dict(contract.options)["max_batch"])
    faults = []
    for signature in contract.signatures:
        if not signature.batched:
            continue
        (tensor,) = signature.inputs
        requests = requests_of(signature, contract, maps)
        masks = {
            name: undecided(Case(signature.name, name, {tensor.name: samples}))
            for name, samples in requests.items()
        }
        for group in _groups(requests, largest):
            parts = [requests[name] for name in group]
            ends = np.cumsum([0, *map(len, parts)])
            merged = predict(signature.name, {tensor.name: np.concatenate(parts)})
            for name, part, (start, end) in zip(group, parts, pairwise(ends), strict=True):
                alone = predict(signature.name, {tensor.name: part})
                for output, expected in alone.items():
                    got = merged[output][start:end]
                    tolerance = signature.tolerance
                    steady = tolerance.steady if tolerance else ()
                    if (mask := masks[name]) is not None and output not in steady:
                        got, _ = excuse(expected, got, mask)
                    result = compare(
                        expected, got, tolerance.of_output(output) if tolerance else None
                    )
                    if not result.matches:
                        faults.append(
                            f"{signature.name} output {output}: the request {name!r} is answered "
                            f"otherwise in a batch with {', '.join(group)}"
                        )
    return faults


def _groups(requests: Mapping[str, np.ndarray], largest: int) -> list[list[str]]:
    """Pairs of every request with the plain one, and batches filled to the limit in two orders."""
    groups = [["one", name] for name in requests if len(requests[name]) < largest]
    for order in (list(requests), list(requests)[::-1]):
        group: list[str] = []
        total = 0
        for name in order:
            if total + len(requests[name]) <= largest:
                group.append(name)
                total += len(requests[name])
        groups.append(group)
    return groups
