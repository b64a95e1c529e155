"""What eager says to a case: the reference of every comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from export.case import Case
from export.verification import Expected
from signatures.contract import InvalidInputError, KeypointOptions, ModelContract
from signatures.guard import body_of, guarded
from signatures.keypoints import Keypoints
from signatures.peak_ops import FUNCTIONS, PeakOps

Function = Callable[..., Any]


def module_of(contract: ModelContract) -> PeakOps | Keypoints:
    """The module that a contract describes."""
    if contract.name == "keypoints":
        return Keypoints(KeypointOptions(**dict(contract.options)))
    return PeakOps(contract)


def eager_functions(contract: ModelContract) -> dict[str, Function]:
    """Signature name to eager function, under the contract's bounds or options."""
    if contract.name != "keypoints":
        return {
            signature.name: guarded(signature)(body_of(FUNCTIONS[signature.name]))
            for signature in contract.signatures
        }
    bodies = Keypoints(KeypointOptions(**dict(contract.options))).bodies

    def checked(name: str) -> Function:
        (tensor,) = contract.signature(name).inputs

        def function(confmaps: Any) -> Any:
            tensor.check_shape(confmaps.shape)
            return bodies[name](tf.constant(confmaps, tensor.dtype))

        return function

    return {name: checked(name) for name in bodies}


class Eager:
    """Answers cases in this process, under the bounds or options of a contract."""

    def __init__(self, contract: ModelContract) -> None:
        """Makes the family's functions."""
        self._contract = contract
        self._functions = eager_functions(contract)

    def __call__(self, case: Case) -> Expected:
        """The eager answer."""
        signature = self._contract.signature(case.signature)
        try:
            results = self._functions[signature.name](**case.inputs)
        except InvalidInputError as error:
            return Expected(None, str(error))
        if len(signature.outputs) == 1:
            results = (results,)
        return Expected(
            {
                tensor.name: result.numpy()
                for tensor, result in zip(signature.outputs, results, strict=True)
            }
        )
