"""Moving labels on a running server: three steps, no failed request, and no half measures."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tensorflow as tf

from export.hosting import hosted
from export.rollout import LOCK_FILE, Rollout
from export.served_models import alone, served_models
from export.store import StoreError
from export.version_labels import labels_in
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.models_config import MODELS_CONFIG, ServedModel, models_config_text
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST, find_server


def save_version(root, number, *, loads=True):
    """A version that says its number."""
    directory = root / "m" / str(number)
    if not loads:
        directory.mkdir(parents=True)
        (directory / "saved_model.pb").write_bytes(b"\xff" * 100)
        return
    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"version": tf.zeros_like(x) + float(number)},
        input_signature=[tf.TensorSpec([None], name="x")],
    )
    tf.saved_model.save(module, str(directory), signatures={"serving_default": module.serve})


@pytest.fixture(scope="module", params=["embedded", "stock"])
def program(request):
    program = EMBEDDED_HOST if request.param == "embedded" else find_server()
    if program.kind != request.param:
        pytest.skip("no stock server: no binary on PATH or in PEAKSERVE_MODEL_SERVER")
    return program


@pytest.fixture
def store(tmp_path):
    root = tmp_path / "models"
    for number in (1, 2):
        save_version(root, number)
    labels_in(root, "m").move("stable", 1)
    return root


def start(program, store, config_dir, *flags):
    path = config_dir / MODELS_CONFIG
    path.write_text(models_config_text(served_models(store)))
    flags = (
        f"--model_config_file={path}",
        "--allow_version_labels_for_unavailable_models=true",
        "--file_system_poll_wait_seconds=1",
        "--max_num_load_retries=0",
        *flags,
    )
    return ModelServer("m", store / "m", program=program, extra_flags=flags)


def rollout(store, address, config_dir=None, timeout=20.0):
    told = []
    return Rollout(store, "m", [address], config_dir, timeout, told.append), told


def test_clients_of_a_label_never_fail_while_it_moves(program, store, tmp_path, tell):
    """Promoted, rolled back and promoted again under load."""
    with start(program, store, tmp_path) as server:
        stop, answers, failed = threading.Event(), [], []

        def ask():
            with GrpcClient(server.grpc_address, model="m", contracts={}) as client:
                while not stop.is_set():
                    try:
                        reply = client.predict("", {"x": np.zeros(1, np.float32)}, label="stable")
                        answers.append(float(reply["version"][0]))
                    except ServingError as error:
                        failed.append(error)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        move, told = rollout(store, server.grpc_address)
        for act in (
            lambda: move.promote("stable", 2),
            lambda: move.roll_back("stable"),
            lambda: move.promote("stable", 2),
        ):
            act()
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed
    assert set(answers) == {1.0, 2.0}
    assert answers[0] == 1.0
    assert answers[-1] == 2.0
    assert "stable is m 2, was 1" in told
    assert "stable is m 1 again, was 2" in told
    tell(f"{program.kind}: 0 of {len(answers)} requests failed while a label moved three times")


def test_a_version_that_does_not_load_moves_nothing(program, store, tmp_path):
    save_version(store, 3, loads=False)
    with start(program, store, tmp_path) as server:
        move, _ = rollout(store, server.grpc_address, timeout=5.0)
        with pytest.raises(ServingError):
            move.promote("stable", 3)
        state = labels_in(store, "m").read()
        assert (state.labels, state.loading) == ({"stable": 1}, [])
        with GrpcClient(server.grpc_address, model="m", contracts={}) as client:
            inputs = {"x": np.zeros(1, np.float32)}
            assert client.predict("", inputs, label="stable")["version"] == [1]
            move.promote("canary", 2)
            assert client.predict("", inputs, label="canary")["version"] == [2]
            move.unlabel("canary")
            with pytest.raises(ServingError, match="label"):
                client.predict("", inputs, label="canary")


def test_a_server_that_polls_its_file_follows(program, store, tmp_path):
    """The file is written at each step; the server reads it by itself."""
    with start(program, store, tmp_path, "--model_config_file_poll_wait_seconds=1") as server:
        move, _ = rollout(store, server.grpc_address, config_dir=tmp_path)
        move.promote("stable", 2)
        with GrpcClient(server.grpc_address, model="m", contracts={}) as client:
            inputs = {"x": np.zeros(1, np.float32)}
            assert client.predict("", inputs, label="stable")["version"] == [2]
    text = (tmp_path / MODELS_CONFIG).read_text()
    assert text == models_config_text(served_models(store))
    assert "versions: 2" in text
    assert "versions: 1" not in text


def test_a_server_that_is_not_there_moves_nothing(store):
    move, _ = rollout(store, "127.0.0.1:1", timeout=2.0)
    with pytest.raises(ServingError):
        move.promote("stable", 2)
    assert labels_in(store, "m").read().labels == {"stable": 1}


def test_the_first_label_of_an_older_version(program, tmp_path):
    """Until something is labelled clients ask for the newest, which the server keeps meanwhile."""
    root = tmp_path / "models"
    for number in (1, 2):
        save_version(root, number)
    with start(program, root, tmp_path) as server:
        move, told = rollout(root, server.grpc_address)
        move.promote("stable", 1)
        with GrpcClient(server.grpc_address, model="m", contracts={}) as client:
            inputs = {"x": np.zeros(1, np.float32)}
            assert client.predict("", inputs, label="stable")["version"] == [1]
    assert told[-1] == "stable is m 1"


def test_the_newest_is_served_until_there_is_a_label(store, tmp_path):
    labels = labels_in(store, "m")
    labels.remove("stable")
    labels.forget()
    assert served_models(store)[0].versions == ()
    labels.announce(1)
    assert served_models(store)[0].versions == (1, 2)
    assert served_models(store, settled="m")[0].versions == ()


def test_one_rollout_at_a_time(store):
    """A second one says that it waits, and goes on with what the first one left."""
    told, second = [], threading.Event()

    def tell(line):
        told.append(line)
        second.set()

    lock = store / "m" / LOCK_FILE
    lock.touch()
    with alone(lock, tell):
        thread = threading.Thread(
            target=Rollout(store, "m", [], None, 1.0, tell).promote, args=("stable", 2)
        )
        thread.start()
        assert second.wait(timeout=30)
        assert labels_in(store, "m").read().labels == {"stable": 1}
    thread.join(timeout=30)
    assert told == [
        f"another process moves labels in {store / 'm'}: waiting until it has ended",
        "stable is m 2, was 1",
    ]


def test_without_servers_only_the_store_changes(store):
    told = []
    Rollout(store, "m", [], None, 1.0, told.append).promote("canary", 2)
    assert told == ["canary is m 2"]
    (model,) = served_models(store)
    assert (model.name, model.versions, model.labels) == ("m", (1, 2), {"stable": 1, "canary": 2})


def test_a_label_that_was_taken_away_is_rolled_back_to(store):
    told = []
    rollout = Rollout(store, "m", [], None, 1.0, told.append)
    assert rollout.unlabel("stable") == 1
    assert rollout.roll_back("stable") == (1, None)
    assert told == ["stable is no longer a label of m", "stable is m 1 again"]


def test_a_root_without_models_is_said(tmp_path):
    with pytest.raises(StoreError, match="no model with a version"):
        served_models(tmp_path)


def test_paths_and_names_survive_the_text(tmp_path):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    path = tmp_path / 'with "quotes" and spaces'
    text = models_config_text([ServedModel("a'b", path, (1, 3), {"stable": 3})])
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.base_path, entry.model_platform) == ("a'b", str(path), "tensorflow")
    assert list(entry.model_version_policy.specific.versions) == [1, 3]
    assert dict(entry.version_labels) == {"stable": 3}
    with pytest.raises(ValueError, match="expected an absolute path"):
        models_config_text([ServedModel("m", path.relative_to(tmp_path))])
    with pytest.raises(ValueError, match="expected label stable on one of"):
        models_config_text([ServedModel("m", path, (1,), {"stable": 2})])


def test_a_server_is_started_on_the_version_that_is_asked_for(program, store):
    server = "embedded" if program.kind == "embedded" else "binary"
    with (
        hosted(server, "m", store / "m", 1) as host,
        GrpcClient(host.grpc_address, model="m", contracts={}) as client,
    ):
        answer = client.predict("", {"x": np.zeros(1, np.float32)}, version=1)
    assert answer["version"] == [1]
