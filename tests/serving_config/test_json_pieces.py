"""A large JSON body is read piece by piece; what comes of it is as if it were read at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from serving_config.embedded import json_reader
from serving_config.embedded.failures import StatusError
from serving_config.embedded.json_reader import read_body
from serving_config.rest_json import predict_body

LARGE = predict_body("same", {"x": np.arange(60_000, dtype=np.float64) / 7})
TEXT = ('{"signature_name": "' + "é€😀" * 20_000 + '"}').encode()
BODIES = {
    "numbers": LARGE,
    "characters of several bytes": TEXT,
    "another value behind it": LARGE + b" [1]",
    "cut": LARGE[:-3],
    "a comma too many": LARGE[:-2] + b",}}",
    "no text": LARGE[:-2] + b',"y":"\xff"}}',
    "no text, cut in a character": TEXT[:-3],
    "no object": b"[" + b"1," * 50_000 + b"1]",
}


def outcome_of(body):
    try:
        document = read_body(body).document
    except StatusError as error:
        return error.code, error.text
    return "read", document


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_as_a_whole(body, monkeypatch):
    assert len(body) > json_reader._CHUNK
    in_pieces = outcome_of(body)
    monkeypatch.setattr(json_reader, "_CHUNK", len(body))
    assert in_pieces == outcome_of(body)


def test_other_threads_go_on(monkeypatch):
    """The parser asks for one piece after the other, in Python, where threads may change."""
    sizes = []
    read = json_reader._Pieces.read

    def counted(pieces, size):
        sizes.append((threading.get_ident(), size))
        return read(pieces, size)

    monkeypatch.setattr(json_reader._Pieces, "read", counted)
    read_body(LARGE)
    assert len(sizes) > len(LARGE) // json_reader._PIECE


@pytest.mark.parametrize("behind", [b"[1]", b" [1]", b"}"])
@pytest.mark.parametrize("body", [b'{"inputs": 1}', LARGE], ids=["short", "large"])
def test_what_stands_behind_the_object_is_not_read(body, behind):
    assert read_body(body + behind).document == read_body(body).document
