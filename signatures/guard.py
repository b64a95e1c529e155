"""The guard of a signature: one boolean over all rules, and `tf.cond(ok, compute, fail)`.

A plain Assert beside the work is no barrier: the executor runs both, so a refused request would
still be paid for. Inside a graph the work therefore stands in the taken branch of one `tf.cond`;
the other branch speaks the first broken rule. Called eagerly, the same rules raise
`InvalidInputError` with the same sentence.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from signatures.contract import InvalidInputError, Rule, SignatureContract, TensorContract
from signatures.contract.rules import SMALLEST_NORMAL, first_refusal

Body = Callable[..., Any]


def flush_subnormals(values: tf.Tensor) -> tf.Tensor:
    """Replaces subnormal float32 by 0, written out so that a device's own flushing is moot."""
    return tf.where(tf.abs(values) < SMALLEST_NORMAL, tf.zeros([], values.dtype), values)


class TensorArithmetic:
    """`signatures.contract.Arithmetic` on tensors, eager or symbolic."""

    def is_finite(self, value: tf.Tensor) -> tf.Tensor:
        """Elementwise: neither NaN nor infinite."""
        return tf.math.is_finite(value)

    def floor(self, value: tf.Tensor) -> tf.Tensor:
        """Elementwise: the largest whole number not above."""
        return tf.floor(value)

    def flush(self, value: tf.Tensor) -> tf.Tensor:
        """Elementwise: float32 with subnormals replaced by 0."""
        return flush_subnormals(value)

    def as_float64(self, value: tf.Tensor) -> tf.Tensor:
        """The same numbers as float64."""
        return tf.cast(value, tf.float64)

    def all(self, condition: tf.Tensor) -> tf.Tensor:
        """Whether every element is true, as a scalar."""
        return tf.reduce_all(condition)

    def size(self, value: tf.Tensor, axis: int) -> tf.Tensor:
        """The size of one axis as an int64 scalar."""
        return tf.shape(value, out_type=tf.int64)[axis]

    def first_false(self, condition: tf.Tensor) -> tf.Tensor:
        """The index of the first false element, or the length if there is none."""
        # Over the rows plus one dummy, so that zero rows have an answer; in float32, whose
        # ArgMin has a kernel on every device.
        with_dummy = tf.concat([tf.cast(condition, tf.float32), [0.0]], axis=0)
        return tf.argmin(with_dummy, output_type=tf.int64)

    def pick(self, column: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """`column[index]`, or 0 where the index is the length."""
        return tf.gather(tf.concat([column, tf.zeros([1], column.dtype)], axis=0), index)


_ARITHMETIC = TensorArithmetic()


def guarded(contract: SignatureContract) -> Callable[[Body], Body]:
    """Decorates an unguarded body, making the function that users call.

    Arguments are converted to the contract's dtypes and their shapes are checked. Eagerly, a
    broken rule raises; inside a `tf.function`, the guard's `tf.cond` is built around the body.
    `body_of` gives the body back, for tracing and for bodies that build on it:
    guards never nest.

    Args:
      contract: Inputs in the order of the body's parameters, their defaults, rules, outputs.

    Raises:
      TypeError: The body's parameters or defaults are not the contract's.
    """

    def decorate(body: Body) -> Body:
        parameters = inspect.signature(body)
        promised = {tensor.name: tensor.default for tensor in contract.inputs}
        written = {
            name: None if parameter.default is parameter.empty else parameter.default
            for name, parameter in parameters.parameters.items()
        }
        if list(written.items()) != list(promised.items()):
            raise TypeError(f"{contract.name}: expected parameters {promised}, got {written}")

        @functools.wraps(body)
        def function(*args: Any, **kwargs: Any) -> Any:
            bound = parameters.bind(*args, **kwargs)
            bound.apply_defaults()
            tensors = {
                tensor.name: _as_tensor(tensor, bound.arguments[tensor.name])
                for tensor in contract.inputs
            }
            if tf.executing_eagerly():
                raise_first_refusal(contract.rules, tensors)
                return body(**tensors)
            return guard(contract, body, tensors)

        return function

    return decorate


def body_of(function: Body) -> Body:
    """The unguarded body behind a guarded function."""
    body: Body = function.__wrapped__  # type: ignore[attr-defined]
    return body


def guard(
    contract: SignatureContract,
    body: Body,
    tensors: Mapping[str, tf.Tensor],
    *,
    device: str | None = None,
) -> Any:
    """Builds shape checks and the guard around a body inside a graph.

    Args:
      contract: Inputs, outputs, rules.
      body: The unguarded function, called with the inputs by name.
      tensors: The inputs by name.
      device: Where shapes and rules are checked; left open if `None`.

    Returns:
      What the body returns, with the static shape that the contract fixes.
    """
    with tf.device(device):
        checked = {
            tensor.name: tf.ensure_shape(tensors[tensor.name], tensor.static_shape)
            for tensor in contract.inputs
        }
        holds = [rule.holds(checked, _ARITHMETIC) for rule in contract.rules]
    if not holds:
        return body(**checked)
    results = tf.cond(
        functools.reduce(tf.logical_and, holds),
        lambda: _as_tuple(body(**checked)),
        lambda: _fail(contract, holds, checked),
    )
    for tensor, result in zip(contract.outputs, results, strict=True):
        result.set_shape(tensor.static_shape)
    return results if len(results) > 1 else results[0]


def raise_first_refusal(
    rules: tuple[Rule, ...], inputs: Mapping[str, tf.Tensor | np.ndarray]
) -> None:
    """Checks eager tensors or arrays, with NumPy: TensorFlow's small operations took 40% of a call.

    Raises:
      InvalidInputError: The sentence of the first broken rule.
    """
    refusal = first_refusal(rules, {name: _to_look_at(value) for name, value in inputs.items()})
    if refusal is not None:
        raise InvalidInputError(refusal)


def _to_look_at(value: tf.Tensor | np.ndarray) -> tf.Tensor | np.ndarray:
    """What rules read of an input: of maps the sizes only, which are not fetched from a device."""
    return value if value.ndim > 2 or isinstance(value, np.ndarray) else value.numpy()


def _fail(
    contract: SignatureContract, holds: list[tf.Tensor], tensors: Mapping[str, tf.Tensor]
) -> tuple[tf.Tensor, ...]:
    """The refusing branch: asserts one after another, so that the first broken rule speaks."""
    spoken: list[tf.Operation] = []
    for rule, rule_holds in zip(contract.rules, holds, strict=True):
        with tf.control_dependencies(spoken):
            spoken = [
                tf.raw_ops.Assert(
                    condition=rule_holds, data=rule.parts(tensors, _ARITHMETIC), summarize=1
                )
            ]
    with tf.control_dependencies(spoken):
        # Never reached; an empty tensor has the branch agree in dtype and rank.
        return tuple(
            tf.zeros([size or 0 for size in tensor.static_shape], tensor.dtype)
            for tensor in contract.outputs
        )


def _as_tuple(results: Any) -> tuple[tf.Tensor, ...]:
    return tuple(results) if isinstance(results, tuple | list) else (results,)


def _as_tensor(contract: TensorContract, value: Any) -> tf.Tensor:
    """Converts an argument to the contract's dtype; any real number fits a float input.

    Raises:
      InvalidInputError: The dtype's kind or the shape does not fit.
    """
    if not tf.is_tensor(value):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise InvalidInputError(f"{contract.name}: expected an array, got {error}") from error
    if value.dtype == object:
        got = "objects"
    else:
        dtype = tf.as_dtype(value.dtype)
        whole = tf.as_dtype(contract.dtype).is_integer
        if dtype.is_integer or (dtype.is_floating and not whole):
            contract.check_shape(tuple(value.shape) if _has_rank(value) else contract.static_shape)
            return _cast(value, contract.dtype)
        got = dtype.name
    kind = "an integer" if np.dtype(contract.dtype).kind == "i" else "a real"
    raise InvalidInputError(
        f"{contract.name}: expected {kind} dtype such as {contract.dtype}, got {got}"
    )


def _has_rank(value: tf.Tensor | np.ndarray) -> bool:
    """False for a symbolic tensor of unknown rank, which is checked when it runs."""
    return isinstance(value, np.ndarray) or value.shape.rank is not None


def _cast(value: tf.Tensor | np.ndarray, dtype: str) -> tf.Tensor:
    """Arrays are cast by NumPy, which keeps subnormals; TensorFlow's own cast may flush them."""
    if isinstance(value, np.ndarray):
        with np.errstate(over="ignore"):
            return tf.constant(value.astype(dtype))
    return tf.cast(value, dtype)
