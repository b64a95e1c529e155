"""Both model families beside one another: their contracts, small requests, and a server of them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from export.case import Case
from export.verification import Expected
from serving_config.models_config import MODELS_CONFIG, ServedModel, models_config_text
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST, find_server
from signatures.contract import PEAK_OPS, KeypointOptions, TensorContract, keypoints_contract

# Maps of one size, which are joined in the graph, and images of any size up to 100 pixels.
KEYPOINTS = keypoints_contract(
    KeypointOptions(
        **{"height": 9, "width": 11, "channels": 3, "max_batch": 4, "refinement": "local"},
        **{"backbone": True, "output_stride": 2.0, "max_pixels": 100},
    )
)
CONTRACTS = {contract.name: contract for contract in (PEAK_OPS, KEYPOINTS)}
KEYS = [(model, key) for model in CONTRACTS for key in CONTRACTS[model].signature_keys()]


def example(model: str, signature: str) -> dict[str, np.ndarray]:
    """A small good request."""
    inputs = CONTRACTS[model].signature(signature).inputs
    return {tensor.name: _example_of(tensor) for tensor in inputs}


def _example_of(tensor: TensorContract) -> np.ndarray:
    if tensor.dtype == "string":
        return np.array([base64.b64decode(file["b64"]) for file in tensor.example], object)
    if tensor.example is None:
        return np.full([size or 8 for size in tensor.static_shape], 9, tensor.dtype)
    return np.asarray(tensor.example, tensor.dtype)


def answered_once(eager: Callable[[Case], Expected]) -> Callable[[Case], Expected]:
    """The same answers; a case that several transports are compared on is computed once."""
    answers: dict[str, Expected] = {}

    def answer(case: Case) -> Expected:
        if case.id not in answers:
            answers[case.id] = eager(case)
        return answers[case.id]

    return answer


def write_keypoints(folder: Path, networks) -> Path:
    """A `keypoints` model whose network takes every second pixel; returns its base path."""
    from export.builder import write_saved_model
    from signatures.keypoints import Keypoints

    directory = folder / "keypoints" / "1"
    directory.mkdir(parents=True)
    module = Keypoints(KeypointOptions(**dict(KEYPOINTS.options)), networks.every_nth_pixel(2))
    write_saved_model(module, directory)
    return directory.parent


def server_of(kind: str, base_paths: Mapping[str, Path], folder: Path, *flags: str) -> ModelServer:
    """A server of a kind with all models; a visible skip where there is no such server."""
    program = EMBEDDED_HOST if kind == "embedded" else find_server()
    if program.kind != kind:
        pytest.skip("no stock server: no binary on PATH or in PEAKSERVE_MODEL_SERVER")
    config = folder / MODELS_CONFIG
    models = [ServedModel(name, path) for name, path in base_paths.items()]
    config.write_text(models_config_text(models))
    flags = (f"--model_config_file={config}", *flags)
    return ModelServer("keypoints", folder, program=program, extra_flags=flags)
