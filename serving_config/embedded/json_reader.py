"""A request's JSON body: parsed like the stock server does, with its error texts.

python-rapidjson is a binding of the stock server's own parser, hence the same faults at the
same offsets.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import rapidjson

from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.json_text import value_text

_FAULT = re.compile(r"Parse error at offset (\d+): (.*)", re.DOTALL)
_TRAILING = "The document root must not be followed by other values."
_STRING = re.compile(rb'"(?:[^"\\\\]|\\\\.)*"', re.DOTALL)
_CHUNK = 1 << 16
_PIECE = 1 << 14
# What a byte does to the depth of what follows.
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_NUMBERS = rapidjson.NM_NATIVE | rapidjson.NM_NAN


class _Parser(rapidjson.Decoder):
    """Of members with the same name the first one counts, as in the stock server."""

    def start_object(self) -> list[tuple[str, Any]]:
        """See `rapidjson.Decoder`: members are collected as pairs."""
        return []

    def end_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """See `rapidjson.Decoder`."""
        members: dict[str, Any] = {}
        for name, value in pairs:
            members.setdefault(name, value)
        return members


_PARSER = _Parser(number_mode=_NUMBERS)


class _Pieces(io.BytesIO):
    """A body that the parser reads piece by piece; between two of them other threads may go on."""

    def read(self, size: int | None = -1) -> bytes:
        """See `io.BytesIO`. In Python, which is where threads change."""
        return super().read(size)


def is_deeper(body: bytes, deepest: int) -> bool:
    """Whether lists and objects are nested too deeply to be parsed: a parser's stack is finite.

    >>> is_deeper(b'{"inputs": [[1]]}', 3), is_deeper(b'{"inputs": [[1]]}', 2)
    (False, True)
    >>> is_deeper(b'{"inputs": "[[[[[["}', 3)
    False
    """
    if not _may_be_deeper(body, deepest):
        return False
    # Rare, so that it may be slow: once more, without what stands in strings.
    return _may_be_deeper(_STRING.sub(b"", body), deepest)


def _may_be_deeper(body: bytes, deepest: int) -> bool:
    """The same, taking brackets inside strings for real ones."""
    depth = 0
    everything = np.frombuffer(body, np.uint8)
    for start in range(0, len(body), _CHUNK):
        steps = _STEPS[everything[start : start + _CHUNK]]
        depths = depth + np.cumsum(steps, dtype=np.int64)
        if depths.max() > deepest:
            return True
        depth = int(depths[-1])
    return False


@dataclass(frozen=True)
class RequestBody:
    """A parsed body.

    Attributes:
      document: The whole object.
      signature: The signature's key, empty if none was given.
    """

    document: dict[str, Any]
    signature: str

    def rows(self) -> list[Any] | None:
        """The value of `instances`, `None` for a request in columnar form.

        Raises:
          StatusError: The request has both forms or none, or its rows are none.
        """
        has_inputs, has_instances = "inputs" in self.document, "instances" in self.document
        if not has_instances:
            if not has_inputs:
                raise invalid_argument("Missing 'inputs' or 'instances' key")
            return None
        instances = self.document["instances"]
        if has_inputs:
            fault = (
                "Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
                "to exist "
            )
        elif not isinstance(instances, list):
            fault = "Expecting 'instances' to be an list/array"
        elif not instances:
            fault = "No values in 'instances' array"
        else:
            return instances
        raise self.fault(fault)

    def fault(self, text: str) -> StatusError:
        """A refusal that quotes the whole body."""
        return invalid_argument(f"JSON Value: {value_text(self.document)} {text}")


def read_body(body: bytes, deepest: int = 100) -> RequestBody:
    """Parses a body.

    Args:
      body: The bytes.
      deepest: Lists and objects that may be within one another.

    Raises:
      StatusError: It is not a JSON object, is nested too deeply, or its signature's name is no
        string.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    if is_deeper(body, deepest):
        raise invalid_argument(f"JSON Parse error: nested more than {deepest} levels deep.")
    document = _parse(body)
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {value_text(document)} Is not object")
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise invalid_argument(
            f"JSON Value: {value_text(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return RequestBody(document, signature)


def _parse(body: bytes) -> Any:
    try:
        if len(body) > _CHUNK:
            # In one call a map-sized text would hold the interpreter's lock for 40 ms, and with it
            # everybody else's requests.
            body.decode()
            return _PARSER(_Pieces(body), chunk_size=_PIECE)
        return _PARSER(body)
    except rapidjson.JSONDecodeError as error:
        match = _FAULT.match(str(error))
        if match is None:
            raise invalid_argument(f"JSON Parse error: {error}") from error
        offset, text = int(match[1]), match[2]
        if text == _TRAILING:
            # The stock server stops reading where the first value ends.
            return _parse(body[:offset])
        raise invalid_argument(f"JSON Parse error: {text} at offset: {offset}") from error
    except RecursionError as error:
        raise invalid_argument("JSON Parse error: nested too deeply.") from error
    except UnicodeDecodeError as error:
        raise invalid_argument(
            f"JSON Parse error: Invalid encoding in string. at offset: {error.start}"
        ) from error
