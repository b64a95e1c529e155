"""The row form: `instances` in, `predictions` out, with the stock server's rules and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.json_tensors import array_of_value, is_base64, shape_of, walked_array
from serving_config.embedded.json_text import quoted, value_text
from serving_config.embedded.json_writer import INDENT, leaf_texts
from serving_config.embedded.servable import InputSlot, Signature


def row_inputs(signature: Signature, rows: list[Any]) -> dict[str, np.ndarray]:
    """The arrays in the value of `instances`; every row is one element of axis 0.

    Args:
      signature: What is asked for.
      rows: Plain values of the only input, or objects with one member per input; not empty.

    Raises:
      StatusError: With the stock server's text.
    """
    slots = signature.inputs
    if not isinstance(rows[0], dict) and len(slots) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    if _is_named(rows[0]):
        columns = _fast_columns(slots, rows)
        return _named_rows(slots, rows) if columns is None else columns
    alias = next(iter(slots))
    if not any(map(_is_named, rows)):
        array = array_of_value(rows, slots[alias])
        if array is not None:
            return {alias: array}
    return {alias: _plain_rows(alias, slots[alias], rows)}


def row_reply(outputs: Mapping[str, np.ndarray]) -> bytes:
    """The body of a reply; the values of a single output stand without its name.

    Raises:
      StatusError: The outputs have no common axis 0, or a type without a JSON form.
    """
    count = None
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if count is not None and len(array) != count:
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}"
            )
        count = len(array)
    columns = {name: _row_texts(name, array, len(outputs)) for name, array in outputs.items()}
    if not count:
        return f'{{\n{INDENT}"predictions": []\n}}'.encode()
    if len(columns) == 1:
        [texts] = columns.values()
        inner = ", ".join(texts)
    else:
        members = [f"{INDENT * 3}{quoted(name)}: " for name in columns]
        objects = [
            ",\n".join(map(str.__add__, members, texts))
            for texts in zip(*columns.values(), strict=True)
        ]
        inner = ",".join(f"\n{INDENT * 2}{{\n{text}\n{INDENT * 2}}}" for text in objects)
    text = f'{{\n{INDENT}"predictions": [{inner}\n{INDENT}]\n}}'
    return text.encode(errors="surrogateescape")


def _row_texts(name: str, array: np.ndarray, outputs: int) -> list[str]:
    """The text of every row, each in one line."""
    level = array.ndim + (1 if outputs == 1 else 2)
    leaves = leaf_texts(name, array, level)
    if not len(array):
        return []
    skeleton = _one_line(array.shape[1:])
    size = len(leaves) // len(array)
    return [
        skeleton % tuple(leaves[start * size : (start + 1) * size]) for start in range(len(array))
    ]


def _one_line(shape: tuple[int, ...]) -> str:
    """The brackets and commas of an array, with `%s` for every value."""
    if not shape:
        return "%s"
    return f"[{', '.join([_one_line(shape[1:])] * shape[0])}]"


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _fast_columns(slots: Mapping[str, InputSlot], rows: list[Any]) -> dict[str, np.ndarray] | None:
    """The arrays of well-formed rows of objects, `None` if something is wrong or rare."""
    names = slots.keys()
    if not all(isinstance(row, dict) and row.keys() == names for row in rows):
        return None
    columns = {}
    for alias, slot in slots.items():
        array = array_of_value([row[alias] for row in rows], slot)
        if array is None:
            return None
        columns[alias] = array
    return columns


class _Column:
    """The rows of one input, collected one by one."""

    def __init__(self, alias: str, slot: InputSlot) -> None:
        self._alias = alias
        self._slot = slot
        self._arrays: list[np.ndarray] = []

    def add(self, value: Any) -> None:
        """Adds a row.

        Raises:
          StatusError: It is malformed, or its shape is not that of the rows before.
        """
        array = walked_array(self._alias, value, self._slot)
        first = self._arrays[0] if self._arrays else array
        if array.size != first.size:
            raise invalid_argument(f"Expecting tensor size: {first.size} but got: {array.size}")
        if array.shape != first.shape:
            raise invalid_argument(
                f"Expecting shape {_shape(first.shape)} but got: {_shape(shape_of(value))}"
            )
        self._arrays.append(array)

    def array(self) -> np.ndarray:
        """All rows.

        Raises:
          StatusError: They have more axes than an array can have.
        """
        try:
            return np.stack(self._arrays)
        except ValueError as error:
            raise invalid_argument(f"tensor parsing error: {self._alias}") from error


def _plain_rows(alias: str, slot: InputSlot, rows: list[Any]) -> np.ndarray:
    column = _Column(alias, slot)
    for index, row in enumerate(rows):
        if _is_named(row):
            raise invalid_argument(
                f"Expecting value/list but got object at item {index} of input list"
            )
        try:
            column.add(row)
        except StatusError as error:
            raise invalid_argument(
                f"Failed to process element: {index} of 'instances' list. "
                f"Error: {error.code}: {error.text}"
            ) from error
    return column.array()


def _named_rows(slots: Mapping[str, InputSlot], rows: list[Any]) -> dict[str, np.ndarray]:
    columns = {alias: _Column(alias, slot) for alias, slot in slots.items()}
    for index, row in enumerate(rows):
        if not _is_named(row):
            raise invalid_argument(f"Expecting object but got list at item {index} of input list")
        for name, value in row.items():
            try:
                if name not in columns:
                    raise invalid_argument(f"JSON object: does not have named input: {name}")
                columns[name].add(value)
            except StatusError as error:
                raise invalid_argument(
                    f"Failed to process element: {index} key: {name} of 'instances' list. "
                    f"Error: {error.code}: {error.text}"
                ) from error
        if row.keys() != slots.keys():
            raise invalid_argument(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{value_text(row)} keys must be equal to: {','.join(sorted(slots))}"
            )
    return {alias: column.array() for alias, column in columns.items()}


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
