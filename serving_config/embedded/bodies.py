"""Bodies of REST requests as they come in: not too large, not too slow, not too many at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from serving_config.embedded.json_text import error_body


@dataclass
class Pending:
    """Bytes of the bodies that are in memory: coming in, waiting, or being answered."""

    size: int = 0


class HeldBytes:
    """One request's part of them. Used in the event loop only.

    Args:
      pending: All requests'.
      most: What they may be together.
    """

    def __init__(self, pending: Pending, most: int) -> None:
        self._pending = pending
        self._most = most
        self._size = 0

    def take(self, size: int) -> None:
        """Counts bytes before they are kept.

        Raises:
          BodyRefusedError: 503, other requests' bodies leave no room.
        """
        if self._pending.size + size > self._most:
            raise BodyRefusedError(503, f"the bodies of all requests exceed {self._most} bytes")
        self._pending.size += size
        self._size += size

    def let_go(self) -> None:
        """The request is answered."""
        self._pending.size -= self._size
        self._size = 0


class BodyRefusedError(Exception):
    """A body that is not read to its end; the connection closes after the response."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        headers = {"Connection": "close"}
        self.response = Response(error_body(text), status, headers, media_type="application/json")


async def body_in_time(
    request: Request, largest: int, seconds: float | None, held: HeldBytes
) -> bytes:
    """The body, unless it is too large, its sender too slow, or the others' leave no room.

    Args:
      request: Its head has been read.
      largest: Bytes that it may have.
      seconds: Until it has arrived, `None` for ever.
      held: Where its bytes are counted.

    Raises:
      BodyRefusedError: 413 before more than the limit is kept, 408, or 503.
    """
    try:
        return await asyncio.wait_for(_body(request, largest, held), seconds)
    except asyncio.TimeoutError as error:
        raise BodyRefusedError(408, f"the body did not arrive within {seconds:g} s") from error


async def _body(request: Request, largest: int, held: HeldBytes) -> bytes:
    too_large = BodyRefusedError(413, f"the body exceeds {largest} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > largest:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            raise too_large
        held.take(len(part))
        parts.append(part)
    return b"".join(parts)
