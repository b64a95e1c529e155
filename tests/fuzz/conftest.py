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
from serving_config.programs import EMBEDDED_HOST, STOCK, find_server
from signatures.contract import PEAK_OPS, KeypointOptions, keypoints_contract

from .oracle import Oracle

# Requests before memory is measured: allocators, caches and threads have settled.
SETTLED = 500
# How far the server's peak may rise after that, MB.
MEMORY = 200.0
DEADLINE = 20.0

KEYPOINTS = keypoints_contract(
    KeypointOptions(
        **{"height": 9, "width": 11, "channels": 3, "max_batch": 4, "refinement": "local"},
        **{"backbone": True, "output_stride": 2.0, "max_pixels": 100},
    )
)
CONTRACTS = {contract.name: contract for contract in (PEAK_OPS, KEYPOINTS)}


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
        for name, contract in CONTRACTS.items():
            inputs = {
                tensor.name: np.asarray(tensor.example, tensor.dtype)
                if tensor.example is not None
                else np.full([size or 8 for size in tensor.static_shape], 9, tensor.dtype)
                for tensor in contract.signature().inputs
            }
            outputs = self.client.predict("", inputs, model=name)
            if name == PEAK_OPS.name:
                assert outputs["refined_peaks"].tolist() == self._first.setdefault(
                    name, outputs["refined_peaks"].tolist()
                )

    _first: dict[str, list] = field(default_factory=dict)


@pytest.fixture(scope="session")
def oracles(networks) -> dict[str, Oracle]:
    """What each model should answer."""
    from signatures.keypoints import Keypoints
    from signatures.peak_ops import PeakOps

    keypoints = Keypoints(KeypointOptions(**dict(KEYPOINTS.options)), networks.every_nth_pixel(2))
    return {"peak_ops": Oracle(PEAK_OPS, PeakOps()), "keypoints": Oracle(KEYPOINTS, keypoints)}


@pytest.fixture(scope="session")
def base_paths(tmp_path_factory, networks) -> dict[str, Path]:
    """Both families, `keypoints` with a network that takes every second pixel."""
    from export.builder import write_saved_model
    from signatures.keypoints import Keypoints
    from signatures.peak_ops import PeakOps

    root = tmp_path_factory.mktemp("fuzzed")
    network = networks.every_nth_pixel(2)
    modules = {
        "peak_ops": PeakOps(),
        "keypoints": Keypoints(KeypointOptions(**dict(KEYPOINTS.options)), network),
    }
    for name, module in modules.items():
        (root / name / "1").mkdir(parents=True)
        write_saved_model(module, root / name / "1")
    return {name: root / name for name in modules}


@pytest.fixture(scope="session", params=["embedded", STOCK])
def watched(request, base_paths, tmp_path_factory) -> Iterator[Watched]:
    """A server with both models, once per kind."""
    program = EMBEDDED_HOST if request.param == "embedded" else find_server()
    if program.kind != request.param:
        pytest.skip("no stock server: no binary on PATH or in PEAKSERVE_MODEL_SERVER")
    entries = "".join(
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }} '
        for name, path in base_paths.items()
    )
    config = tmp_path_factory.mktemp("config") / "models.config"
    config.write_text(f"model_config_list {{ {entries} }}")
    flags = (f"--model_config_file={config}", "--grpc_max_threads=32")
    with ModelServer("keypoints", config.parent, program=program, extra_flags=flags) as server:
        yield Watched(server, request.param)
