"""Requests in flight: a bounded window of them, answers in order, a lost server waited for."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from export.prediction.batches import Batch
from export.prediction.reading import UntilFailure
from export.prediction.replies import Answer, read_answer
from export.prediction.served import Chosen
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient

_LOST = "UNAVAILABLE"
# Seconds after which Python looks for signals.
_LONGEST_WAIT = 0.2


class Asking:
    """Sends batches; where no server answers any more, waits for one. Usable from several threads.

    Args:
      client: The client; nothing is checked that its contracts do not say.
      chosen: The signature.
      retry_for: Seconds after which a server that went away is given up.
      has_answered: Whether the server has answered something already.
      tell: Gets one line when the server is lost, and one when it is back.
      which: `version` or `label`, handed to the client.
    """

    def __init__(
        self,
        client: GrpcClient,
        chosen: Chosen,
        *,
        retry_for: float,
        has_answered: bool,
        tell: Callable[[str], None],
        which: Mapping[str, Any],
    ) -> None:
        self._client = client
        self._chosen = chosen
        self._retry_for = retry_for
        self._tell = tell
        self._which = which
        self._lock = threading.Lock()
        # Before a server has answered, an address where nobody ever was is said at once.
        self._is_known = has_answered
        # When a server that had answered went away.
        self._lost: float | None = None

    def __call__(self, batch: Batch) -> Answer:
        """Sends one batch until it is answered.

        Raises:
          ServingError: It was refused, or no server has come back within `retry_for` seconds.
          PredictionError: The reply holds no points.
        """
        inputs = {self._chosen.sent_as: batch.stacked()}
        while True:
            try:
                outputs = self._client.predict(self._chosen.signature, inputs, **self._which)
            except ServingError as error:
                if error.code != _LOST or not self._wait():
                    raise
                continue
            self._has_answered()
            return read_answer(outputs, len(batch.frames))

    def _wait(self) -> bool:
        """Waits for a connection; whether another attempt is worth it."""
        with self._lock:
            if not self._is_known:
                return False
            now = time.monotonic()
            is_new = self._lost is None
            if self._lost is None:
                self._lost = now
            seconds = self._lost + self._retry_for - now
            if seconds <= 0:
                return False
            if is_new:
                self._tell(f"no server answers; waiting for one, {math.ceil(seconds)} s at most")
        # What is the matter, the next attempt says.
        with contextlib.suppress(ServingError):
            self._client.status(timeout=seconds, wait_for_ready=True)
        return True

    def _has_answered(self) -> None:
        with self._lock:
            self._is_known = True
            if self._lost is not None:
                self._lost = None
                self._tell("a server answers again")


class Window:
    """Requests in flight, at most so many, whose answers come in order.

    Args:
      ask: Answers one batch; called from several threads.
      size: Most requests in flight, and most batches in memory.
    """

    def __init__(self, ask: Callable[[Batch], Answer], size: int) -> None:
        self._ask = ask
        self._size = size
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="peakserve-predict")
        self._waiting: deque[tuple[Batch, Future[Answer]]] = deque()

    def answers(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Answer]]:
        """Asks for every batch.

        Yields:
          Batch and answer, in order. If a batch cannot be read, those before it are answered
          before that is raised.
        """
        reading = UntilFailure(batches)
        for batch in reading:
            self._waiting.append((batch, self._pool.submit(self._ask, batch)))
            if len(self._waiting) == self._size:
                yield self._oldest()
                self._waiting.popleft()
        while self._waiting:
            yield self._oldest()
            self._waiting.popleft()
        reading.raise_failure()

    def _oldest(self) -> tuple[Batch, Answer]:
        batch, future = self._waiting[0]
        # A Ctrl-C that comes just before a wait does not end it: no wait is long.
        while not future.done():
            wait([future], timeout=_LONGEST_WAIT)
        return batch, future.result()

    def finished(self) -> Iterator[tuple[Batch, Answer]]:
        """Batches that are answered already, in order and without gaps; nothing is waited for.

        After an interruption the first may be one that `answers` gave already.
        """
        for batch, future in self._waiting:
            if not future.done() or future.cancelled() or future.exception() is not None:
                return
            yield batch, future.result()

    def close(self) -> None:
        """Sends nothing more; a request in flight ends with its client."""
        self._pool.shutdown(wait=False, cancel_futures=True)
