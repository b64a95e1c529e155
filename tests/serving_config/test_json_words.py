"""NaN and infinities in JSON, read and written as Python's own module does, only faster."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_config.json_words import marked_text, text_with_words
from serving_config.rest_json import array_text, columns_of_rows, outputs_of, parsed, read_outputs
from signatures.contract import PEAK_OPS

SMOOTHED = PEAK_OPS.signature("smooth_imgs")
NUMBERS = st.one_of(
    st.floats(width=32),
    # What stands for the words, and its neighbours.
    st.sampled_from([9e9, -9e9, 1.79e308, -1.79e308, np.finfo(float).max, -np.finfo(float).max]),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0]),
)


def read(reader, *arguments):
    """The outputs as text with every bit, or the sentence of the refusal."""
    try:
        outputs = reader(*arguments)
    except ValueError as error:
        return str(error)
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in outputs.items()}


def slowly(body, contract=None, shapes=None, *, rows=False):
    reply = json.loads(body)
    return outputs_of(columns_of_rows(reply) if rows else reply, contract, shapes or {})


@settings(deadline=None)
@given(st.lists(st.lists(NUMBERS, min_size=2, max_size=2)))
def test_arrays_are_written_as_the_json_module_writes_them(values):
    array = np.array(values, float)
    again = np.array(json.loads(array_text(array)), float).reshape(array.shape)
    # JSON has one NaN only, and it has no sign.
    same = (again == array) & (np.signbit(again) == np.signbit(array))
    assert (same | (np.isnan(again) & np.isnan(array))).all()
    if not np.isfinite(array).all():
        assert b"null" not in text_with_words(array)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_scalars_are_written(value):
    assert array_text(np.array(value, np.float32)) == json.dumps(value).encode()


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["a", "NaN", "Inf", "é", 'q"', "back\\slash"]),
        st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=1, max_size=3),
        min_size=1,
    ),
    st.sampled_from([None, 2]),
)
def test_replies_are_read_as_the_json_module_reads_them(outputs, indent):
    body = json.dumps({"outputs": outputs}, indent=indent, ensure_ascii=False).encode()
    assert read(read_outputs, body, None, {}) == read(slowly, body)


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": NUMBERS, "b": NUMBERS}), min_size=1, max_size=3))
def test_rows_are_read_as_the_json_module_reads_them(rows):
    body = json.dumps({"predictions": rows}).encode()
    fast = read(lambda: read_outputs(body, None, {}, rows=True))
    assert fast == read(lambda: slowly(body, rows=True))


@pytest.mark.parametrize(
    "text",
    [
        "[NaN]", "[ NaN , -Infinity\n]", "[1.0,Infinity]", "[9e9,NaN]", "[NaN,1.79e308]",
        "[NNN]", "[NaN5]", "[5NaN]", "[5.NaN]", "[1eNaN]", "[-NaN]", "[+Infinity]", "[Infinit]",
        "[5Infinity]", "[1e-Infinity]", "[--Infinity]", "[Infinity5]", "[NaNNaN]", "[N1aN]",
        '["NaN"]', '["NaN",NaN]', '["Infinity",1.79e308,NaN]', "[NaN,null]", "[NaN,true]",
        "[NaN,1e999]", "[[NaN],[1,2]]", "[NaN", "NaN", "N", "I",
        '["\\"",NaN]', '["x,NaN,y",9e9,NaN]', "[nan]", "[NAN]", "[Nan,NaN]",
    ],
)  # fmt: skip
def test_texts(text):
    for body in (text.encode(), f'{{"outputs":{text}}}'.encode()):
        for contract, shapes in ((None, {}), (SMOOTHED, {"smoothed": (2,)})):

            def by_parsing(body=body, contract=contract, shapes=shapes):
                return outputs_of(parsed(body), contract, shapes)

            assert read(read_outputs, body, contract, shapes) == read(by_parsing)


def test_a_number_that_looks_like_a_word_in_another_output():
    body = b'{"outputs":{"a":[9e9],"b":[NaN],"c":[1.79e308],"d":[-Infinity]}}'
    outputs = read_outputs(body, None, {})
    assert {name: array.tolist() for name, array in outputs.items() if name != "b"} == {
        "a": [9e9], "c": [1.79e308], "d": [-np.inf],
    }  # fmt: skip
    assert np.isnan(outputs["b"])


def test_a_member_twice_of_which_one_is_lost():
    body = b'{"outputs":{"a":[NaN],"a":[9e9]}}'
    assert read_outputs(body, None, {})["a"].tolist() == [9e9]


def test_maps_take_the_fast_way():
    maps = np.random.default_rng(3).random((1, 8, 8, 3), np.float32)
    maps[0, 0, 0], maps[0, 1, 1] = np.nan, (np.inf, -np.inf, 1)
    for indent in (None, 4):
        body = json.dumps({"outputs": maps.tolist()}, indent=indent).encode()
        marked = marked_text(body)
        assert marked is not None
        reply = json.loads(bytes(marked.text))
        outputs = outputs_of(reply, SMOOTHED, {"smoothed": maps.shape}, marked.restored)
        assert outputs["smoothed"].tobytes() == maps.tobytes()
        assert marked.is_restored(reply)
