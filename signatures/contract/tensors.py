"""The contract of one tensor: name, dtype, symbolic shape, meaning, bounds of its axes.

Shape symbols are words: a dimension is an integer (fixed), a name such as `"samples"` (bound by
the first input that carries it), a product of names such as `"samples*channels"`, or
`"ensure_odd(window_length)"` (computed from a scalar input). A name that no input carries is
known when the function has run.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from signatures.contract.errors import InvalidInputError

Dimension = int | str
# The size of a dimension that only the function's result tells.
UNKNOWN = -1

_ODD_OF = re.compile(r"ensure_odd\((\w+)\)")


def round_up_to_odd(value: Any) -> Any:
    """`(value // 2) * 2 + 1` for a Python integer, an integer array or an integer tensor.

    >>> [round_up_to_odd(n) for n in (0, 1, 4, 5, 128)]
    [1, 1, 5, 5, 129]
    """
    return (value // 2) * 2 + 1


@dataclass(frozen=True)
class TensorContract:
    """One input or output of a signature.

    Attributes:
      name: The name on the wire.
      dtype: The dtype's name, such as `"float32"`.
      shape: One entry per axis, see the module's docstring. `()` is a scalar.
      axes: What the axes and columns hold, in order.
      units: The unit of the values.
      meaning: One phrase for documentation.
      default: The value that a request may leave out; `None` if it may not.
      example: A small value for documentation, as nested tuples; inputs have one.
    """

    name: str
    dtype: str
    shape: tuple[Dimension, ...]
    axes: str
    units: str
    meaning: str
    default: int | float | None = None
    example: Any = None

    @property
    def numpy_dtype(self) -> np.dtype:
        """The dtype of arrays that hold it; strings are objects of type `bytes`."""
        return np.dtype(object if self.dtype == "string" else self.dtype)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def is_scalar(self) -> bool:
        """Whether the tensor has no axes."""
        return not self.shape

    @property
    def static_shape(self) -> tuple[int | None, ...]:
        """The shape with `None` for every dimension that is known only at run time."""
        return tuple(size if isinstance(size, int) else None for size in self.shape)

    @property
    def shape_text(self) -> str:
        """The shape as documentation writes it.

        >>> TensorContract("peaks", "float32", ("peaks", 4), "", "", "").shape_text
        '[peaks, 4]'
        """
        return f"[{', '.join(map(str, self.shape))}]"

    def check_shape(self, shape: tuple[int | None, ...]) -> None:
        """Refuses a rank or a fixed dimension that differs; `None` in `shape` is unknown.

        Raises:
          InvalidInputError: Expected and actual shape, in one sentence.
        """
        fits = len(shape) == self.rank and all(
            not isinstance(want, int) or got is None or want == got
            for want, got in zip(self.shape, shape, strict=True)
        )
        if not fits:
            got_text = ", ".join("?" if size is None else str(size) for size in shape)
            hint = ""
            if self.is_scalar and shape == (1,):
                hint = f"; pass {self.name}[0]"
            elif len(shape) == self.rank - 1:
                hint = f"; a single item needs its leading axis: pass {self.name}[None]"
            raise InvalidInputError(
                f"{self.name}: expected shape {self.shape_text}, got [{got_text}]{hint}"
            )

    def default_array(self) -> np.ndarray:
        """The default as an array of the contract's dtype.

        Raises:
          InvalidInputError: The tensor has no default.
        """
        if self.default is None:
            raise InvalidInputError(
                f"{self.name}: missing and without default; expected {self.dtype} {self.shape_text}"
            )
        return np.asarray(self.default, dtype=self.dtype)


def bind_dimensions(
    tensors: tuple[TensorContract, ...], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, int]:
    """Reads the size of every named dimension from the inputs' shapes.

    >>> peaks = TensorContract("peaks", "float32", ("peaks", 4), "", "", "")
    >>> bind_dimensions((peaks,), {"peaks": (7, 4)})
    {'peaks': 7}
    """
    sizes: dict[str, int] = {}
    for tensor in tensors:
        for dimension, size in zip(tensor.shape, shapes[tensor.name], strict=True):
            if isinstance(dimension, str):
                sizes.setdefault(dimension, size)
    return sizes


def resolve_shape(
    tensor: TensorContract, sizes: Mapping[str, int], scalars: Mapping[str, Any]
) -> tuple[int, ...]:
    """The concrete shape of an output, from bound dimensions and scalar inputs.

    >>> crops = TensorContract("crops", "float32", ("peaks", "ensure_odd(w)", 1), "", "", "")
    >>> resolve_shape(crops, {"peaks": 7}, {"w": 4})
    (7, 5, 1)
    """
    shape = []
    for dimension in tensor.shape:
        if isinstance(dimension, int):
            shape.append(dimension)
            continue
        odd_of, names = _parsed_dimension(dimension)
        if odd_of:
            shape.append(int(round_up_to_odd(int(scalars[odd_of]))))
            continue
        factors = [sizes.get(name, UNKNOWN) for name in names]
        shape.append(UNKNOWN if UNKNOWN in factors else math.prod(factors))
    return tuple(shape)


@functools.cache
def _parsed_dimension(dimension: str) -> tuple[str, tuple[str, ...]]:
    """The scalar of an `ensure_odd(...)`, or empty; and the factors of a product."""
    odd_of = _ODD_OF.fullmatch(dimension)
    return (odd_of[1], ()) if odd_of else ("", tuple(dimension.split("*")))
