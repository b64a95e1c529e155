"""WHAT is served: contracts, pure TensorFlow functions, and the modules that trace them.

Names are imported when they are first used: `import signatures` and `signatures.contract` do
not import TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signatures.contract import InvalidInputError as InvalidInputError
    from signatures.crops import crop_centered_boxes as crop_centered_boxes
    from signatures.crops import ensure_odd as ensure_odd
    from signatures.gaussian import refine_peaks_gaussian as refine_peaks_gaussian
    from signatures.global_peaks import find_global_peaks as find_global_peaks
    from signatures.integral import refine_peaks_integral as refine_peaks_integral
    from signatures.local_direction import (
        find_offsets_local_direction as find_offsets_local_direction,
    )
    from signatures.local_direction import (
        refine_peaks_local_direction as refine_peaks_local_direction,
    )
    from signatures.local_peaks import find_local_peaks as find_local_peaks
    from signatures.peak_ops import PeakOps as PeakOps
    from signatures.smoothing import make_gaussian_kernel as make_gaussian_kernel
    from signatures.smoothing import smooth_imgs as smooth_imgs

_HOMES = {
    "InvalidInputError": "signatures.contract",
    "PeakOps": "signatures.peak_ops",
    "crop_centered_boxes": "signatures.crops",
    "ensure_odd": "signatures.crops",
    "find_offsets_local_direction": "signatures.local_direction",
    "find_global_peaks": "signatures.global_peaks",
    "find_local_peaks": "signatures.local_peaks",
    "refine_peaks_gaussian": "signatures.gaussian",
    "refine_peaks_integral": "signatures.integral",
    "make_gaussian_kernel": "signatures.smoothing",
    "refine_peaks_local_direction": "signatures.local_direction",
    "smooth_imgs": "signatures.smoothing",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        from signatures.contract import missing_package

        raise missing_package(f"signatures.{name}", error) or error from error


def __dir__() -> list[str]:
    return sorted(__all__)
