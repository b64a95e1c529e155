"""Columnar replies as the stock server prints them: four spaces a level, one number a line."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import numpy as np

from serving_config.embedded.failures import invalid_argument
from serving_config.embedded.json_tensors import BASE64_KEY
from serving_config.embedded.json_text import quoted
from serving_config.tensor_types import TensorType, type_of_dtype, without_subnormals

INDENT = "    "
_BYTES_SUFFIX = "_bytes"
_CHUNK = 1 << 16
_FULL_DIGITS = {"float": "%.9g", "double": "%.17g"}


def columnar_reply(outputs: Mapping[str, np.ndarray]) -> bytes:
    """The body of a reply; a single output stands without its name.

    Raises:
      StatusError: An output's type has no JSON form.
    """
    if len(outputs) == 1:
        [(name, array)] = outputs.items()
        inner = _tensor_text(name, array, 1)
    else:
        members = [
            f"{INDENT * 2}{quoted(name)}: {_tensor_text(name, array, 2)}"
            for name, array in outputs.items()
        ]
        joined = ",\n".join(members)
        inner = f"{{\n{joined}\n{INDENT}}}"
    text = f'{{\n{INDENT}"outputs": {inner}\n}}'
    # Strings that are not UTF-8 leave as they are.
    return text.encode(errors="surrogateescape")


def _tensor_text(name: str, array: np.ndarray, level: int) -> str:
    leaves = leaf_texts(name, array, level + array.ndim)
    return _skeleton(array.shape, level) % tuple(leaves)


def _skeleton(shape: tuple[int, ...], level: int) -> str:
    """The brackets and line breaks of an array, with `%s` for every value."""
    if not shape:
        return "%s"
    if not shape[0]:
        return "[]"
    # All parts of one level look alike: repeating a text costs nothing per element.
    part = f"\n{INDENT * (level + 1)}{_skeleton(shape[1:], level + 1)}"
    return f"[{f'{part},' * (shape[0] - 1)}{part}\n{INDENT * level}]"


def leaf_texts(name: str, array: np.ndarray, level: int) -> list[str]:
    """The texts of all values in row-major order.

    Args:
      name: The output's name; it decides how strings are written.
      array: The values.
      level: How deep they are nested, for those that span lines.

    Raises:
      StatusError: The type has no JSON form.
    """
    kind = type_of_dtype(array.dtype)
    flat = array.reshape(-1)
    if kind.name in _FULL_DIGITS:
        texts: list[str] = []
        for start in range(0, flat.size, _CHUNK):
            texts += float_texts(flat[start : start + _CHUNK], kind)
        return texts
    if kind.is_string:
        return [_string_text(name, value, level) for value in flat.tolist()]
    if kind.name == "bool":
        return ["true" if value else "false" for value in flat.tolist()]
    if flat.dtype.kind in "iu" and kind.name != "uint16":
        return list(map(str, flat.tolist()))
    raise invalid_argument(f"Failed to write JSON value for tensor type: {kind.name}")


def _string_text(name: str, value: bytes, level: int) -> str:
    if name.endswith(_BYTES_SUFFIX):
        encoded = base64.b64encode(value).decode()
        inner = f'{INDENT * (level + 1)}"{BASE64_KEY}": "{encoded}"'
        return f"{{\n{inner}\n{INDENT * level}}}"
    return quoted(value.decode(errors="surrogateescape"))


def float_texts(values: np.ndarray, kind: TensorType) -> list[str]:
    """Floats as text: `%g` if that reads back as the same value, else all digits.

    Whole numbers get a `.0`; NaN and infinities are bare words.

    >>> from serving_config.tensor_types import TENSOR_TYPES
    >>> values = np.array([0.1, 8, -0.0, 0.970742822, 1e-5, np.inf], np.float32)
    >>> float_texts(values, TENSOR_TYPES[0])
    ['0.1', '8.0', '-0.0', '0.970742822', '1e-05', 'Infinity']
    """
    values = without_subnormals(values)
    numbers = values.tolist()
    texts = ("%.6g " * len(numbers) % tuple(numbers)).split()
    with np.errstate(over="ignore"):
        read_back = np.fromiter(map(float, texts), np.float64, len(texts)).astype(values.dtype)
    full_digits = _FULL_DIGITS[kind.name]
    for index in np.flatnonzero(read_back != values).tolist():
        texts[index] = full_digits % numbers[index]
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        whole = finite & (np.trunc(values) == values)
    for index in np.flatnonzero(whole).tolist():
        if "." not in texts[index] and "e" not in texts[index]:
            texts[index] += ".0"
    for index in np.flatnonzero(~finite).tolist():
        number = numbers[index]
        texts[index] = "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"
    return texts
