"""Parsed JSON values to arrays: the stock server's rules, texts and order of complaints."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.json_text import value_text
from serving_config.embedded.servable import InputSlot, Signature
from serving_config.tensor_types import TensorType, type_of_number, without_subnormals

BASE64_KEY = "b64"

# What NumPy 1 can hold; nobody's tensor has more axes.
_HIGHEST_RANK = 32

# Which integers a JSON number may be; narrower types then wrap, as in the stock server.
_INTEGER_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int16": (-(2**31), 2**31 - 1),
    "int8": (-(2**31), 2**31 - 1),
    "uint8": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_FLOATS = ("float", "double")
_JSON_TYPES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}


def columnar_inputs(signature: Signature, value: Any) -> dict[str, np.ndarray]:
    """The arrays in the value of `inputs`; members that no input has are ignored.

    Args:
      signature: What is asked for.
      value: An object with one member per input, or the plain value of the only input.

    Raises:
      StatusError: With the stock server's text.
    """
    slots = signature.inputs
    if not isinstance(value, dict) or is_base64(value):
        if len(slots) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        return {alias: _array(alias, value, slot) for alias, slot in slots.items()}
    return {alias: _array(alias, _member(value, alias), slot) for alias, slot in slots.items()}


def _member(value: Mapping[str, Any], alias: str) -> Any:
    if alias not in value:
        raise invalid_argument(f"Missing named input: {alias} in 'inputs' object.")
    return value[alias]


def _array(alias: str, value: Any, slot: InputSlot) -> np.ndarray:
    array = array_of_value(value, slot)
    # Something is wrong, or rare: the careful way finds it and says it literally.
    return walked_array(alias, value, slot) if array is None else array


def array_of_value(value: Any, slot: InputSlot) -> np.ndarray | None:
    """The array of a well-formed value of a common type, `None` for anything else."""
    shape = shape_of(value)
    if len(shape) > _HIGHEST_RANK:
        return None
    leaves = _leaves(value, shape)
    if leaves is None:
        return None
    array = _fast_array(leaves, type_of_number(slot.type_number))
    return None if array is None else array.reshape(shape)


def walked_array(alias: str, value: Any, slot: InputSlot) -> np.ndarray:
    """The array of any value, element by element.

    Raises:
      StatusError: With the stock server's text about the first element that does not fit.
    """
    kind = type_of_number(slot.type_number)
    shape = shape_of(value)
    if len(shape) > _HIGHEST_RANK:
        raise invalid_argument(f"tensor parsing error: {alias}")
    careful: list[Any] = []
    _walk(value, 0, shape, kind, careful)
    return _flat_array(careful, kind).reshape(shape)


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape that the first elements suggest."""
    sizes = []
    while isinstance(value, list):
        sizes.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(sizes)


def _leaves(value: Any, shape: tuple[int, ...]) -> list[Any] | None:
    """All scalars in row-major order, or `None` if the nesting is uneven."""
    level: list[Any] = [value]
    for size in shape:
        if set(map(type, level)) - {list} or set(map(len, level)) - {size}:
            return None
        level = list(chain.from_iterable(level))
    return level


def _fast_array(leaves: list[Any], kind: TensorType) -> np.ndarray | None:
    """The leaves as a flat array, or `None` if one of them is not what the type wants."""
    types = set(map(type, leaves))
    if kind.name in _FLOATS:
        return _flat_array(leaves, kind) if types <= {int, float} else None
    if kind.name in _INTEGER_RANGES:
        low, high = _INTEGER_RANGES[kind.name]
        fits = types <= {int} and (not leaves or (min(leaves) >= low and max(leaves) <= high))
        return _flat_array(leaves, kind) if fits else None
    if kind.name == "bool":
        return _flat_array(leaves, kind) if types <= {bool} else None
    return None


def _flat_array(leaves: list[Any], kind: TensorType) -> np.ndarray:
    if kind.name in _FLOATS:
        # Numbers are doubles first, as in the stock server; beyond float32 lies infinity. Its
        # REST threads flush subnormals, here and when they write.
        with np.errstate(over="ignore"):
            return without_subnormals(np.array(leaves, np.float64).astype(kind.dtype))
    if kind.is_string:
        strings = np.empty(len(leaves), object)
        strings[:] = leaves
        return strings
    if kind.name == "uint64":
        return np.array(leaves, np.uint64)
    if kind.name == "bool":
        return np.array(leaves, bool)
    return np.array(leaves, np.int64).astype(kind.dtype)


def _walk(value: Any, level: int, shape: tuple[int, ...], kind: TensorType, out: list[Any]) -> None:
    """Collects the leaves one by one and complains about the first that does not fit.

    Raises:
      StatusError: With the stock server's text.
    """
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid_argument(
                f"JSON Value: {value_text(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {rank}"
            )
        out.append(_leaf(value, kind))
        return
    if level >= rank:
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _walk(item, level + 1, shape, kind, out)


def _leaf(value: Any, kind: TensorType) -> Any:
    """One value of the given type.

    Raises:
      StatusError: It is of another type, or the type has no JSON form.
    """
    if isinstance(value, dict):
        if kind.is_string:
            return decoded_base64(value)
        raise _type_error(value, kind)
    if kind.name in _FLOATS:
        fits = type(value) in (int, float)
    elif kind.name in _INTEGER_RANGES:
        low, high = _INTEGER_RANGES[kind.name]
        fits = type(value) is int and low <= value <= high
    elif kind.name == "bool":
        fits = isinstance(value, bool)
    elif kind.is_string:
        fits = isinstance(value, str)
    else:
        raise StatusError(
            "UNIMPLEMENTED",
            f"Conversion of JSON Value: {value_text(value)} to type: {kind.name}",
        )
    if not fits:
        raise _type_error(value, kind)
    return value.encode() if kind.is_string else value


def _type_error(value: Any, kind: TensorType) -> StatusError:
    return invalid_argument(
        f"JSON Value: {value_text(value)} Type: {json_type(value)} is not of expected type: "
        f"{kind.name}"
    )


def json_type(value: Any) -> str:
    """How the stock server calls the type of a parsed value."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return "True" if value else "False"
    return _JSON_TYPES[type(value)]


def is_base64(value: Any) -> bool:
    """Whether a value is the object that stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(BASE64_KEY), str)


def decoded_base64(value: dict[str, Any]) -> bytes:
    """The bytes that an object stands for.

    Raises:
      StatusError: It is malformed.
    """
    if not is_base64(value):
        raise invalid_argument(
            f"JSON Value: {value_text(value)} not formatted correctly for base64 data"
        )
    text = value[BASE64_KEY]
    try:
        # Padding may be left out.
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument("Unable to base64 decode") from error
