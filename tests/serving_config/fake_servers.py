"""Servers that are cheap to start and to kill: what answers, and the way to it that can be cut."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from concurrent import futures

import grpc
import numpy as np

from serving_config import wire

IMGS = np.ones((1, 2, 2, 1), np.float32)
_REPLY = wire.predict_reply(
    wire.ModelQuery("peak_ops", version=1, signature="smooth_imgs"), {"smoothed": IMGS}
)
# A socket that is closed with this says RST, as a process that is killed does.
_NO_LINGER = struct.pack("ii", 1, 0)


class Fake:
    """Answers every Predict request with the same reply, or refuses it a number of times."""

    def __init__(self, credentials=None, address="127.0.0.1"):
        self.failures = 0
        self.code = grpc.StatusCode.RESOURCE_EXHAUSTED
        self.requests = 0
        self.arrived = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self._lock = threading.Lock()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(16), handlers=[self._Handler(self._answer)]
        )
        if credentials is None:
            self.port = self._server.add_insecure_port(f"{address}:0")
        else:
            self.port = self._server.add_secure_port(f"{address}:0", credentials)
        self._server.start()

    class _Handler(grpc.GenericRpcHandler):
        def __init__(self, answer):
            self._answer = answer

        def service(self, handler_call_details):
            return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, message, context):
        with self._lock:
            self.requests += 1
            refuses = self.failures > 0
            self.failures -= refuses
        self.arrived.set()
        if refuses:
            context.abort(self.code, "not now")
        self.go_on.wait(20)
        return _REPLY

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self.go_on.set()
        self._server.stop(None)


class Way:
    """A port that leads to another; it can be cut, as by a killed process, and opened again."""

    def __init__(self, port, delay=0.0):
        self._to = port
        self._delay = threading.Event(), delay
        self._lock = threading.Lock()
        self._ends = []
        self._listener = None
        self.port = 0
        self.open()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def open(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self):
        """Nobody listens any more, and every connection is reset."""
        # Closing alone does not wake up the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                end.shutdown(socket.SHUT_RD)
            end.close()

    def _accept(self, listener):
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(end,), daemon=True).start()

    def _connect(self, near):
        never, delay = self._delay
        never.wait(delay)
        try:
            far = socket.create_connection(("127.0.0.1", self._to))
        except OSError:
            near.close()
            return
        with self._lock:
            self._ends += [near, far]
        threading.Thread(target=_pump, args=(near, far), daemon=True).start()
        _pump(far, near)


def _pump(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
