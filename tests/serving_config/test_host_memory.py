"""What the embedded host's process keeps of the memory that it once had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serving_config.embedded import __main__ as program

ARENAS = """
import ctypes, threading
from serving_config.embedded.memory import keep_less_memory
keep_less_memory()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
wait = threading.Barrier(33)
def work():
    library.malloc(1000)
    wait.wait()
threads = [threading.Thread(target=work) for _ in range(32)]
for thread in threads:
    thread.start()
wait.wait()
library.malloc_stats()
"""


def test_threads_share_two_heaps():
    """Each of the others would keep what was freed in it."""
    done = subprocess.run(
        [sys.executable, "-c", ARENAS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Arena 0:" in done.stderr
    assert done.stderr.count("Arena ") <= 2


def test_the_host_has_it_so_before_there_are_threads(monkeypatch):
    steps = []

    def stop():
        steps.append("TensorFlow")
        raise SystemExit

    monkeypatch.setattr(program, "keep_less_memory", lambda: steps.append("heaps"))
    monkeypatch.setattr(program, "import_tensorflow", stop)
    with pytest.raises(SystemExit):
        program.main(["--port=0"])
    assert steps == ["heaps", "TensorFlow"]
