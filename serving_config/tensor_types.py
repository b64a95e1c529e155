"""The element types of tensors: number on the wire, name in texts, NumPy dtype, typed field.

Plain data without TensorFlow; the numbers are those of `DataType` and `TensorProto`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class TensorType:
    """One element type.

    Attributes:
      number: Its number in `DataType`.
      name: How the runtime spells it in its texts, such as `"float"`.
      numpy_name: The NumPy dtype's name; `"object"` for strings (elements are `bytes`).
      field: The `TensorProto` field that holds its values.
      field_number: That field's number.
    """

    number: int
    name: str
    numpy_name: str
    field: str
    field_number: int

    @cached_property
    def dtype(self) -> np.dtype:
        """The NumPy dtype of its elements.

        Raises:
          ValueError: It is that of a package which is not installed.
        """
        if self.numpy_name == "bfloat16":
            # NumPy has none of its own; TensorFlow brings this small package along.
            try:
                import ml_dtypes
            except ImportError as error:
                raise ValueError(
                    "elements of type bfloat16 need the package ml_dtypes; pip install ml_dtypes"
                ) from error
            return np.dtype(ml_dtypes.bfloat16)
        return np.dtype(self.numpy_name)

    @property
    def is_string(self) -> bool:
        """Whether the elements are byte strings."""
        return self.numpy_name == "object"

    @property
    def is_raw(self) -> bool:
        """Whether the typed field holds the little-endian bytes of the array itself."""
        return self.dtype.kind in "fc" and self.field != "half_val"

    @property
    def is_half(self) -> bool:
        """Whether the typed field holds 16-bit patterns as integers."""
        return self.field == "half_val"


def without_subnormals(values: np.ndarray) -> np.ndarray:
    """Float values with subnormals replaced by zeros of their sign.

    >>> without_subnormals(np.float32([1e-40, -1e-40, 1.5])).tolist()
    [0.0, -0.0, 1.5]
    """
    if values.dtype.kind != "f":
        return values
    tiny = np.abs(values) < np.finfo(values.dtype).smallest_normal
    return np.where(tiny, np.copysign(values.dtype.type(0), values), values)


TENSOR_TYPES = (
    TensorType(1, "float", "float32", "float_val", 5),
    TensorType(2, "double", "float64", "double_val", 6),
    TensorType(3, "int32", "int32", "int_val", 7),
    TensorType(4, "uint8", "uint8", "int_val", 7),
    TensorType(5, "int16", "int16", "int_val", 7),
    TensorType(6, "int8", "int8", "int_val", 7),
    TensorType(7, "string", "object", "string_val", 8),
    TensorType(8, "complex64", "complex64", "scomplex_val", 9),
    TensorType(9, "int64", "int64", "int64_val", 10),
    TensorType(10, "bool", "bool", "bool_val", 11),
    TensorType(14, "bfloat16", "bfloat16", "half_val", 13),
    TensorType(17, "uint16", "uint16", "int_val", 7),
    TensorType(18, "complex128", "complex128", "dcomplex_val", 12),
    TensorType(19, "half", "float16", "half_val", 13),
    TensorType(22, "uint32", "uint32", "uint32_val", 16),
    TensorType(23, "uint64", "uint64", "uint64_val", 17),
)

_BY_NUMBER = {kind.number: kind for kind in TENSOR_TYPES}
_BY_NUMPY_NAME = {kind.numpy_name: kind for kind in TENSOR_TYPES}


def type_of_number(number: int) -> TensorType:
    """The type behind a `DataType` number.

    Raises:
      ValueError: Resources, variants, quantised and unknown types have no NumPy form.
    """
    if number not in _BY_NUMBER:
        raise ValueError(f"element type number {number} has no NumPy form")
    return _BY_NUMBER[number]


def type_of_dtype(dtype: np.dtype) -> TensorType:
    """The type of an array's elements; any kind of text or bytes is `string`.

    Raises:
      ValueError: The dtype cannot be sent.
    """
    name = "object" if dtype.kind in "OSU" else dtype.name
    if name not in _BY_NUMPY_NAME:
        raise ValueError(f"an array of dtype {dtype} cannot be sent")
    return _BY_NUMPY_NAME[name]
