"""Replay before publishing: a fresh process reloads a staged model and answers every case.

Run as `python -m export.replay DIRECTORY [NETWORKS]`, which prints one JSON object with
the counts and the mismatches. It loads the model as the server does (the `serve` tag into a
session, fed by the signatures' tensor names), first one case after another, then all signatures
at once from several threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from export.batch_safety import batch_faults
from export.case import Case
from export.cases import make_cases
from export.manifest import contract_of, read_manifest
from export.maps import draw_maps
from export.network_source import NetworkSource
from export.verification import LISTED_MISMATCHES, Expected, Report, verify
from serving_config.errors import ServingError
from serving_config.quiet import import_tensorflow
from signatures.contract import ModelContract, image_options

THREADS = 8
TIMEOUT = 600.0


class ReplayError(RuntimeError):
    """A staged model that does not answer as eager does; it is not published.

    Attributes:
      mismatches: One line each, with signature and case.
    """

    def __init__(self, mismatches: list[str]) -> None:
        self.mismatches = mismatches
        lines = [f"not published: the exported model differs from eager in {len(mismatches)} cases"]
        lines += [f"  {mismatch}" for mismatch in mismatches[:LISTED_MISMATCHES]]
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class ReplayCounts:
    """What a replay compared.

    Attributes:
      cases: Requests, sequential and concurrent.
      elements: Numbers compared.
      warmup: Signature key to how long its first request took, and the next one, in seconds.
    """

    cases: int
    elements: int
    warmup: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def replay(directory: Path, source: NetworkSource | None = None) -> ReplayCounts:
    """Replays a model directory in a fresh process.

    Args:
      directory: The staged version.
      source: Where its network came from: eager results are those of the original.

    Raises:
      ReplayError: An answer differs, or the process failed.
    """
    root = Path(__file__).resolve().parents[1]
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
    }
    command = [sys.executable, "-m", "export.replay", str(directory)]
    if source is not None:
        command.append(source.as_text())
    with tempfile.TemporaryFile() as log:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ReplayError([f"no end of the replay within {TIMEOUT:g} seconds"]) from error
        if done.returncode:
            log.seek(0)
            tail = log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise ReplayError([f"the replay ended with exit code {done.returncode}", *tail])
    outcome = json.loads(done.stdout)
    if outcome["mismatches"]:
        raise ReplayError(outcome["mismatches"])
    warmup = {key: (first, next_) for key, (first, next_) in outcome["warmup"].items()}
    return ReplayCounts(outcome["cases"], outcome["elements"], warmup)


class LoadedModel:
    """A SavedModel in a session of this process, with the interface of a client."""

    transport = "replay"
    keeps_subnormals = True

    def __init__(self, directory: Path, contract: ModelContract) -> None:
        """Loads the `serve` tag."""
        import tensorflow as tf

        self._contract = contract
        self._errors = tf.errors.OpError
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(directory))
        self._signatures = graph.signature_def

    def status(self) -> Mapping[int, Any]:
        """There are no versions."""
        return {}

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        *,
        model: str,
        version: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature."""
        definition = self._signatures[signature]
        complete = self._contract.signature(signature).with_defaults(inputs)
        feeds = {definition.inputs[name].name: value for name, value in complete.items()}
        fetches = {name: info.name for name, info in definition.outputs.items()}
        try:
            outputs: dict[str, np.ndarray] = self._session.run(fetches, feeds)
        except self._errors as error:
            code = type(error).__name__.removesuffix("Error")
            raise ServingError(
                error.message,
                code="INVALID_ARGUMENT" if code == "InvalidArgument" else code.upper(),
                transport=self.transport,
                signature=signature,
            ) from error
        return outputs


def replay_here(directory: Path, source: NetworkSource | None = None) -> dict[str, Any]:
    """Replays in this process: sequentially, then from several threads at once."""
    from export.eager import Eager

    contract = contract_of(read_manifest(directory))
    network = None
    if source is not None:
        from export.backbone import load_networks

        network = load_networks(source, channels=image_options(contract).image_channels)
    maps = draw_maps(2, 9, 11, 2)[0]
    cases = make_cases(maps, contract)
    eager = Eager(contract, network)
    answers = {case.id: eager(case) for case in cases}
    model = LoadedModel(directory, contract)
    warmup, mismatches = _replay_warmup(directory, model, contract.name)

    def run(order: list[Case]) -> Report:
        def expect(case: Case) -> Expected:
            return answers[case.id]

        return verify(order, [model], expect, contract, exact=True)

    # Each thread starts elsewhere, so that different signatures meet.
    starts = [len(cases) * thread // THREADS for thread in range(THREADS)]
    orders = [cases[start:] + cases[:start] for start in starts]
    with ThreadPoolExecutor(THREADS) as pool:
        reports = [run(cases), *pool.map(run, orders)]
    tallies = [tally for report in reports for tally in report.tallies]
    mismatches += [str(mismatch) for report in reports for mismatch in report.mismatches]

    def predict(key: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return model.predict(key, inputs, model=contract.name)

    if any(signature.batched for signature in contract.signatures):
        mismatches += batch_faults(predict, contract, maps, eager.undecided)
    return {
        "cases": sum(tally.cases + tally.refusals for tally in tallies),
        "elements": sum(tally.elements for tally in tallies),
        "warmup": warmup,
        "mismatches": list(dict.fromkeys(mismatches)),
    }


def _replay_warmup(
    directory: Path, model: LoadedModel, name: str
) -> tuple[dict[str, tuple[float, float]], list[str]]:
    """Runs the warm-up records as a server does, before anything else, each of them twice.

    Returns:
      Signature key to the seconds of its first request and of the next one; and one line for
      each record that fails, which would keep the version from loading.
    """
    from export.warmup import read_warmup

    seconds: dict[str, tuple[float, float]] = {}
    faults = []
    for number, (key, inputs) in enumerate(read_warmup(directory)):
        taken = []
        try:
            for _ in range(2):
                start = time.perf_counter()
                model.predict(key, inputs, model=name)
                taken.append(time.perf_counter() - start)
        except (ServingError, KeyError, ValueError) as error:
            faults.append(f"warm-up record {number} for {key}: {error}")
            continue
        seconds.setdefault(key, (taken[0], taken[1]))
    return seconds, faults


if __name__ == "__main__":
    import_tensorflow()
    staged, *networks = sys.argv[1:]
    network_source = NetworkSource.from_text(networks[0]) if networks else None
    json.dump(replay_here(Path(staged), network_source), sys.stdout)
