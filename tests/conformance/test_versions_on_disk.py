"""What the server makes of directories that come and go while it polls once a second."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import contextmanager

import pytest

from .cases import F32, MISSING, matches, pattern, predict
from .disk import AVAILABLE, END, LOADING, SERVED, UNLOADED, Factory
from .endpoint import until

MODELS = (
    "names", "file", "empty", "partial", "swap", "newest_gone", "older", "random", "zero",
    "none_left", "base_gone", "no_variables",
)  # fmt: skip
FLAGS = (
    "--file_system_poll_wait_seconds=1",
    "--max_num_load_retries=1",
    "--load_retry_interval_micros=1000000",
)


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    return Factory(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def bases(factory):
    """The base path of each scenario's model; all of them begin with version 1."""
    bases = {name: factory.model(name, 1) for name in MODELS if name != "older"}
    return bases | {"older": factory.model("older", 3)}


@pytest.fixture(scope="module")
def host(factory, bases, start_server, endpoint_of):
    server = start_server("names", factory.folder, factory.config(*bases), *FLAGS)
    return endpoint_of(server)


def factor(endpoint, model: str) -> float:
    """Which version answers: each multiplies by its own number."""
    reply = endpoint.predict(predict(model=model, x=[1]))
    assert reply.code == "OK", reply
    return reply.message.outputs["y"].float_val[0]


@contextmanager
def load_on(endpoint, model: str):
    """Asks over gRPC and REST without a pause; no request may fail."""
    over, failures, factors = threading.Event(), [], set()

    def ask_grpc():
        while not over.is_set():
            reply = endpoint.predict(predict(model=model, x=F32([1])))
            if reply.code == "OK":
                factors.add(reply.message.outputs["y"].float_val[0])
            else:
                failures.append(reply)

    def ask_rest():
        while not over.is_set():
            reply = endpoint.http("POST", f"/v1/models/{model}:predict", {"inputs": [1]})
            if reply.status != 200:
                failures.append(reply)

    threads = [threading.Thread(target=ask) for ask in (ask_grpc, ask_rest)]
    for thread in threads:
        thread.start()
    try:
        yield factors
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, f"{len(failures)} requests failed, the first one: {failures[0]}"


def test_names_that_are_no_version(host, factory, bases):
    for name in ("abc", "1x", "-3", "0002.tmp", ".2", "v5"):
        factory.publish(bases["names"], name, factor=5)
    factory.publish(bases["names"], "007", factor=7)
    host.wait_for("names", {7: AVAILABLE, 1: END})
    assert factor(host, "names") == 7


def test_file_named_like_a_version(host, bases):
    path = bases["file"] / "9"
    path.write_text("not a directory")
    versions = host.wait_for("file", {9: END, 1: AVAILABLE})
    assert versions[9] == (
        END,
        "FAILED_PRECONDITION",
        "Error while attempting to reserve resources to load servable "
        f"{{name: file version: 9}}: {path}; Not a directory",
    )
    assert factor(host, "file") == 1


NO_SAVED_MODEL = (
    "Specified file path does not appear to contain a SavedModel bundle (should have a file "
    "called `saved_model.pb`)\nSpecified file path: {}"
)


def test_empty_directory_is_retried_and_given_up(host, factory, bases):
    base = bases["empty"]
    (base / "2").mkdir()
    assert host.wait_for("empty", {2: LOADING, 1: AVAILABLE})[2] == (LOADING, "OK", "")
    versions = host.wait_for("empty", {2: END, 1: AVAILABLE})
    assert versions[2] == (END, MISSING, NO_SAVED_MODEL.format(base / "2"))
    assert factor(host, "empty") == 1
    # Completed too late: only another set of wanted versions makes the server look again.
    shutil.copytree(factory.saved(2), base / "2", dirs_exist_ok=True)
    factory.publish(base, 3)
    host.wait_for("empty", {3: AVAILABLE, 2: END, 1: END})
    factory.remove(base / "3")
    host.wait_for("empty", {3: END, 2: AVAILABLE, 1: END})
    assert factor(host, "empty") == 2


def test_variables_without_saved_model(host, factory, bases):
    path = factory.publish(
        bases["partial"], 2, spoil=lambda copy: (copy / "saved_model.pb").unlink()
    )
    versions = host.wait_for("partial", {2: END, 1: AVAILABLE})
    assert versions[2] == (END, MISSING, NO_SAVED_MODEL.format(path))
    assert factor(host, "partial") == 1


