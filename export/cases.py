"""The cases of every model family."""

from __future__ import annotations

import numpy as np

from export.case import Case
from export.keypoint_cases import keypoint_cases
from export.peak_ops_cases import peak_ops_cases
from signatures.contract import PEAK_OPS, ModelContract


def make_cases(
    maps: np.ndarray, contract: ModelContract = PEAK_OPS, images: np.ndarray | None = None
) -> list[Case]:
    """All cases of a model family.

    Args:
      maps: float32 [N, H, W, C].
      contract: The model family.
      images: uint8 [N, Hi, Wi, 1 or 3], for signatures of images; drawn if left out.
    """
    if contract.name == PEAK_OPS.name:
        return peak_ops_cases(maps, contract)
    return list(keypoint_cases(maps, contract, images))
