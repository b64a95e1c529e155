"""The memory of the process: what the C library keeps of it, and how it gives it back."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator

_M_ARENA_MAX = -8
_ARENAS = 2


def keep_less_memory() -> None:
    """Has all threads share two heaps. Called before there are any.

    By default the C library (glibc) gives threads heaps of their own, up to eight for each core,
    and keeps what is freed in them: 32,500 requests of every kind over REST took 45 MB more
    memory with two heaps, 107 MB without, from a start that was 180 MB lower.
    """
    with _c_library() as library:
        library.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back_memory() -> None:
    """Returns to the system what a servable that was closed and dropped has left behind."""
    # Graphs and sessions refer to one another; and the allocator keeps what it once got.
    gc.collect()
    with _c_library() as library:
        library.malloc_trim(0)


@contextlib.contextmanager
def _c_library() -> Iterator[ctypes.CDLL]:
    """The C library; what it does not have is left out."""
    with contextlib.suppress(OSError, AttributeError):
        yield ctypes.CDLL(None)
