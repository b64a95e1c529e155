"""From a contract and a body to a `tf.function` with a typed input signature."""

from __future__ import annotations

import inspect
from typing import Any

import tensorflow as tf

from signatures.contract import SignatureContract, TensorContract
from signatures.guard import Body, guard


def tensor_spec(tensor: TensorContract) -> tf.TensorSpec:
    """The spec of an input: symbolic dimensions become `None`."""
    return tf.TensorSpec(tensor.static_shape, tensor.dtype, name=tensor.name)


def traced(contract: SignatureContract, body: Body, *, device: str | None = None) -> Any:
    """A `tf.function` of the contract's inputs that returns its outputs by name.

    The function's parameters are named as the inputs, and a default of the contract is a
    tensor: `tf.saved_model.save` then writes `SignatureDef.defaults`, and gRPC clients may
    leave that input out.

    Args:
      contract: Names, dtypes, shapes, defaults, rules.
      body: The unguarded function.
      device: Where inputs are checked; left open if `None`.
    """

    def signature(*args: tf.Tensor, **kwargs: tf.Tensor) -> dict[str, tf.Tensor]:
        bound = parameters.bind(*args, **kwargs)
        bound.apply_defaults()
        results = guard(contract, body, bound.arguments, device=device)
        if len(contract.outputs) == 1:
            results = (results,)
        return {
            tensor.name: result for tensor, result in zip(contract.outputs, results, strict=True)
        }

    parameters = inspect.Signature([_parameter(tensor) for tensor in contract.inputs])
    signature.__name__ = contract.name
    signature.__doc__ = contract.summary
    signature.__signature__ = parameters  # type: ignore[attr-defined]
    return tf.function(
        signature,
        input_signature=[tensor_spec(tensor) for tensor in contract.inputs],
        autograph=False,
    )


def _parameter(tensor: TensorContract) -> inspect.Parameter:
    default = (
        inspect.Parameter.empty
        if tensor.default is None
        else tf.constant(tensor.default, tensor.dtype)
    )
    return inspect.Parameter(tensor.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
