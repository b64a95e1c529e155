"""Every model family by its servable name: its options, and the contract that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from signatures.contract.errors import InvalidInputError
from signatures.contract.keypoint_options import KeypointOptions
from signatures.contract.keypoints import keypoints_contract
from signatures.contract.peak_ops import peak_ops_contract
from signatures.contract.shared import Bounds
from signatures.contract.signature import ModelContract


@dataclass(frozen=True)
class Family:
    """One model family.

    Attributes:
      options: A frozen dataclass of what is fixed at export.
      contract: The contract under such options.
    """

    options: type[Any]
    contract: Callable[[Any], ModelContract]


FAMILIES = {
    "peak_ops": Family(Bounds, peak_ops_contract),
    "keypoints": Family(KeypointOptions, keypoints_contract),
}


def contract_with(model: str, options: Mapping[str, Any]) -> ModelContract:
    """The contract of a family under the given options.

    Raises:
      InvalidInputError: The family or an option is unknown, or an option is out of bounds.
    """
    if model not in FAMILIES:
        raise InvalidInputError(f"expected a model of {', '.join(FAMILIES)}, got {model!r}")
    family = FAMILIES[model]
    try:
        return family.contract(family.options(**options))
    except TypeError as error:
        raise InvalidInputError(f"{model}: unknown option, or of another type: {error}") from error
