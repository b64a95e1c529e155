"""The contracts of peak finding and of the refinements that fit a window."""

from __future__ import annotations

from signatures.contract.rules import Finite
from signatures.contract.shared import (
    IMGS,
    PEAKS,
    WINDOW_LENGTH,
    Bounds,
    map_rules,
    refined_peaks,
    window_rules,
)
from signatures.contract.signature import SignatureContract, Tolerance
from signatures.contract.tensors import Dimension, TensorContract

_THRESHOLD = TensorContract(
    name="threshold",
    dtype="float32",
    shape=(),
    axes="scalar",
    units="confidence",
    meaning="peaks are greater than it",
    example=0.5,
)


def _found(rows: Dimension) -> tuple[TensorContract, TensorContract]:
    """Peaks and their values, one row each."""
    return (
        TensorContract(
            name="peaks",
            dtype="float32",
            shape=(rows, 4),
            axes="one row per peak; columns sample, row, col, channel",
            units="indices and pixels",
            meaning="where the maps are largest",
        ),
        TensorContract(
            name="values",
            dtype="float32",
            shape=(rows,),
            axes="one per peak",
            units="confidence",
            meaning="the maps there, as stored",
        ),
    )


def peak_finding_signatures(bounds: Bounds) -> tuple[SignatureContract, ...]:
    """Global and local peaks, integral and Gaussian refinement."""
    return (
        SignatureContract(
            name="find_global_peaks",
            summary="The largest pixel of every channel; ties go to the first in row-major order.",
            inputs=(IMGS,),
            outputs=_found("samples*channels"),
            rules=map_rules(bounds),
        ),
        SignatureContract(
            name="find_local_peaks",
            summary="Every pixel above a threshold and greater than its eight neighbours.",
            inputs=(IMGS, _THRESHOLD),
            outputs=_found("found"),
            rules=(Finite("threshold"), *map_rules(bounds)),
        ),
        SignatureContract(
            name="find_local_peaks_first",
            summary="Local peaks where a plateau has one peak, its first pixel in row-major order.",
            inputs=(IMGS, _THRESHOLD),
            outputs=_found("found"),
            rules=(Finite("threshold"), *map_rules(bounds)),
        ),
        SignatureContract(
            name="refine_peaks_integral",
            summary="Moves every peak to the centre of mass of its window.",
            inputs=(IMGS, PEAKS, WINDOW_LENGTH),
            outputs=(refined_peaks("the rounded pixels plus the centre of mass"),),
            rules=window_rules(bounds, "windows"),
            tolerance=Tolerance(
                limit=1e-4,
                unit="pixels",
                measured=0.0,
                reason="sums over a window may be ordered differently by another build or device; "
                "the stock server 2.20.0, with and without oneDNN, and eager 2.21.0 differed by 0 "
                "on three sets of real maps",
                exact_on_same_build=False,
            ),
        ),
        SignatureContract(
            name="refine_peaks_gaussian",
            summary="Moves every peak to the maximum of a Gaussian fitted to its window.",
            inputs=(IMGS, PEAKS, WINDOW_LENGTH),
            outputs=(refined_peaks("the rounded pixels plus the fitted offset"),),
            rules=window_rules(bounds, "windows"),
            tolerance=Tolerance(
                limit=1e-3,
                unit="pixels",
                measured=0.0,
                reason="four steps of least squares carry the rounding of their sums along, in "
                "float64; the stock server 2.20.0, with and without oneDNN, and eager 2.21.0 "
                "differed by 0 on three sets of real maps",
                exact_on_same_build=False,
            ),
        ),
    )
