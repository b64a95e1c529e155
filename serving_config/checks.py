"""What the clients check against the contract, before sending and after the reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from signatures.contract import DEFAULT_SIGNATURE, MODELS, UNKNOWN, ModelContract, SignatureContract

DEFAULT_MODEL = next(iter(MODELS))
DEFAULT_TIMEOUT = 60.0
# Three years. What is longer, or infinite, is past what gRPC's clock and Python's can count.
LONGEST_TIMEOUT = 1e8


@dataclass(frozen=True)
class Checks:
    """The contracts that a client knows.

    Attributes:
      contracts: By servable name; models that are not in it are neither checked nor completed.
    """

    contracts: Mapping[str, ModelContract] = field(default_factory=lambda: MODELS)

    def contract(self, model: str, signature: str) -> SignatureContract | None:
        """The signature's contract, `None` for a model that is not known.

        Raises:
          InvalidInputError: The model is known and has no such signature.
        """
        if model not in self.contracts:
            return None
        return self.contracts[model].signature(signature or DEFAULT_SIGNATURE)


def checked_inputs(
    contract: SignatureContract | None, inputs: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The inputs as arrays; with a contract names, dtypes, ranks and fixed sizes are checked.

    Raises:
      InvalidInputError: Every fault of the request, in one sentence.
    """
    if contract is not None:
        return contract.check_request(inputs)
    return {name: np.asarray(value) for name, value in inputs.items()}


def reply_fault(
    contract: SignatureContract,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
) -> str | None:
    """What is wrong with a reply's names, dtypes and shapes, in one sentence, or `None`.

    Args:
      contract: The signature's contract.
      inputs: All inputs, defaults included.
      outputs: The reply.
    """
    wanted = sorted(tensor.name for tensor in contract.outputs)
    if sorted(outputs) != wanted:
        return f"expected outputs {wanted}, got {sorted(outputs)}"
    shapes = contract.output_shapes(inputs)
    faults = []
    for tensor in contract.outputs:
        array = outputs[tensor.name]
        if array.dtype != tensor.numpy_dtype:
            faults.append(f"{tensor.name}: expected {tensor.dtype}, got {array.dtype}")
        wanted_shape = shapes[tensor.name]
        if array.shape == wanted_shape:
            continue
        if len(array.shape) != len(wanted_shape) or any(
            want not in (UNKNOWN, got) for want, got in zip(wanted_shape, array.shape, strict=True)
        ):
            faults.append(f"{tensor.name}: expected shape {wanted_shape}, got {array.shape}")
    return "; ".join(faults) or None
