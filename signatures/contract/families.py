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
from signatures.contract.topdown import topdown_contract
from signatures.contract.topdown_options import TopdownOptions


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
    "topdown": Family(TopdownOptions, topdown_contract),
}
# Of the families that may take images.
ImageOptions = KeypointOptions | TopdownOptions


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


def image_options(contract: ModelContract) -> ImageOptions:
    """The options of a model that may take images.

    Raises:
      InvalidInputError: The contract is of another family.
    """
    options = FAMILIES[contract.name].options(**dict(contract.options))
    if not isinstance(options, ImageOptions):
        raise InvalidInputError(f"{contract.name}: expected a model that may take images")
    return options
