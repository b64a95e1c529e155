"""Warm-up records: a bad one keeps a version from loading."""

from __future__ import annotations

import pytest

from .cases import FAILED, INVALID, NODE, matches, pattern
from .disk import AVAILABLE, END, Factory
from .warm_up import FILE, warm_up

FLAGS = (
    "--file_system_poll_wait_seconds=1",
    "--max_num_load_retries=0",
    "--load_retry_interval_micros=0",
)
VERIFY = "Please verify your warmup data is in TFRecord format."
BAD = {
    "unknown-signature": (FAILED, 'Serving signature key "nope" not found.'),
    "missing-input": (INVALID, "input size does not match signature: 0!=1 len({}) != len({x}). "
                               "Sent extra: {}. Missing but required: {x}."),
    "graph-error": (INVALID, "Shape of tensor _arg_… [2,2] is not compatible with expected shape "
                             "[?]." + NODE),
    "undecodable": (INVALID, "Failed to parse warmup record: garbage from …/" + FILE),
    "too-many": (INVALID, "Number of warmup records exceeds the maximum (1000) at …/" + FILE),
    "truncated": ("DATA_LOSS", "truncated record at …' failed with Read less bytes than "
                               "requested. " + VERIFY),
    "no-tfrecord": ("DATA_LOSS", "corrupted record at 0 (Is this even a TFRecord file?). "
                                 + VERIFY),
}  # fmt: skip
GOOD = ("good", "empty-file", "no-log-type", "another-model", "thousand")


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    return Factory(tmp_path_factory.mktemp("warm_up"))


@pytest.fixture(scope="module")
def host(factory, start_server, endpoint_of):
    """A server to which every kind of record has been given, each to a model of its own."""
    names = [*BAD, *GOOD]
    bases = {name: factory.model(name, 1) for name in names}
    server = start_server("good", factory.folder, factory.config(*names), *FLAGS)
    for name, base in bases.items():
        factory.publish(base, 2, spoil=warm_up(name))
    return endpoint_of(server)


@pytest.mark.parametrize("name", BAD)
def test_bad_records_keep_a_version_from_loading(host, name):
    code, text = BAD[name]
    state, error_code, message = host.wait_for(name, {2: END, 1: AVAILABLE})[2]
    assert (state, error_code) == (END, code), message
    assert matches(message, pattern(text)), message


@pytest.mark.parametrize("name", GOOD)
def test_records_that_do_no_harm(host, name):
    host.wait_for(name, {2: AVAILABLE, 1: END})


def test_warm_up_can_be_turned_off(factory, start_server):
    base = factory.model("turned_off")
    factory.publish(base, 1, spoil=warm_up("unknown-signature"))
    start_server("turned_off", base, *FLAGS, "--enable_model_warmup=false")
