"""Replies that are scanned are read as the official classes read them, whatever their bytes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_config import wire
from serving_config.framing import framed, map_entry, tensor_parts, varint
from serving_config.reply_scan import scan_reply
from serving_config.tensor_types import TENSOR_TYPES
from serving_config.wire import ModelQuery

from .tensors import arrays, same_bits

QUERY = ModelQuery("m", version=3, signature="s")
FLOATS = np.float32([[1.5, -0.0], [np.nan, np.inf]])


def read(message, at_least):
    """The outputs, or the sentence of the refusal."""
    kept, wire.SCANNED_BYTES = wire.SCANNED_BYTES, at_least
    try:
        return wire.read_predict_reply(message)
    except ValueError as error:
        return str(error)
    finally:
        wire.SCANNED_BYTES = kept


def same_both_ways(message):
    """Whether scanned and parsed agree; returns what they say."""
    scanned, parsed = read(message, 0), read(message, 1 << 40)
    if isinstance(parsed, str):
        assert scanned == parsed
        return parsed
    assert not isinstance(scanned, str), scanned
    assert list(scanned) == list(parsed)
    for name, array in parsed.items():
        assert same_bits(scanned[name], array)
        assert scanned[name].flags.writeable
        assert scanned[name].flags.aligned
    return parsed


def output(name, array, *, as_content=False):
    return b"".join(map_entry(1, name, tensor_parts(array, as_content=as_content)))


def entry(name, tensor):
    """An output whose tensor is the given bytes."""
    return b"".join(map_entry(1, name, [tensor]))


def field(number, content):
    return b"".join(framed(number, [content]))


@pytest.mark.parametrize("as_content", [True, False], ids=["content", "typed"])
@pytest.mark.parametrize("kind", TENSOR_TYPES, ids=lambda kind: kind.name)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_type(kind, as_content, data):
    message = output("b", data.draw(arrays(kind)), as_content=as_content) + output("a", FLOATS)
    assert list(same_both_ways(message + field(2, b"\n\x01m"))) == ["a", "b"]
    assert scan_reply(message) is not None


@pytest.mark.parametrize("kind", ["float32", "float64", "complex64", "complex128"])
def test_payloads_are_views_of_the_reply(kind):
    message = wire.predict_reply(QUERY, {"a": np.ones((2, 3), kind)})
    (payload,) = scan_reply(message).tensors["a"].payloads.values()
    assert payload.obj is message
    assert np.frombuffer(payload, kind).tolist() == [1] * 6


FLOAT, SHAPE_2 = b"\x08\x01", field(2, field(2, b"\x08\x02"))
TWO = np.float32([1, 2]).tobytes()
TYPED, CONTENT = field(5, TWO), field(4, TWO)
WHOLE = FLOAT + SHAPE_2 + TYPED
UNUSUAL = {
    "nothing": b"",
    "an empty tensor": entry("a", b""),
    "a scalar": entry("a", FLOAT + field(5, TWO[:4])),
    "no values": entry("a", FLOAT + SHAPE_2),
    "an empty payload": entry("a", FLOAT + SHAPE_2 + field(5, b"")),
    "empty content": entry("a", FLOAT + SHAPE_2 + field(4, b"") + TYPED),
    "content and values": entry("a", WHOLE + CONTENT),
    "fields in another order": entry("a", TYPED + SHAPE_2 + FLOAT),
    "a payload in the middle": entry("a", FLOAT + TYPED + SHAPE_2 + b"\x18\x07"),
    "values of another type": entry("a", FLOAT + SHAPE_2 + field(6, TWO)),
    "fewer values": entry("a", FLOAT + SHAPE_2 + field(5, TWO[:4])),
    "more values": entry("a", FLOAT + field(2, field(2, b"\x08\x01")) + TYPED),
    "values in two pieces": entry("a", FLOAT + SHAPE_2 + field(5, TWO[:4]) + field(5, TWO[4:])),
    "values not packed": entry("a", FLOAT + SHAPE_2 + b"\x2d" + TWO[:4] + b"\x2d" + TWO[4:]),
    "packed and not": entry("a", FLOAT + SHAPE_2 + field(5, TWO[:4]) + b"\x2d" + TWO[4:]),
    "content twice": entry("a", FLOAT + SHAPE_2 + CONTENT + field(4, TWO[::-1])),
    "content, then none": entry("a", FLOAT + SHAPE_2 + CONTENT + field(4, b"")),
    "content too short": entry("a", FLOAT + SHAPE_2 + field(4, TWO[:5])),
    "half a value": entry("a", FLOAT + SHAPE_2 + field(5, TWO[:6])),
    "half a complex value": entry("a", b"\x08\x08" + SHAPE_2 + field(9, TWO + TWO[:4])),
    "another wire type for content": entry("a", WHOLE + b"\x20\x07"),
    "an unknown field in the tensor": entry("a", WHOLE + b"\xf8\x7f\x01"),
    "a group in the tensor": entry("a", WHOLE + b"\x9b\x03\x9c\x03"),
    "a group that does not end": entry("a", WHOLE + b"\x9b\x03"),
    "field 0 in the tensor": entry("a", WHOLE + b"\x02\x00"),
    "a long varint": entry("a", b"\x08\x81\x80\x80\x80\x00" + SHAPE_2 + TYPED),
    "a varint of 11 bytes": entry("a", b"\x08" + b"\x81" * 10 + b"\x00" + SHAPE_2 + TYPED),
    "a tag in a long form": entry("a", FLOAT + SHAPE_2 + b"\xaa\x00\x08" + TWO),
    "a length in a long form": entry("a", FLOAT + SHAPE_2 + b"\x2a\x88\x00" + TWO),
    "a length beyond the end": entry("a", FLOAT + SHAPE_2 + b"\x2a\x09" + TWO),
    "a huge length": entry("a", FLOAT + b"\x2a\xff\xff\xff\xff\xff\x7f" + TWO),
    "a length of 2^31": entry("a", FLOAT + b"\x2a\x80\x80\x80\x80\x08" + TWO),
    "an unknown rank": entry("a", FLOAT + field(2, b"\x18\x01") + TYPED),
    "no such type": entry("a", b"\x08\x63" + SHAPE_2 + TYPED),
    "a string": entry("a", b"\x08\x07" + SHAPE_2 + field(8, b"x") + field(8, b"y")),
    "a tensor that is none, then one": entry("b", b"\x0a\xff") + entry("a", WHOLE),
    "the name last": field(1, field(2, WHOLE) + field(1, b"a")),
    "no name": field(1, field(2, WHOLE)),
    "no tensor": field(1, field(1, b"a")),
    "two names": field(1, field(1, b"a") + field(1, b"b") + field(2, WHOLE)),
    "two tensors": field(1, field(1, b"a") + field(2, FLOAT) + field(2, SHAPE_2 + TYPED)),
    "a name that is no text": field(1, field(1, b"\xff") + field(2, WHOLE)),
    "half a surrogate pair": field(1, field(1, b"\xed\xa0\x80") + field(2, WHOLE)),
    "an unknown field in an output": field(1, field(1, b"a") + field(2, WHOLE) + b"\x18\x01"),
    "an output twice": entry("a", WHOLE) + entry("a", FLOAT + field(5, TWO[:4])),
    "an unknown field": entry("a", WHOLE) + b"\xf8\x7f\x01",
    "an output that is no message": entry("a", WHOLE) + b"\x08\x01",
    "two model specs": entry("a", WHOLE) + field(2, b"\n\x01m") + field(2, b"\n\x01n"),
    "a model spec that is none": entry("a", WHOLE) + field(2, b"\n\x05m"),
    "a model's name that is no text": entry("a", WHOLE) + field(2, b"\n\x01\xff"),
    "cut off": entry("a", WHOLE)[:-1],
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual(name):
    same_both_ways(UNUSUAL[name])


REPLY = wire.predict_reply(
    QUERY,
    {"points": FLOATS, "valid": np.array([True, False]), "count": np.int64([-1]),
     "names": np.array([b"x", b"y"], object), "exact": np.float64(0.5)},
) + output("content", FLOATS, as_content=True)  # fmt: skip
PLACES = st.integers(0, len(REPLY))
CHANGES = st.one_of(
    # A byte, mostly one that means something: a tag, a length.
    st.tuples(st.just("set"), PLACES, st.one_of(st.integers(0, 255), st.integers(0, 50))),
    st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=6)),
    st.tuples(st.just("delete"), PLACES, st.integers(1, 20)),
    st.tuples(st.just("repeat"), PLACES, st.integers(1, 60)),
)


def changed(message, change):
    kind, place, what = change
    if kind == "set":
        return message[:place] + bytes([what]) + message[place + 1 :]
    if kind == "insert":
        return message[:place] + what + message[place:]
    if kind == "delete":
        return message[:place] + message[place + what :]
    return message[: place + what] + message[place:]


@settings(max_examples=400, deadline=None)
@given(changes=st.lists(CHANGES, min_size=1, max_size=3))
def test_changed_replies(changes):
    message = REPLY
    for change in changes:
        message = changed(message, change)
    same_both_ways(message)


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(CHANGES, max_size=3), name=st.text(max_size=2))
def test_changed_tensors_in_right_frames(changes, name):
    """The frames are made anew, so that what is changed is looked at at all."""
    tensor = WHOLE + CONTENT
    for change in changes:
        tensor = changed(tensor, (change[0], change[1] % (len(tensor) + 1), change[2]))
    same_both_ways(entry(name, tensor) + output("other", FLOATS))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(message):
    same_both_ways(message)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 7), st.binary(max_size=9))))
def test_any_fields(fields):
    """Tensors of well-framed fields in any order, also with wire types that do not fit."""
    tensor = b"".join(
        varint(number << 3 | kind) + (varint(len(body)) + body if kind == 2 else body)
        for number, kind, body in fields
    )
    same_both_ways(entry("a", tensor))


def copies(make, payload):
    """The most that is allocated at a time, in payloads. Protocol buffers' own is not counted."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = make()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del kept
    return (peak - before) / payload


@pytest.mark.parametrize("samples", [1, 104], ids=["0.3 MB", "31 MB"])
def test_one_copy_each_way(samples):
    maps = np.zeros((samples, 68, 64, 17), np.float32)
    typed = wire.predict_reply(QUERY, {"maps": maps})
    content = output("maps", maps, as_content=True)
    assert copies(lambda: wire.predict_request(QUERY, {"maps": maps}), maps.nbytes) < 1.3
    assert copies(lambda: wire.read_predict_reply(typed), maps.nbytes) < 1.3
    assert copies(lambda: wire.read_predict_reply(content), maps.nbytes) < 1.3
