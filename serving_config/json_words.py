"""`NaN` and `Infinity` in JSON: the bare words of model servers, which fast parsers refuse.

Every number of a map would go through Python's own parser for the sake of one NaN. Instead the
words outside strings are overwritten with numbers as long as they are, and once the numbers are
arrays those are turned back. A number that happens to be one of them is noticed by counting.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson

# Word, and the number that stands for it: as many bytes, and no prefix of a longer one.
_NAN, _NAN_STAND_IN = b"NaN", b"9e9"
_INFINITY, _INFINITY_STAND_IN = b"Infinity", b"1.79e308"
_SPACE = b" \t\r\n"
_BEFORE, _AFTER = b"[,:" + _SPACE, b",]}" + _SPACE
_LARGEST = np.finfo(np.float64).max


class MarkedText:
    """A JSON text without the words.

    Attributes:
      text: The text with numbers in their places.
    """

    def __init__(self, text: memoryview, nans: int, infinities: int, strings: int) -> None:
        self.text = text
        self._strings = strings
        self._wanted = nans, infinities
        self._found = [0, 0]

    def restored(self, values: np.ndarray) -> np.ndarray:
        """A new array of the text's numbers, with NaN and infinities put where the words stood."""
        if values.dtype.kind != "f":
            return values
        nans, infinities = self._wanted
        if nans:
            found = values == float(_NAN_STAND_IN)
            self._found[0] += int(np.count_nonzero(found))
            values[found] = np.nan
        if infinities:
            found = np.abs(values) == float(_INFINITY_STAND_IN)
            self._found[1] += int(np.count_nonzero(found))
            values[found] = np.copysign(np.inf, values[found])
        return values

    def is_restored(self, reply: dict[str, Any]) -> bool:
        """Whether each word was found once, and nothing that only looks like one.

        Args:
          reply: The parsed text. A member that stands there twice is in it once, and words in the
            lost one must not be taken for others: then the text has more strings than names.
        """
        names = 0
        for value in reply.values():
            names += 1
            for inner in value if isinstance(value, list) else [value]:
                if not isinstance(inner, dict):
                    # Rows are all objects, or none is.
                    break
                names += len(inner)
        return tuple(self._found) == self._wanted and names == self._strings


def marked_text(body: bytes) -> MarkedText | None:
    """A text whose words are overwritten; `None` if there are none, or if it is not plain enough.

    Not plain are escapes in strings, and whatever else begins with the letters of the words.
    """
    if (b"N" not in body and b"I" not in body) or b"\\" in body:
        return None
    text = np.frombuffer(body, np.uint8)
    found = np.flatnonzero((text == ord('"')) | (text == ord("N")) | (text == ord("I")))
    kinds = text[found]
    inside = np.cumsum(kinds == ord('"')) % 2 == 1
    letters = found[(kinds == ord("N")) & ~inside]
    infinities = found[(kinds == ord("I")) & ~inside]
    # `NaN` has its letter twice.
    nans = letters[::2]
    if not nans.size + infinities.size or not np.array_equal(letters[1::2], nans + 2):
        return None
    signs = infinities - (text[infinities - 1] == ord("-"))
    if not (
        _stand_between(text, nans, nans, _NAN)
        and _stand_between(text, signs, infinities, _INFINITY)
    ):
        return None
    changed = text.copy()
    for starts, stand_in in ((nans, _NAN_STAND_IN), (infinities, _INFINITY_STAND_IN)):
        changed[starts[:, None] + np.arange(len(stand_in))] = np.frombuffer(stand_in, np.uint8)
    return MarkedText(
        changed.data, nans.size, infinities.size, np.count_nonzero(kinds == ord('"')) // 2
    )


def _stand_between(text: np.ndarray, starts: np.ndarray, words: np.ndarray, word: bytes) -> bool:
    """Whether each is the whole word, with nothing of another value before and after it."""
    ends = words + len(word)
    if starts.size and (starts[0] < 1 or ends[-1] >= text.size):
        return False
    letters = text[words[:, None] + np.arange(len(word))]
    return bool(
        (letters == np.frombuffer(word, np.uint8)).all()
        and np.isin(text[starts - 1], list(_BEFORE)).all()
        and np.isin(text[ends], list(_AFTER)).all()
    )


def text_with_words(array: np.ndarray) -> bytes:
    """A float64 array as JSON with the words.

    >>> text_with_words(np.array([[0.5, np.nan], [np.inf, -np.inf]]))
    b'[[0.5,NaN],[Infinity,-Infinity]]'
    """
    if not array.ndim or (np.abs(array) == _LARGEST).any():
        return json.dumps(array.tolist(), separators=(",", ":")).encode()
    # NaN becomes null by itself; infinities would as well.
    infinite = np.isinf(array)
    plain = np.where(infinite, np.copysign(_LARGEST, array), array)
    text = orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY).replace(b"null", _NAN)
    if infinite.any():
        stand_in = orjson.dumps(np.array([_LARGEST]), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        text = text.replace(stand_in, _INFINITY)
    return text
