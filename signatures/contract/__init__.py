"""WHAT is served: one frozen contract per signature, in plain Python without TensorFlow.

Specs, shape checks, guards, error sentences, manifests, cases, documentation and client checks
derive from these objects. `FAMILIES` lists every model family; `MODELS` the contracts that do not
depend on how a model was exported.
"""

from signatures.contract.errors import (
    InvalidInputError,
    MissingPackageError,
    format_number,
    missing_package,
    sentence_of_assertion,
)
from signatures.contract.families import FAMILIES, ImageOptions, contract_with, image_options
from signatures.contract.keypoint_options import KeypointOptions
from signatures.contract.keypoints import keypoints_contract
from signatures.contract.peak_ops import PEAK_OPS, peak_ops_contract
from signatures.contract.rules import Arithmetic, NumpyArithmetic, Rule
from signatures.contract.shared import Bounds
from signatures.contract.signature import (
    DEFAULT_SIGNATURE,
    ModelContract,
    SignatureContract,
    Tolerance,
)
from signatures.contract.tensors import UNKNOWN, TensorContract, round_up_to_odd
from signatures.contract.topdown import topdown_contract
from signatures.contract.topdown_options import TopdownOptions

MODELS = {PEAK_OPS.name: PEAK_OPS}

__all__ = [
    "DEFAULT_SIGNATURE",
    "FAMILIES",
    "MODELS",
    "PEAK_OPS",
    "UNKNOWN",
    "Arithmetic",
    "Bounds",
    "ImageOptions",
    "InvalidInputError",
    "KeypointOptions",
    "MissingPackageError",
    "ModelContract",
    "NumpyArithmetic",
    "Rule",
    "SignatureContract",
    "TensorContract",
    "Tolerance",
    "TopdownOptions",
    "contract_with",
    "format_number",
    "image_options",
    "keypoints_contract",
    "missing_package",
    "peak_ops_contract",
    "round_up_to_odd",
    "sentence_of_assertion",
    "topdown_contract",
]
