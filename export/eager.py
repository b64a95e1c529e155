"""What eager says to a case: the reference of every comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
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
        stages = module.stages[signature.name]
        whole = once_traced(stages.whole) if tensor.dtype == "string" else stages.whole

        def function(**inputs: Any) -> Any:
            samples = inputs[tensor.name]
            tensor.check_shape(samples.shape)
            raise_first_refusal(signature.rules, inputs)
            if stages.most is not None and not len(samples):
                return no_samples(signature.outputs)
            runs = [whole(tf.constant(part, tensor.dtype)) for part in parts(samples, stages.most)]
            return [tf.concat(results, axis=0) for results in zip(*runs, strict=True)]

        return function

    return {signature.name: checked(signature) for signature in contract.signatures}


def parts(samples: np.ndarray, most: int | None) -> Iterator[np.ndarray]:
    """A request in runs of at most `most` samples; in one run if that is `None`."""
    for start in range(0, max(len(samples), 1), most or max(len(samples), 1)):
        yield samples[start : start + most] if most else samples


def once_traced(function: Function) -> Function:
    """A pipeline's functions are traced anew for every eager call: once is enough."""
    return tf.function(function, autograph=False, reduce_retracing=True)


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
        self._map_functions: dict[str, Function] = {}

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
        (samples,) = case.inputs.values()
        options = self._module.options
        if not len(samples):
            return np.zeros((0, options.channels or 0), bool)
        most = self._module.stages[signature.name].most
        return np.concatenate(
            [
                point_margins(self._maps_of(signature.name, part), options) <= margin
                for part in parts(samples, most)
            ]
        )

    def _maps_of(self, signature: str, samples: np.ndarray) -> np.ndarray:
        """The network's maps of one run."""
        assert isinstance(self._module, Keypoints)
        if signature not in self._map_functions:
            self._map_functions[signature] = once_traced(partial(self._module.maps_of, signature))
        maps: np.ndarray = self._map_functions[signature](tf.constant(samples)).numpy()
        return maps
