"""Shared settings of the tests."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real maps and reference outputs; a visible skip without it."""
    folder = os.environ.get("PEAKSERVE_REAL_DATA")
    if not folder:
        pytest.skip("PEAKSERVE_REAL_DATA is not set: no real maps to check")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"PEAKSERVE_REAL_DATA names no folder: {path}")
    return path


def load_module(path: Path) -> ModuleType:
    """A helper module beside the tests, which are no packages."""
    spec = importlib.util.spec_from_file_location(f"peakserve_tests_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The loop reference of all functions."""
    return load_module(Path(__file__).parent / "signatures" / "reference.py")


@pytest.fixture(scope="session")
def sweep() -> ModuleType:
    """The sweep over image sizes."""
    return load_module(Path(__file__).with_name("sweep.py"))
