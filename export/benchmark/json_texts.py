"""JSON of maps: the client's beside Python's own `json`."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import numpy as np

from export.benchmark.result import AT_LEAST, OURS, Goal, size_of
from export.benchmark.timing import Run
from export.benchmark.trial import Trial
from export.maps import draw_maps
from serving_config.rest_json import predict_body, read_outputs
from signatures.contract import PEAK_OPS

PYTHON = "Python's json"
_BOUND = 4.0
_GAPS = 0.01


def json_trials(shape: tuple[int, int, int, int]) -> Iterator[Trial]:
    """Writing a request and reading a reply of maps, with and without NaN.

    Args:
      shape: [N, H, W, C].
    """
    maps = draw_maps(*shape)[0]
    with_gaps = maps.copy()
    with_gaps[np.random.default_rng(0).random(shape) < _GAPS] = np.nan
    for values, name in ((maps, ""), (with_gaps, ", with NaN")):
        goals = (Goal(PYTHON, OURS, _BOUND, AT_LEAST),)
        case = f"{size_of(shape)}{name}"
        yield Trial("json", f"write {case}", functools.partial(_writers, values), goals=goals)
        yield Trial("json", f"read {case}", functools.partial(_readers, values), goals=goals)


def _writers(maps: np.ndarray) -> dict[str, Run | None]:
    def plain() -> bytes:
        body = {"signature_name": "smooth_imgs", "inputs": {"imgs": maps.tolist()}}
        return json.dumps(body).encode()

    return {OURS: lambda: predict_body("smooth_imgs", {"imgs": maps}), PYTHON: plain}


def _readers(maps: np.ndarray) -> dict[str, Run | None]:
    """Of a reply as the stock server indents it."""
    reply = json.dumps({"outputs": maps.tolist()}, indent=4).encode()
    contract = PEAK_OPS.signature("smooth_imgs")
    shapes = {"smoothed": maps.shape}

    def plain() -> np.ndarray:
        return np.array(json.loads(reply)["outputs"], np.float32)

    return {OURS: lambda: read_outputs(reply, contract, shapes), PYTHON: plain}
