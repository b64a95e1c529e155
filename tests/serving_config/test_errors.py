"""Errors: one sentence out of whatever a server says."""

from __future__ import annotations

import pytest

from serving_config.errors import (
    HTTP_STATUS_OF_CODE,
    InvalidReplyError,
    ServerStartError,
    ServingError,
    code_of_http_status,
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("assertion failed: [a] [3] [b]\n\t [[{{node Assert}}]]", "a 3 b"),
        ("assertion failed: [peaks: sample index outside imgs; row] [3] [got] [7]",
         "peaks: sample index outside imgs; row 3 got 7"),
        ("Shape of tensor x [1,3] is not compatible with expected shape [?,4].\n\t [[{{node E}}]]",
         "Shape of tensor x [1,3] is not compatible with expected shape [?,4]."),
        ("Graph execution error:\n\nDetected at node Assert defined at (most recent call last):\n"
         "  File x\nassertion failed: [k] [4]\n\t [[{{node Assert}}]] [Op:__inference_f_1]", "k 4"),
        ("first line\nsecond line", "first line second line"),
        ("", "the server gave no reason"),
    ],
    ids=["assert", "guard", "shape", "python", "lines", "empty"],
)  # fmt: skip
def test_sentences(text, sentence):
    error = ServingError(text, code="INVALID_ARGUMENT", transport="gRPC", signature="s")
    assert error.sentence == sentence
    assert error.server_text == text
    assert str(error) == f"s over gRPC: INVALID_ARGUMENT: {sentence}"
    assert "\n" not in str(error)


def test_long_texts_are_cut():
    assert len(ServingError("x" * 5000, code="UNKNOWN", transport="REST").sentence) < 700


@pytest.mark.parametrize("code", HTTP_STATUS_OF_CODE)
def test_http_statuses_map_back_to_a_code_with_the_same_status(code):
    status = HTTP_STATUS_OF_CODE[code]
    assert HTTP_STATUS_OF_CODE[code_of_http_status(status)] == status


def test_the_named_mappings():
    named = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 504: "DEADLINE_EXCEEDED",
             429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}  # fmt: skip
    assert {status: code_of_http_status(status) for status in named} == named


def test_a_bad_reply_is_a_serving_error():
    assert isinstance(InvalidReplyError("x", transport="REST"), ServingError)


def test_a_failed_start_shows_command_and_log():
    error = ServerStartError("it died", command=["a", "b"], log_tail="boom")
    assert str(error) == "it died\ncommand: a b\nend of its log:\nboom"
