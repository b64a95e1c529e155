"""What the embedded host's process keeps of the memory that it once had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
