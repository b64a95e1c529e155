"""Changing the list of models while the server runs."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2

from .cases import F32, INVALID, MISSING, predict
from .disk import AVAILABLE, END, SERVED, UNLOADED, Factory
from .endpoint import until
from .models import config_entry

FLAGS = ("--file_system_poll_wait_seconds=1", "--max_num_load_retries=0")
ALL_VERSIONS = "model_version_policy { all {} } "


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    factory = Factory(tmp_path_factory.mktemp("reload"))
    for name in ("a", "b", "c"):
        factory.model(name, 1, 2)
    return factory


@pytest.fixture(scope="module")
def host(factory, start_server, endpoint_of):
    return endpoint_of(start_server("b", factory.folder, factory.config("a", "b"), *FLAGS))


def request_of(*entries: str):
    text = f"config {{ model_config_list {{ {' '.join(entries)} }} }}"
    return text_format.Parse(text, model_management_pb2.ReloadConfigRequest())


def reload(endpoint, *entries: str, seconds: float = 20.0):
    return endpoint.grpc(endpoint.models.HandleReloadConfigRequest, request_of(*entries), seconds)


@pytest.fixture
def entries(factory):
    """The list that the server began with."""
    return {name: config_entry(name, factory.folder / name) for name in ("a", "b", "c")}


def accepted(reply) -> bool:
    """Whether the reply has no error, neither of the call nor inside."""
    return reply.code == "OK" and reply.message.status.error_code == 0


REFUSALS = {
    "empty-request": (
        [],
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
        "ModelConfigList is currently supported"),
    "duplicate-name": (
        ['config { name: "b" base_path: "/b" model_platform: "tensorflow" }'] * 2,
        "Illegal to list model b multiple times in config list"),
    "relative-path": (
        ['config { name: "b" base_path: "relative/path" model_platform: "tensorflow" }'],
        "Expected model b to have an absolute path or URI; got base_path()=relative/path"),
    "other-platform": (
        ['config { name: "b" base_path: "/b" model_platform: "bogus" }'],
        "Illegal to change a model's platform. For model b platform was tensorflow and new "
        "platform requested is bogus"),
}  # fmt: skip


@pytest.mark.parametrize(("listed", "text"), REFUSALS.values(), ids=REFUSALS)
def test_refused(host, listed, text):
    request = request_of(*listed) if listed else model_management_pb2.ReloadConfigRequest()
    reply = host.grpc(host.models.HandleReloadConfigRequest, request)
    assert (reply.code, reply.text) == (INVALID, text)
    assert host.versions("b") == {2: SERVED}


def test_dropped_model_is_unloaded_and_comes_back(host, entries):
    assert accepted(reload(host, entries["b"]))
    versions = until(lambda: host.versions("a"), lambda seen: seen[2][0] == END)
    assert versions == {2: UNLOADED}
    text = "Servable not found for request: Latest(a)"
    reply = host.predict(predict(model="a", x=[1]))
    assert (reply.code, reply.text) == (MISSING, text)
    reply = host.http("POST", "/v1/models/a:predict", {"inputs": [1]})
    assert (reply.status, reply.error) == (404, text)
    assert accepted(reload(host, entries["a"], entries["b"]))
    assert host.predict(predict(model="a", x=[1])).code == "OK"


def test_added_model_answers_at_once(host, entries):
    assert accepted(reload(host, *entries.values()))
    assert host.predict(predict(model="c", x=[1])).code == "OK"


def test_policy_and_labels(host, factory, entries):
    base = factory.folder / "a"
    assert accepted(reload(host, config_entry("a", base, ALL_VERSIONS), entries["b"]))
    host.wait_for("a", {2: AVAILABLE, 1: AVAILABLE})
    label = 'version_labels { key: "stable" value: 1 } '
    assert accepted(reload(host, config_entry("a", base, ALL_VERSIONS + label), entries["b"]))
    reply = host.predict(predict(model="a", label="stable", x=F32([1])))
    assert reply.message.outputs["y"].float_val == [1]
    assert reply.message.model_spec.version.value == 1


def test_label_of_a_version_that_is_not_served(host, factory, entries):
    label = ALL_VERSIONS + 'version_labels { key: "new" value: 9 } '
    reply = reload(host, config_entry("a", factory.folder / "a", label), entries["b"])
    assert (reply.code, reply.text) == (
        "FAILED_PRECONDITION",
        "Request to assign label to version 9 of model a, which is not currently available for "
        "inference",
    )


def test_path_without_a_model_blocks_until_the_deadline(host, factory, entries):
    # The last test with this server: the call goes on inside.
    missing = config_entry("d", factory.folder / "missing")
    reply = reload(host, entries["a"], entries["b"], missing, seconds=1.5)
    assert reply.code == "DEADLINE_EXCEEDED"
    assert host.predict(predict(model="b", x=[1])).code == "OK"


def test_polled_file_undoes_a_reload(factory, entries, start_server, endpoint_of):
    poll = "--model_config_file_poll_wait_seconds=1"
    server = start_server("b", factory.folder, factory.config("a", "b"), *FLAGS, poll)
    endpoint = endpoint_of(server)
    assert accepted(reload(endpoint, *entries.values()))
    endpoint.wait_for("c", {2: END})
    # And what is written into it is taken up.
    factory.config("b", "c")
    endpoint.wait_for("a", {2: END})
    endpoint.wait_for("c", {2: AVAILABLE})
