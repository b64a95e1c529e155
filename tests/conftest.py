"""Shared settings of the tests."""

from __future__ import annotations

import os
from pathlib import Path

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
