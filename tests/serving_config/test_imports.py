"""Importing is cheap: what the command line imports at start-up pulls in neither TF nor gRPC."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import serving_config

ROOT = Path(serving_config.__file__).parents[1]
CHEAP = ["serving_config", "serving_config.containers", "serving_config.errors",
         "serving_config.models_config", "serving_config.monitoring", "serving_config.process",
         "serving_config.programs", "serving_config.status"]  # fmt: skip


def test_cheap_modules():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        f"for name in {CHEAP}: __import__(name)\n"
        "print([name for name in ('tensorflow', 'grpc', 'httpx', 'uvicorn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Each costs milliseconds that a program pays before its first request, needed or not.
NOT_FOR_GRPC = ["click", "google.protobuf.descriptor_pb2", "google.protobuf.text_format",
                "grpc_channelz", "httpx", "orjson", "rapidjson", "rich", "serving_config.wire",
                "tensorflow", "yaml"]  # fmt: skip


def test_the_grpc_client_is_imported_without_what_it_does_not_need_yet():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from serving_config import GrpcClient\n"
        f"print([name for name in {NOT_FOR_GRPC} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", serving_config.__all__)
def test_every_public_name_resolves(name):
    assert getattr(serving_config, name).__name__ == name
    assert name in dir(serving_config)


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = serving_config.nope


def test_only_the_host_knows_tensorflow():
    for path in (ROOT / "serving_config").glob("*.py"):
        if path.name != "quiet.py":
            text = path.read_text()
            assert "import tensorflow" not in text, path
            assert "from tensorflow" not in text, path


# Nobody listens: the request is made, sent and refused.
ASK = """
import sys
sys.path.insert(0, {root!r})
import numpy as np
from serving_config import GrpcClient, RestClient, ServingError
imgs = np.array([[[[1], [np.nan]]]], np.float32)
client = {client}("127.0.0.1:9")
try:
    client.predict("smooth_imgs", {{"imgs": imgs}})
except ServingError as error:
    print(error.code)
client.close()
{more}
print(sorted(name for name in sys.modules if name.startswith("tensorflow")))
"""
READ = """
from serving_config import wire
query = wire.ModelQuery("m", version=1)
print(wire.read_predict_reply(wire.predict_reply(query, {"out": imgs}))["out"].shape)
print(len(wire.reload_request('model_config_list { config { name: "m" } }')))
"""


@pytest.mark.parametrize(
    ("client", "more", "printed"),
    [
        ("GrpcClient", READ, ["UNAVAILABLE", "(1, 1, 2, 1)", "9", "[]"]),
        ("RestClient", "", ["UNAVAILABLE", "[]"]),
    ],
    ids=["gRPC", "REST"],
)
def test_a_request_needs_no_tensorflow(client, more, printed):
    code = ASK.format(root=str(ROOT), client=client, more=more)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == printed


def test_tensorflow_is_imported_without_keras_which_can_still_be():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from serving_config.quiet import import_tensorflow\n"
        "import_tensorflow()\n"
        "print([name for name in ('keras', 'keras.src', 'matplotlib') if name in sys.modules])\n"
        "import tensorflow as tf\n"
        "print(tf.keras.layers.Dense.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "Dense"]