NO_VARIABLE = (
    "Could not find variable …. This could mean that the variable has been deleted. In TF1, it "
    "can also mean the variable is uninitialized. Debug info: container=localhost, status error "
    "message=Container localhost does not exist. (Could not find resource: localhost/…)\n\t "
    "[[{{function_node …}}{{node …/ReadVariableOp}}]]"
)


def test_saved_model_without_variables_replaces_the_good_version(host, factory, bases):
    factory.publish(bases["no_variables"], 4, spoil=lambda copy: shutil.rmtree(copy / "variables"))
    host.wait_for("no_variables", {4: AVAILABLE, 1: END})
    reply = host.predict(predict(model="no_variables", x=[1]))
    assert reply.code == "FAILED_PRECONDITION"
    assert matches(reply.text, pattern(NO_VARIABLE)), reply.text
    reply = host.http("POST", "/v1/models/no_variables:predict", {"inputs": [1]})
    assert reply.status == 400
    assert matches(reply.error, pattern(NO_VARIABLE)), reply.error


def test_newer_version_moved_in(host, factory, bases):
    with load_on(host, "swap") as factors:
        factory.publish(bases["swap"], 2)
        versions = host.wait_for("swap", {2: AVAILABLE, 1: END})
        until(lambda: factors, lambda seen: 2 in seen)
    assert versions == {2: SERVED, 1: UNLOADED}
    assert factors == {1, 2}


def test_newest_version_deleted(host, factory, bases):
    base = bases["newest_gone"]
    factory.publish(base, 2)
    host.wait_for("newest_gone", {2: AVAILABLE, 1: END})
    with load_on(host, "newest_gone") as factors:
        factory.remove(base / "2")
        versions = host.wait_for("newest_gone", {2: END, 1: AVAILABLE})
    assert versions == {2: UNLOADED, 1: SERVED}
    assert factors <= {1, 2}
    assert factor(host, "newest_gone") == 1


def test_older_version_copied_in(host, factory, bases):
    factory.publish(bases["older"], 2)
    # Nothing happens; a newer version that is taken up proves that the server looked.
    factory.publish(bases["older"], 4)
    host.wait_for("older", {4: AVAILABLE, 3: END})
    assert factor(host, "older") == 4


def random_bytes(copy):
    (copy / "saved_model.pb").write_bytes(b"\xff\x00 no protocol buffer")


def no_bytes(copy):
    (copy / "saved_model.pb").write_bytes(b"")


@pytest.mark.parametrize(
    ("model", "spoil", "code", "text"),
    [
        ("random", random_bytes, "DATA_LOSS", "Can't parse {}/saved_model.pb as binary proto"),
        ("zero", no_bytes, MISSING,
         "Could not find meta graph def matching supplied tags: {{ serve }}. To inspect available "
         "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"),
    ],
    ids=["random-bytes", "no-bytes"],
)  # fmt: skip
def test_damaged_saved_model(host, factory, bases, model, spoil, code, text):
    path = factory.publish(bases[model], 5, spoil=spoil)
    versions = host.wait_for(model, {5: END, 1: AVAILABLE})
    assert versions[5] == (END, code, text.format(path))
    assert factor(host, model) == 1


def test_all_versions_deleted(host, factory, bases):
    base = bases["none_left"]
    factory.publish(base, 2)
    host.wait_for("none_left", {2: AVAILABLE, 1: END})
    kept = (base / "1").rename(factory.staging / "kept")
    factory.remove(base / "2")
    host.wait_for("none_left", {2: END, 1: END})
    reply = host.predict(predict(model="none_left", x=[1]))
    text = "Servable not found for request: Latest(none_left)"
    assert (reply.code, reply.text) == (MISSING, text)
    reply = host.http("POST", "/v1/models/none_left:predict", {"inputs": [1]})
    assert (reply.status, reply.error) == (404, text)
    kept.rename(base / "1")
    host.wait_for("none_left", {2: END, 1: AVAILABLE})


def test_base_path_deleted(host, factory, bases):
    base = bases["base_gone"]
    hidden = base.rename(factory.staging / "hidden")
    # Nothing to wait for: two looks at the missing path have no effect. (Nor are the new
    # versions of other models taken up meanwhile.)
    with load_on(host, "base_gone"):
        time.sleep(2.5)
    assert host.versions("base_gone") == {1: SERVED}
    hidden.rename(base)
    factory.publish(base, 2)
    host.wait_for("base_gone", {2: AVAILABLE, 1: END})
    assert factor(host, "base_gone") == 2
