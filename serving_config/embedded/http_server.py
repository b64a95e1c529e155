"""uvicorn with httptools, listening in a thread of its own."""

from __future__ import annotations

import socket
import threading
from typing import Any

import uvicorn

from serving_config.embedded.http_protocol import HttpLimits, limited_protocol

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 75


class HttpServer:
    """Serves an ASGI application until it is stopped.

    Args:
      app: The application.
      host: The interface to listen on.
      port: The port to listen on.
      drain_seconds: How long requests in flight may take after `stop`.
      limits: What connections may take.

    Raises:
      OSError: The port is taken.
    """

    def __init__(
        self, app: Any, host: str, port: int, drain_seconds: int, limits: HttpLimits
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio turns Nagle's delay off only where the protocol is spelled out: 40 ms a reply.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
            self._socket.listen(_BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=limited_protocol(limits),
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                limit_concurrency=limits.connections,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=drain_seconds,
            )
        )
        self._thread = threading.Thread(target=self._run, name="rest", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def begin_to_stop(self) -> None:
        """Stops listening soon; requests in flight go on."""
        self._server.should_exit = True

    def stop(self) -> None:
        """Stops listening and waits until no request is in flight, or the time is over."""
        self.begin_to_stop()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
