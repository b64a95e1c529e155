"""What must come of a request: the answer of this process's own functions, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from export.comparison import compare
from export.eager import Module, once_traced, parts
from signatures.batching import no_samples
from signatures.contract import ModelContract
from signatures.stages import Stages

from .draws import Drawn

# Sums whose order another build may change, and of what cancels or overflows.
UNSTABLE = np.float32(1e18)


class Oracle:
    """Answers requests as eager does; its functions are traced once, for speed.

    Args:
      contract: The model's.
      module: The model.
    """

    def __init__(self, contract: ModelContract, module: Module) -> None:
        self.contract = contract
        # What is served in stages is compared with one stage after the other.
        self._stages: Mapping[str, Stages] = getattr(module, "stages", {})
        self._functions = {
            name: once_traced(self._stages[name].whole, contract.signature(name).inputs[0])
            if name in self._stages
            else function
            for name, function in module.functions.items()
        }

    def refusal(self, drawn: Drawn) -> str | None:
        """The sentence of a refusal; empty where it is not ours, `None` where it is answered."""
        if not drawn.fits:
            return ""
        return self.contract.signature(drawn.signature).refusal(drawn.inputs)

    def __call__(self, drawn: Drawn) -> dict[str, np.ndarray]:
        """The outputs of a request that is not refused."""
        signature = self.contract.signature(drawn.signature)
        function = self._functions[signature.name]
        if signature.name in self._stages:
            (tensor,), (samples,) = signature.inputs, drawn.inputs.values()
            most = self._stages[signature.name].most
            if most is not None and not len(samples):
                results = no_samples(signature.outputs)
            else:
                runs = [function(tf.constant(run, tensor.dtype)) for run in parts(samples, most)]
                results = [tf.concat(each, axis=0) for each in zip(*runs, strict=True)]
        else:
            results = function(*(tf.constant(drawn.inputs[t.name]) for t in signature.inputs))
            return {name: value.numpy() for name, value in results.items()}
        pairs = zip(signature.outputs, results, strict=True)
        return {tensor.name: value.numpy() for tensor, value in pairs}

    def faults(self, drawn: Drawn, got: Mapping[str, Any], *, exact: bool) -> list[str]:
        """How an answer differs from what it should be, by output."""
        expected = self(drawn)
        signature = self.contract.signature(drawn.signature)
        if sorted(got) != sorted(expected):
            return [f"outputs {sorted(got)}"]
        faults = []
        for name, values in expected.items():
            tolerance = signature.tolerance.of_output(name) if signature.tolerance else None
            found = compare(values, got[name], None if exact else tolerance)
            if not found.matches and (exact or not _is_unstable(drawn, tolerance)):
                at = found.index or ()
                faults.append(f"{name}{list(at)} {found.fault or (values[at], got[name][at])}")
        return faults


def _is_unstable(drawn: Drawn, tolerance: object) -> bool:
    """Whether another build may rightly differ: rounded sums of values that are out of bounds."""
    if tolerance is None:
        return False
    return any(
        value.dtype.kind == "f" and not bool((np.abs(value) < UNSTABLE).all())
        for value in drawn.inputs.values()
    )
