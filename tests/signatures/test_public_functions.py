"""Every public function of `signatures/` is a signature, or a helper on a list that is not stale."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import signatures
from signatures.contract import PEAK_OPS
from signatures.peak_ops import FUNCTIONS

HELPERS = {
    "batching.batched": "a body behind a batcher of its own",
    "batching.in_runs": "a large request cut into runs",
    "batching.no_samples": "what zero samples give",
    "batching.timeout_micros": "the option as the scheduler understands it",
    "crops.crop_body": "crops without the guard, for bodies that need them",
    "crops.ensure_odd": "arithmetic of every window, usable by itself",
    "frames.nominal_placement": "points of maps in the image, by stride and scale",
    "frames.placement": "points of maps in an image of known size",
    "frames.scaled_sizes": "the rounding of scaled sizes, in the graph",
    "gathering.gather_pixels": "exact reads behind crops and refinement",
    "gathering.indices": "sample and channel columns of checked rows",
    "gathering.nearest_pixels": "rounding and clamping behind crops and refinement",
    "gathering.round_half_away": "the rounding rule",
    "gaussian.gaussian_offsets": "the fit behind the refinement, for whole models",
    "global_peaks.global_maxima": "positions behind global peaks, for whole models",
    "guard.body_of": "the unguarded body of a function",
    "guard.flush_subnormals": "subnormals to 0, on every device",
    "guard.guard": "builds the guard in a graph",
    "guard.guarded": "decorates a body",
    "guard.raise_first_refusal": "the guard of eager calls",
    "local_direction.step_body": "the direction rule without its guard",
    "local_peaks.find_local_peaks": "chooses between the two served plateau rules",
    "local_peaks.find_local_peaks_strict": "served as find_local_peaks",
    "local_peaks.first_mask": "the dense form of the plateau rule first",
    "local_peaks.strict_mask": "the dense form of the plateau rule strict",
    "pictures.decode_each": "pictures to tensors of one shape, bad ones apart",
    "pictures.decode_one": "one picture of any size",
    "pictures.decoded": "one JPEG or PNG, its header first",
    "points.global_points": "the global peaks of keypoints models",
    "points.local_points": "the local peaks of keypoints models",
    "stages.of_one_picture": "one encoded picture of any size, a bad one without the network",
    "stages.served": "a signature of samples: guarded, batched, in runs",
    "topdown.cut": "crops of all channels, for whole models",
    "tracing.tensor_spec": "a contract's input as a spec",
    "tracing.traced": "a contract and a body as a tf.function",
    "windowed.moved": "adds offsets to rounded pixels",
    "windowed.offset_grid": "offsets of a window's pixels",
    "windowed.windows": "the values that refinements fit",
}


def public_functions():
    found = {}
    for info in pkgutil.iter_modules(signatures.__path__):
        if info.name == "contract":
            continue
        module = importlib.import_module(f"signatures.{info.name}")
        for name, value in inspect.getmembers(module, inspect.isfunction):
            if not name.startswith("_") and value.__module__ == module.__name__:
                found[f"{info.name}.{name}"] = value
    return found


def test_public_functions_are_signatures_or_helpers():
    served = {contract.name for contract in PEAK_OPS.signatures}
    functions = public_functions()
    assert set(FUNCTIONS) == served
    unserved = {path for path in functions if path.partition(".")[2] not in served}
    unserved |= {"local_peaks.find_local_peaks"}  # chooses, and is not traced itself
    assert unserved == set(HELPERS)


def test_public_functions_are_documented():
    for path, function in public_functions().items():
        assert function.__doc__, path
    for contract in PEAK_OPS.signatures:
        text = getattr(signatures, contract.name.removesuffix("_first")).__doc__
        for section in ("Args:", "Returns:", "Raises:"):
            assert section in text, contract.name
