"""A look at a PredictResponse that finds the bytes of its arrays without parsing them.

A reply of 30 MB is a few dozen bytes of names, types and shapes around payloads that are the
arrays themselves. Parsing copies every payload into a list of its own, from which it is copied
again; here the payloads are taken out as views, and only what is around them is left to parse.

Whatever is unusual is not decided here: for such a message the scan has no result, and the
official way of reading it says what is in it or what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_VARINT, _LENGTH = 0, 2
# Bytes of the other wire types.
_FIXED = {1: 8, 5: 4}
_OUTPUTS, _MODEL_SPEC = 1, 2
_KEY, _VALUE = 1, 2
# `tensor_content` and the packed fields whose payload is the array, with the bytes of one value.
_PAYLOADS = {4: 1, 5: 4, 6: 8, 9: 4, 12: 8}
_LARGEST = (1 << 31) - 1


@dataclass(frozen=True)
class ScannedTensor:
    """A `TensorProto` in two parts.

    Attributes:
      rest: The message without the payloads.
      payloads: Field number to its bytes, which share the reply's memory.
    """

    rest: bytes
    payloads: dict[int, memoryview]


@dataclass(frozen=True)
class ScannedReply:
    """A PredictResponse whose arrays are not parsed.

    Attributes:
      tensors: By output name.
      specs: The model specs, still to be parsed.
    """

    tensors: dict[str, ScannedTensor]
    specs: tuple[memoryview, ...]


class _UnusualError(Exception):
    """Something that only the official way of reading knows the meaning of."""


class _Field(NamedTuple):
    """One field: its number and wire type, where it starts and ends, and its content."""

    tag: tuple[int, int]
    start: int
    end: int
    body: memoryview


def scan_reply(message: bytes) -> ScannedReply | None:
    """The parts of a PredictResponse, `None` if it is not as servers write it.

    Usual is: outputs and model specs only; in each output its name, once, and then its tensor; the
    shortest form of every tag and length. Names of outputs differ.
    """
    tensors: dict[str, ScannedTensor] = {}
    specs = []
    try:
        for field in _fields(memoryview(message)):
            if field.tag == (_MODEL_SPEC, _LENGTH):
                specs.append(field.body)
            elif field.tag == (_OUTPUTS, _LENGTH):
                name, tensor = _entry(field.body)
                if name in tensors:
                    return None
                tensors[name] = _scan_tensor(tensor)
            else:
                return None
    except (_UnusualError, UnicodeDecodeError):
        return None
    return ScannedReply(tensors, tuple(specs))


def _entry(view: memoryview) -> tuple[str, memoryview]:
    """The name of an output and its tensor's bytes."""
    fields = list(_fields(view))
    if [field.tag for field in fields] != [(_KEY, _LENGTH), (_VALUE, _LENGTH)]:
        raise _UnusualError
    return str(fields[0].body, "utf-8"), fields[1].body


def _scan_tensor(view: memoryview) -> ScannedTensor:
    """Takes the payloads out of a tensor; out of an unusual one none."""
    payloads: dict[int, memoryview] = {}
    kept = []
    seen = set()
    start = 0
    try:
        for field in _fields(view):
            number, kind = field.tag
            if number in seen:
                # Pieces of one payload, or strings.
                raise _UnusualError
            seen.add(number)
            if kind == _LENGTH and number in _PAYLOADS:
                if len(field.body) % _PAYLOADS[number]:
                    raise _UnusualError
                payloads[number] = field.body
                kept.append(view[start : field.start])
                start = field.end
    except _UnusualError:
        return ScannedTensor(bytes(view), {})
    return ScannedTensor(b"".join([*kept, view[start:]]), payloads)


def _fields(view: memoryview) -> Iterator[_Field]:
    """The fields of a message.

    Raises:
      _UnusualError: The message ends too early, or has a group, an unknown wire type, a field
        without number, or a tag or length that is too long or not in its shortest form.
    """
    position = 0
    while position < len(view):
        start = position
        tag, position = _number(view, position)
        number, kind = tag >> 3, tag & 7
        size = _FIXED.get(kind, 0)
        if kind == _LENGTH:
            size, position = _number(view, position)
        elif kind == _VARINT:
            size = _varint_size(view, position)
        elif not size:
            raise _UnusualError
        if not number or position + size > len(view):
            raise _UnusualError
        end = position + size
        yield _Field((number, kind), start, end, view[position:end])
        position = end


def _number(view: memoryview, position: int) -> tuple[int, int]:
    """A tag or length in its shortest form, and where it ends."""
    value = 0
    for place, byte in enumerate(view[position : position + 5]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if value > _LARGEST or (place and not byte):
                raise _UnusualError
            return value, position + place + 1
    raise _UnusualError


def _varint_size(view: memoryview, position: int) -> int:
    """The bytes of a varint, ten at most."""
    for place, byte in enumerate(view[position : position + 10]):
        if byte < 0x80:
            return place + 1
    raise _UnusualError
