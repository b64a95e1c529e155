"""Which program a `--server` option names; docker by a stand-in that notes how it was called."""

from __future__ import annotations

import pytest

from serving_config.errors import ServerStartError
from serving_config.programs import (
    DOCKER,
    EMBEDDED,
    STOCK,
    find_server,
    launch_command,
    split_addresses,
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A PATH of its own; returns a function that puts a program on it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PEAKSERVE_MODEL_SERVER", raising=False)

    def install(name, script):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return install


def test_auto_takes_the_binary_where_there_is_one(machine):
    assert find_server().kind == EMBEDDED
    binary = machine("tensorflow_model_server", "echo TensorFlow ModelServer: 9.9")
    assert find_server().command == (str(binary),)
    assert find_server().version_text == "TensorFlow ModelServer: 9.9"
    assert find_server("embedded").kind == EMBEDDED


def test_the_variable_comes_before_the_path(machine, monkeypatch):
    machine("tensorflow_model_server", "")
    other = machine("other", "")
    monkeypatch.setenv("PEAKSERVE_MODEL_SERVER", str(other))
    assert find_server("binary").command == (str(other),)
    monkeypatch.setenv("PEAKSERVE_MODEL_SERVER", "/nowhere/server")
    with pytest.raises(ServerStartError, match="is not an executable file; unset it"):
        find_server()


def test_docker_is_used_only_when_asked_for_and_never_pulls(machine, tmp_path):
    calls = tmp_path / "calls"
    machine("docker", f'echo "$@" >> {calls}; echo TensorFlow ModelServer: 2.20.0')
    assert find_server().kind == EMBEDDED
    program = find_server("docker:2.20.0")
    assert (program.kind, program.image) == (DOCKER, "tensorflow/serving:2.20.0")
    assert program.version_text == "TensorFlow ModelServer: 2.20.0 in tensorflow/serving:2.20.0"
    command = launch_command(
        program, model_name="m", model_base_path=tmp_path, port=18500, rest_api_port=18501
    )
    image = command.index("tensorflow/serving:2.20.0")
    assert command[1:5] == ["run", "--rm", "--init", "--pull=never"]
    assert "--env=TF_ONEDNN_USE_SYSTEM_ALLOCATOR=true" in command[:image]
    assert "--publish=127.0.0.1:18500:18500" in command[:image]
    assert f"--mount=type=bind,source={tmp_path},target={tmp_path},readonly" in command[:image]
    assert f"--model_base_path={tmp_path}" in command[image:]
    assert "pull" not in calls.read_text().split()


def test_a_gpu_tag_gets_the_gpus(machine):
    machine("docker", "")
    assert "--gpus=all" in find_server("docker:latest-gpu").command
    assert "--gpus=all" not in find_server("docker").command


def test_a_missing_image_says_how_to_get_it(machine):
    machine("docker", "echo Error: No such image >&2; exit 1")
    with pytest.raises(
        ServerStartError, match="No such image; run: docker pull tensorflow/serving"
    ):
        find_server("docker:nope")


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("docker", "expected docker on PATH, got none"),
        ("binary", "expected tensorflow_model_server on PATH"),
        (
            "podman",
            "expected the server auto, binary, embedded, docker or docker:TAG, got 'podman'",
        ),
        ("embedded:1", "got 'embedded:1'"),
    ],
)
def test_what_is_not_there_is_one_sentence(machine, wanted, text):
    with pytest.raises(ServerStartError) as error:
        find_server(wanted)
    assert text in str(error.value)


def test_addresses():
    assert split_addresses("a:1,b:2") == ("a:1", "b:2")
    assert split_addresses("a:1") == ("a:1", None)
    assert split_addresses("docker:2") is None
    assert STOCK == "stock"
