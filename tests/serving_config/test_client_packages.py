"""The README's way to a client without TensorFlow: its list of packages is enough, and all of it.

Packages that are not on the list are hidden from the subprocesses of these tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text().split("### Client without TensorFlow\n")[1]
PACKAGES = re.search(r"pip install ((?!-)[\w -]+)\n```", SECTION)[1].split()
# What an import of each is called.
MODULES = {"grpcio": "grpc", "grpcio-channelz": "grpc_channelz", "protobuf": "google.protobuf"}
OF_CLIENT = {
    "GrpcClient": {"numpy", "grpcio", "grpcio-channelz", "protobuf"},
    "RestClient": {"numpy", "httpx", "orjson"},
}
ASK = """
import sys
import numpy as np
import serving_config
client, address = sys.argv[1:]
with getattr(serving_config, client)(address, model="m", timeout=20) as asked:
    (scaled,) = asked.predict("scale", {"x": np.ones((1, 3), np.float32), "k": np.int64(3)}).values()
    print(scaled.tolist())
    print(asked.status()[1].state)
print(sorted(name for name in %r if name in sys.modules))
""" % [MODULES.get(package, package) for package in PACKAGES]


def run(allowed, *program):
    return subprocess.run(
        [sys.executable, Path(__file__).with_name("client_only.py"), ",".join(allowed), *program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_every_client_package_is_one_of_the_projects():
    assert set(PACKAGES) == set.union(*OF_CLIENT.values())
    project = re.search(
        r"^dependencies = \[.*?^\]", (ROOT / "pyproject.toml").read_text(), re.S | re.M
    )
    required = set(re.findall(r'^  "([\w-]+)', project[0], re.M))
    # TensorFlow brings this one along.
    assert set(PACKAGES) - required == {"protobuf"}


@pytest.mark.parametrize("client", OF_CLIENT)
def test_a_client_works_with_its_packages_and_uses_them_all(client, host, tmp_path):
    program = tmp_path / "ask.py"
    program.write_text(ASK)
    address = host.grpc_address if client == "GrpcClient" else host.rest_address
    done = run(OF_CLIENT[client], program, client, address)
    assert done.returncode == 0, done.stderr
    outputs, state, used = done.stdout.splitlines()
    assert outputs == "[[6.0, 6.0, 6.0]]"
    assert state == "AVAILABLE"
    assert used == str(sorted(MODULES.get(name, name) for name in OF_CLIENT[client]))


@pytest.mark.parametrize(
    ("packages", "program", "sentence"),
    [
        ([], ["-m", "export", "--help"], "this command needs the package click,"),
        ([], ["-m", "export", "demo"], "this command needs the package click,"),
        (["click", "rich", "pyyaml"], ["-m", "export", "demo"],
         "this command needs the package tensorflow,"),
        ([], ["-m", "serving_config.embedded", "--port=0"],
         "the embedded host needs the package tensorflow,"),
    ],
    ids=["help", "demo", "demo with the command line", "embedded host"],
)  # fmt: skip
def test_what_needs_more_says_so(packages, program, sentence):
    done = run([*PACKAGES, *packages], *program)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line != "importing TensorFlow ..."]
    assert lines == [
        f"Error: {sentence} which is not installed; pip install peakserve adds all it needs"
    ]


@pytest.mark.parametrize(
    ("packages", "name", "missing"),
    [
        (PACKAGES, "signatures.smooth_imgs", "tensorflow"),
        (["numpy"], "serving_config.GrpcClient", "grpc"),
        (["numpy"], "serving_config.RestClient", "httpx"),
    ],
    ids=["eager function", "gRPC client", "REST client"],
)
def test_names_that_need_more_say_so(packages, name, missing, tmp_path):
    room, _, member = name.partition(".")
    program = tmp_path / "program.py"
    program.write_text(
        f"try:\n    from {room} import {member}\nexcept ImportError as error:\n    print(error)\n"
    )
    done = run(packages, program)
    assert done.stdout == (
        f"{name} needs the package {missing}, which is not installed; "
        "pip install peakserve adds all it needs\n"
    ), done.stderr


def test_bfloat16_says_what_it_needs(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from serving_config.tensor_types import type_of_number\n"
        "try:\n    type_of_number(14).dtype\nexcept ValueError as error:\n    print(error)\n"
    )
    done = run(PACKAGES, program)
    assert done.stdout == (
        "elements of type bfloat16 need the package ml_dtypes; pip install ml_dtypes\n"
    ), done.stderr
