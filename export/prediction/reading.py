"""Reading on to a failure, so that what came before it is not lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class UntilFailure(Generic[Item]):
    """Iterates as another does; what that raises is an end, and is raised when it is asked for.

    >>> reading = UntilFailure(1 // divisor for divisor in (1, 0))
    >>> list(reading)
    [1]
    >>> reading.raise_failure()
    Traceback (most recent call last):
    ZeroDivisionError: integer division or modulo by zero
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self._failure: Exception | None = None

    def __iter__(self) -> Iterator[Item]:
        try:
            yield from self._items
        except Exception as error:
            self._failure = error

    def raise_failure(self) -> None:
        """Raises what ended the iteration, if anything did."""
        if self._failure is not None:
            raise self._failure
