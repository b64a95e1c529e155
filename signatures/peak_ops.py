"""The model family `peak_ops` as a `tf.Module`: a thin shell around the functions."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from signatures.contract import DEFAULT_SIGNATURE, PEAK_OPS, ModelContract
from signatures.crops import crop_centered_boxes
from signatures.gaussian import refine_peaks_gaussian
from signatures.global_peaks import find_global_peaks
from signatures.guard import Body, body_of
from signatures.integral import refine_peaks_integral
from signatures.local_direction import find_offsets_local_direction, refine_peaks_local_direction
from signatures.local_peaks import find_local_peaks_first, find_local_peaks_strict
from signatures.smoothing import make_gaussian_kernel, smooth_imgs
from signatures.tracing import traced

# Signature to guarded function.
FUNCTIONS: dict[str, Body] = {
    "smooth_imgs": smooth_imgs,
    "crop_centered_boxes": crop_centered_boxes,
    "find_offsets_local_direction": find_offsets_local_direction,
    "refine_peaks_local_direction": refine_peaks_local_direction,
    "make_gaussian_kernel": make_gaussian_kernel,
    "find_global_peaks": find_global_peaks,
    "find_local_peaks": find_local_peaks_strict,
    "find_local_peaks_first": find_local_peaks_first,
    "refine_peaks_integral": refine_peaks_integral,
    "refine_peaks_gaussian": refine_peaks_gaussian,
}


class PeakOps(tf.Module):
    """Every function of the family, traced with the typed inputs of its contract.

    Attributes:
      contract: What is promised about every signature.
      functions: Signature key to traced function, `serving_default` included: what
        `tf.saved_model.save` takes. Each function returns a dictionary of named outputs.
    """

    def __init__(self, contract: ModelContract = PEAK_OPS) -> None:
        """Traces lazily; `contract` may carry other bounds than the default."""
        super().__init__(name=contract.name)
        self.contract = contract
        functions: dict[str, Any] = {
            signature.name: traced(signature, body_of(FUNCTIONS[signature.name]))
            for signature in contract.signatures
        }
        functions[DEFAULT_SIGNATURE] = functions[contract.default]
        self.functions = functions
