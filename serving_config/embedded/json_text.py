"""JSON texts as RapidJSON writes them: strings, and values quoted inside error messages."""

from __future__ import annotations

import contextlib
import math
import re
from typing import Any

_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_INDENT = "    "
# Values quoted in an error message end after the first token that starts beyond this size.
_QUOTED_BYTES = 256


def quoted(text: str) -> str:
    r"""A string with its quotes; everything but control characters stays as it is.

    >>> print(quoted('a "b"\n\x01/é'))
    "a \"b\"\n\u0001/é"
    """
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _ESCAPES.get(character) or f"\\u{ord(character):04X}"


def error_body(text: str) -> bytes:
    """The body of every REST error."""
    return f'{{\n{_INDENT}"error": {quoted(text)}\n}}'.encode()


def double_text(value: float) -> str:
    """A finite double as RapidJSON prints it: plain up to 21 digits, `e` without padding.

    >>> [double_text(v) for v in (1000.0, 1e21, 1.5e-7, -0.001, 123.25)]
    ['1000.0', '1e21', '1.5e-7', '-0.001', '123.25']
    """
    mantissa, exponent = repr_parts(abs(value))
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    point = len(mantissa) + exponent
    if exponent >= 0 and point <= 21:
        return f"{sign}{mantissa}{'0' * exponent}.0"
    if 0 < point <= 21:
        return f"{sign}{mantissa[:point]}.{mantissa[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{mantissa}"
    fraction = f".{mantissa[1:]}" if len(mantissa) > 1 else ""
    return f"{sign}{mantissa[0]}{fraction}e{point - 1}"


def repr_parts(value: float) -> tuple[str, int]:
    """The shortest digits of a double >= 0 and the power of ten of the last one.

    >>> repr_parts(1200.5), repr_parts(0.0)
    (('12005', -1), ('0', 0))
    """
    digits, _, power = repr(value).partition("e")
    whole, _, fraction = digits.partition(".")
    exponent = int(power or 0) - len(fraction)
    stripped = (whole + fraction).lstrip("0")
    kept = stripped.rstrip("0")
    if not kept:
        return "0", 0
    return kept, exponent + len(stripped) - len(kept)


class _FullError(Exception):
    """The quoted value is long enough."""


class ValueQuoter:
    """Writes one value for an error message: objects indented, arrays in one line, cut off."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def text(self, value: Any) -> str:
        """The value's text, at most a little longer than the limit; may be cut anywhere.

        >>> print(ValueQuoter().text({"a": [1, 2.5, None]}))
        {
            "a": [1, 2.5, null]
        }
        """
        with contextlib.suppress(_FullError):
            self._write(value, 0)
        return "".join(self._parts)

    def _token(self, prefix: str, token: str) -> None:
        if self._size >= _QUOTED_BYTES:
            raise _FullError
        self._raw(prefix + token)

    def _raw(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text.encode(errors="replace"))

    def _write(self, value: Any, level: int, prefix: str = "") -> None:
        if isinstance(value, dict):
            self._token(prefix, "{")
            for position, (key, member) in enumerate(value.items()):
                comma = "," if position else ""
                self._token(f"{comma}\n{_INDENT * (level + 1)}", quoted(key))
                self._write(member, level + 1, ": ")
            self._token(f"\n{_INDENT * level}" if value else "", "}")
        elif isinstance(value, list):
            self._token(prefix, "[")
            for position, item in enumerate(value):
                self._write(item, level + 1, ", " if position else "")
            self._token("", "]")
        elif isinstance(value, float) and not math.isfinite(value):
            # RapidJSON has no word for it here: the prefix stands, then writing ends.
            self._token(prefix, "")
            raise _FullError
        else:
            self._token(prefix, scalar_text(value))


def scalar_text(value: Any) -> str:
    """A string, number, boolean or null."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    return double_text(value) if isinstance(value, float) else str(value)


def value_text(value: Any) -> str:
    """A parsed JSON value as error messages quote it."""
    return ValueQuoter().text(value)
