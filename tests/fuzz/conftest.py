"""Both model families on one server, and how it is watched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from serving_config.grpc_client import GrpcClient
from serving_config.process import ModelServer
from serving_config.programs import STOCK
from signatures.contract import DEFAULT_SIGNATURE, PEAK_OPS, KeypointOptions

from ..families import CONTRACTS, KEYPOINTS, example, server_of, write_keypoints
from .oracle import Oracle

# Requests between two looks at the server. The first of them, or a third of a short run, let
# allocators, caches and threads settle before memory is measured.
SETTLED = 500
# How far the server's peak may rise after that, MB.
MEMORY = 200.0
DEADLINE = 20.0


@dataclass
class Watched:
    """A server under fire.

    Attributes:
      server: The process.
      kind: `embedded` or `stock`.
      peak: Its largest memory when it had settled, MB; 0 before that.
    """

    server: ModelServer
    kind: str
    peak: float = 0.0
    client: GrpcClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = GrpcClient(self.server.grpc_address, contracts=CONTRACTS, timeout=DEADLINE)

    def memory(self) -> float:
        """The largest resident size so far, MB."""
        with Path(f"/proc/{self.server.pid}/status").open() as status:
            (line,) = [line for line in status if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024

    def settle(self) -> None:
        """Memory is measured from here."""
        Path(f"/proc/{self.server.pid}/clear_refs").write_text("5")
        self.peak = self.memory()

    def grown(self) -> float:
        """How far the peak has risen since, MB."""
        return self.memory() - self.peak

    def check(self) -> None:
        """The process lives and answers a good request rightly, after whatever was sent."""
        os.kill(self.server.pid, 0)
        key = DEFAULT_SIGNATURE
        for model in CONTRACTS:
            outputs = self.client.predict(key, example(model, key), model=model)
            for name, values in self._first.setdefault(model, outputs).items():
                assert np.array_equal(outputs[name], values), (model, name)

    _first: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


@pytest.fixture(scope="session")
def oracles(networks) -> dict[str, Oracle]:
    """What each model should answer."""
    from signatures.keypoints import Keypoints
    from signatures.peak_ops import PeakOps

    keypoints = Keypoints(KeypointOptions(**dict(KEYPOINTS.options)), networks.every_nth_pixel(2))
    return {"peak_ops": Oracle(PEAK_OPS, PeakOps()), "keypoints": Oracle(KEYPOINTS, keypoints)}


@pytest.fixture(scope="session", params=["embedded", STOCK])
def watched(request, published, networks, tmp_path_factory) -> Iterator[Watched]:
    """A server with both models, once per kind."""
    folder = tmp_path_factory.mktemp("fuzzed")
    base_paths = {"peak_ops": published.parent, "keypoints": write_keypoints(folder, networks)}
    with server_of(request.param, base_paths, folder, "--grpc_max_threads=32") as server:
        yield Watched(server, request.param)
