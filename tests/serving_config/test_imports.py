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


@pytest.mark.parametrize("name", serving_config.__all__)
def test_every_public_name_resolves(name):
    assert getattr(serving_config, name).__name__ == name
    assert name in dir(serving_config)


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = serving_config.nope


def test_only_the_wire_module_and_the_host_know_tensorflow():
    for path in (ROOT / "serving_config").glob("*.py"):
        if path.name not in ("wire.py", "quiet.py"):
            # The messages of configurations, unlike those of requests, do not import TensorFlow.
            text = path.read_text().replace("from tensorflow_serving.config import", "")
            assert "import tensorflow" not in text, path
            assert "from tensorflow" not in text, path
