"""Arrays of every element type, and the official messages that hold them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving_config.tensor_types import type_of_dtype

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def official(array: np.ndarray, *, as_content: bool):
    """The official message, filled through its own fields."""
    from tensorflow.core.framework import tensor_pb2

    kind = type_of_dtype(array.dtype)
    tensor = tensor_pb2.TensorProto(dtype=kind.number)
    tensor.tensor_shape.SetInParent()
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    flat = array.reshape(-1)
    if as_content and not kind.is_string:
        tensor.tensor_content = flat.tobytes()
    elif kind.is_half:
        tensor.half_val.extend(flat.view(np.uint16).tolist())
    elif flat.dtype.kind == "c":
        part = np.float32 if flat.dtype == np.complex64 else np.float64
        getattr(tensor, kind.field).extend(flat.view(part).tolist())
    else:
        getattr(tensor, kind.field).extend(flat.tolist())
    return tensor


def arrays(kind):
    """Arrays of a type with every bit pattern."""
    if kind.is_string:
        items = st.lists(st.binary(max_size=5), max_size=6)
        return items.map(lambda values: np.array([*values, None], object)[:-1])
    if kind.name == "bool":
        return hnp.arrays(bool, SHAPES)
    raw = np.dtype(f"V{kind.dtype.itemsize}")
    return SHAPES.flatmap(
        lambda shape: hnp.arrays(np.uint8, (*shape, raw.itemsize)).map(
            lambda bits: np.frombuffer(bits.tobytes(), kind.dtype).reshape(shape)
        )
    )


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    if left.dtype == object:
        return left.shape == right.shape and left.tolist() == right.tolist()
    return (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())


def tensor(number, dims, **fields):
    from tensorflow.core.framework import tensor_pb2

    message = tensor_pb2.TensorProto(dtype=number, **fields)
    for size in dims:
        message.tensor_shape.dim.add(size=size)
    return message
