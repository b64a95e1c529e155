"""What eager says to a case: the reference of every comparison."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from export.case import Case
from export.margins import instance_margins, point_margins
from export.verification import Expected
from signatures.batching import no_samples
from signatures.contract import (
    PEAK_OPS,
    InvalidInputError,
    KeypointOptions,
    ModelContract,
    SignatureContract,
    TensorContract,
    image_options,
)
from signatures.guard import body_of, guarded, raise_first_refusal
from signatures.keypoints import Keypoints
from signatures.network import Network, Networks, TwoNetworks
from signatures.peak_ops import FUNCTIONS, PeakOps
from signatures.topdown import Topdown

Function = Callable[..., Any]
Module = PeakOps | Keypoints | Topdown


def module_of(contract: ModelContract, network: Networks | None = None) -> Module:
    """The module that a contract describes.

    Args:
      contract: The model family and its options.
      network: The network, or the two, that the model is made of.

    Raises:
      InvalidInputError: A model without the networks that it is made of.
    """
    if contract.name == PEAK_OPS.name:
        return PeakOps(contract)
    options = image_options(contract)
    if isinstance(options, KeypointOptions):
        return Keypoints(options, network if isinstance(network, Network) else None)
    if not isinstance(network, TwoNetworks):
        raise InvalidInputError(
            f"{contract.name}: expected a centroid network and an instance network, pass "
            "--centroid and --backbone"
        )
    return Topdown(options, network)


def needs_network(contract: ModelContract) -> bool:
    """Whether eager results need the model's networks."""
    options = dict(contract.options)
    return bool(options.get("backbone")) or contract.name == "topdown"


def eager_functions(contract: ModelContract, module: Module) -> dict[str, Function]:
    """Signature name to eager function, under the contract's bounds or options."""
    if isinstance(module, PeakOps):
        return {
            signature.name: guarded(signature)(body_of(FUNCTIONS[signature.name]))
            for signature in contract.signatures
        }

    def checked(signature: SignatureContract) -> Function:
        (tensor,) = signature.inputs
        stages = module.stages[signature.name]
        whole = once_traced(stages.whole, tensor) if tensor.dtype == "string" else stages.whole

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


def once_traced(function: Function, tensor: TensorContract) -> Function:
    """A pipeline's functions are traced anew for every eager call: once is enough.

    Args:
      function: Takes the samples.
      tensor: What they are; a run has any number of them.
    """
    spec = tf.TensorSpec(tensor.static_shape, tensor.dtype)
    return tf.function(function, input_signature=[spec], autograph=False)


def _asked(signature: str, inputs: Mapping[str, np.ndarray]) -> tuple[str, bytes]:
    """The same for the same request to a signature, whatever key names it."""
    digest = hashlib.sha256()
    for name, array in sorted(inputs.items()):
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        for part in array.flat if array.dtype == object else [array.tobytes()]:
            digest.update(f"{len(part)} ".encode() + part)
    return signature, digest.digest()


class Eager:
    """Answers cases in this process, under the bounds or options of a contract.

    A network is not asked the same twice: `serving_default` has the cases of its signature.
    """

    def __init__(self, contract: ModelContract, network: Networks | None = None) -> None:
        """Makes the family's functions.

        Args:
          contract: The model family and its options.
          network: The network, or the two, that the model is made of.
        """
        self._contract = contract
        self._module = module_of(contract, network)
        self._functions = eager_functions(contract, self._module)
        self._map_functions: dict[str, Function] = {}
        self._has_network = needs_network(contract)
        self._answers: dict[tuple[str, bytes], Expected] = {}
        self._undecided: dict[tuple[str, bytes], np.ndarray] = {}

    def __call__(self, case: Case) -> Expected:
        """The eager answer."""
        signature = self._contract.signature(case.signature)
        if not self._has_network:
            return self._answer(signature, case)
        asked = _asked(signature.name, case.inputs)
        if asked not in self._answers:
            self._answers[asked] = self._answer(signature, case)
        return self._answers[asked]

    def _answer(self, signature: SignatureContract, case: Case) -> Expected:
        start = time.perf_counter()
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
        seconds = time.perf_counter() - start
        return Expected(outputs, undecided=self.undecided(case), seconds=seconds)

    def undecided(self, case: Case) -> np.ndarray | None:
        """Which choices are nearer to a tie than the network is exact.

        Of a sample and channel; of top-down models, of a sample, instance and node.
        """
        signature = self._contract.signature(case.signature)
        margin = signature.tolerance.margin if signature.tolerance else 0.0
        if not margin or isinstance(self._module, PeakOps):
            return None
        asked = _asked(signature.name, case.inputs)
        if asked not in self._undecided:
            (samples,) = case.inputs.values()
            runs = parts(samples, self._module.stages[signature.name].most)
            near = [self._margins(signature, run) <= margin for run in runs]
            self._undecided[asked] = np.concatenate(near)
        return self._undecided[asked]

    def _margins(self, signature: SignatureContract, samples: np.ndarray) -> np.ndarray:
        """The margins of one run's choices."""
        module = self._module
        assert not isinstance(module, PeakOps)
        if isinstance(module, Topdown):
            if not len(samples):
                return np.zeros((0, module.options.max_instances, module.options.channels or 0))
            looked_at = self._maps(signature, module, samples)
            centroids, nodes, slots = (part.numpy() for part in looked_at)
            return instance_margins(centroids, nodes, slots, module.options)
        if not len(samples):
            return np.zeros((0, module.options.channels or 0))
        return point_margins(self._maps(signature, module, samples).numpy(), module.options)

    def _maps(
        self, signature: SignatureContract, module: Keypoints | Topdown, samples: np.ndarray
    ) -> Any:
        """The maps of one run."""
        if signature.name not in self._map_functions:
            (tensor,) = signature.inputs
            maps_of = partial(module.maps_of, signature.name)
            self._map_functions[signature.name] = once_traced(maps_of, tensor)
        return self._map_functions[signature.name](tf.constant(samples))
