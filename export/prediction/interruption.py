"""Ctrl-C, kept away from what must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """Raises `KeyboardInterrupt` on Ctrl-C, but inside `shielded` only when that is done.

    A second Ctrl-C is never held back. Outside the main thread, where Python allows no handler,
    it does nothing.
    """

    def __init__(self) -> None:
        self._happened = self._is_shielded = False
        self._before: Any = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self._happened = self._happened, True
        if again or not self._is_shielded:
            raise KeyboardInterrupt

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Inside, a first Ctrl-C waits for the end."""
        before = self._happened
        self._is_shielded = True
        try:
            yield
        finally:
            self._is_shielded = False
        if self._happened and not before:
            raise KeyboardInterrupt
