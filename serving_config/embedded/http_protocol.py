"""uvicorn's HTTP protocol with bounds on what it leaves open: heads, trailers, idle peers.

A client may send a byte of a header a minute, a header without end, or read no byte of a reply.
Each would keep its connection, and what it holds in memory, for good.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving_config.embedded.json_text import error_body

_PHRASES = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


@dataclass(frozen=True)
class HttpLimits:
    """What one connection may take.

    Attributes:
      head_bytes: Size of a request's line and headers, and again of a chunked body's trailers.
      seconds: Until a head has arrived, and how long a reply may wait for its reader to take
        anything at all; `None` for ever.
      connections: At a time. A request on one more is answered with 503; connections that only
        wait are closed beyond twice as many.
    """

    head_bytes: int = 1 << 16
    seconds: float | None = 30.0
    connections: int = 256


def limited_protocol(limits: HttpLimits) -> type[asyncio.Protocol]:
    """The protocol class for `uvicorn.Config(http=...)`."""
    return type("LimitedProtocol", (_LimitedProtocol,), {"limits": limits})


class _LimitedProtocol(HttpToolsProtocol):
    limits = HttpLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = True
        self._head_bytes = self._trailer_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`. A peer that says nothing has as long as a slow one."""
        super().connection_made(transport)
        if len(self.connections) > 2 * self.limits.connections:
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._forget_head()
        self._forget_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. Counts what comes while a head is incomplete."""
        if self._is_in_head:
            self._head_bytes += len(data)
            self._await_head()
        super().data_received(data)
        if self._is_in_head and self._head_bytes > self.limits.head_bytes:
            self._refuse(431, f"the request's head exceeds {self.limits.head_bytes} bytes")

    def on_message_begin(self) -> None:
        """See httptools. The next head may begin in the same piece as a body ends."""
        self._await_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools; after the head these are trailers, which uvicorn keeps as well."""
        if self._is_in_head:
            super().on_header(name, value)
            return
        # Nobody reads trailers: none is kept.
        self._trailer_bytes += len(name) + len(value)
        if self._trailer_bytes > self.limits.head_bytes:
            self._refuse(431, f"the trailers exceed {self.limits.head_bytes} bytes")

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._is_in_head = False
        self._head_bytes = self._trailer_bytes = 0
        self._forget_head()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See httptools."""
        self._is_in_head = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`: the peer reads more slowly than the reply is written."""
        super().pause_writing()
        self._watch_reader(None)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._forget_stall()
        super().resume_writing()

    def _await_head(self) -> None:
        if self._head_timer is None and self.limits.seconds is not None:
            self._head_timer = self.loop.call_later(self.limits.seconds, self._head_is_late)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # An answer to a request before it is under way.
            self._await_head()
            return
        text = f"the request's head did not arrive within {self.limits.seconds:g} s"
        self._refuse(408, text)

    def _watch_reader(self, waiting: int | None) -> None:
        """Ends the connection if nothing of the reply was taken since the last look."""
        left = self.transport.get_write_buffer_size()
        if left == waiting:
            # Nor may the system keep what is left for it.
            peer = self.transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif self.limits.seconds is not None:
            self._stall_timer = self.loop.call_later(self.limits.seconds, self._watch_reader, left)

    def _forget_stall(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _refuse(self, status: int, text: str) -> None:
        """Answers, unless another request's answer is under way, and closes."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = error_body(text)
            head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            self.transport.write(head % (status, _PHRASES[status], len(body)))
            self.transport.write(b"Connection: close\r\n\r\n" + body)
        self.transport.close()
