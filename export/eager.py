"""What eager says to a case: the reference of every comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from export.case import Case
from export.margins import point_margins
from export.verification import Expected
from signatures.batching import no_samples
from signatures.contract import InvalidInputError, KeypointOptions, ModelContract, SignatureContract
from signatures.guard import body_of, guarded, raise_first_refusal
from signatures.keypoints import Keypoints
from signatures.network import Network
from signatures.peak_ops import FUNCTIONS, PeakOps

Function = Callable[..., Any]


def module_of(contract: ModelContract, network: Network | None = None) -> PeakOps | Keypoints:
    """The module that a contract describes.

    Args:
      contract: The model family and its options.
      network: What the options' backbone stands for.
    """
    if contract.name == "keypoints":
        return Keypoints(KeypointOptions(**dict(contract.options)), network)
    return PeakOps(contract)


def needs_network(contract: ModelContract) -> bool:
    """Whether eager results need the model's network."""
    return bool(dict(contract.options).get("backbone"))


def eager_functions(contract: ModelContract, module: PeakOps | Keypoints) -> dict[str, Function]:
    """Signature name to eager function, under the contract's bounds or options."""
    if not isinstance(module, Keypoints):
        return {
            signature.name: guarded(signature)(body_of(FUNCTIONS[signature.name]))
            for signature in contract.signatures
        }

    def checked(signature: SignatureContract) -> Function:
        (tensor,) = signature.inputs
        whole = module.stages[signature.name].whole
        if tensor.dtype == "string":
            # A pipeline's functions are traced anew for every eager call: once is enough.
            whole = tf.function(whole, autograph=False, reduce_retracing=True)
        most = module.stages[signature.name].most

        def function(**inputs: Any) -> Any:
            samples = inputs[tensor.name]
            tensor.check_shape(samples.shape)
            raise_first_refusal(signature.rules, inputs)
            if most is not None and not len(samples):
                return no_samples(signature.outputs)
            size = most or max(len(samples), 1)
            runs = [
                whole(tf.constant(samples[start : start + size], tensor.dtype))
                for start in range(0, max(len(samples), 1), size)
            ]
            return [tf.concat(parts, axis=0) for parts in zip(*runs, strict=True)]

        return function

    return {signature.name: checked(signature) for signature in contract.signatures}


class Eager:
    """Answers cases in this process, under the bounds or options of a contract."""

    def __init__(self, contract: ModelContract, network: Network | None = None) -> None:
        """Makes the family's functions.

        Args:
          contract: The model family and its options.
          network: What the options' backbone stands for.
        """
        self._contract = contract
        self._module = module_of(contract, network)
        self._functions = eager_functions(contract, self._module)

    def __call__(self, case: Case) -> Expected:
        """The eager answer."""
        signature = self._contract.signature(case.signature)
        try:
            results = self._functions[signature.name](**case.inputs)
        except InvalidInputError as error:
            return Expected(None, str(error))
        if len(signature.outputs) == 1:
            results = (results,)
        outputs = {
            tensor.name: result.numpy()
            for tensor, result in zip(signature.outputs, results, strict=True)
        }
        return Expected(outputs, undecided=self.undecided(case))

    def undecided(self, case: Case) -> np.ndarray | None:
        """Which (sample, channel) choices are nearer to a tie than the network is exact."""
        signature = self._contract.signature(case.signature)
        margin = signature.tolerance.margin if signature.tolerance else 0.0
        if not margin or not isinstance(self._module, Keypoints):
            return None
        parts = [
            point_margins(maps, self._module.options) <= margin
            for maps in self._module.maps_of(signature.name, case.inputs)
        ]
        channels = self._module.options.channels or 0
        return np.concatenate(parts) if parts else np.zeros((0, channels), bool)
