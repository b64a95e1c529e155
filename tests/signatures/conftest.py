"""Makes the loop reference importable as a fixture, since tests are no packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The loop reference of all functions."""
    path = Path(__file__).with_name("reference.py")
    spec = importlib.util.spec_from_file_location("loop_reference", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
