"""One tenant that misbehaves as well as one client can, in a process of its own.

Wrong shapes and dtypes, empty batches, undecodable and map-sized junk over both transports, each
asked as soon as the one before was answered; and beside that three connections that send or read
slowly. Ends when its standard input does, and prints what it got as JSON.

    python tests/chaos/bad_tenant.py GRPC_ADDRESS REST_ADDRESS [WHAT_IT_DOES_NOT_DO ...]
"""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import grpc
import numpy as np

from serving_config.rest_json import predict_body
from serving_config.wire import PREDICT_METHOD, ModelQuery, predict_request

SECONDS = 10.0
# A quarter of a kilobyte every five milliseconds.
SLOW_BYTES, SLOW_PAUSE = 256, 0.005
SLOW_SECONDS = 2.0
BIG = (1, 192, 192, 8)

Act = Callable[[], str]


def confmaps(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Maps that no good client would send."""
    return np.random.default_rng(0).random(shape).astype(dtype)


def grpc_request(maps: np.ndarray, model: str = "keypoints", signature: str = "keypoints") -> bytes:
    """A PredictRequest."""
    name = "confmaps" if model == "keypoints" else "imgs"
    return predict_request(ModelQuery(model, signature=signature), {name: maps})


def over_grpc(address: str, request: bytes, seconds: float = SECONDS) -> Act:
    """Asks once; what came of it."""
    channel = grpc.insecure_channel(
        address,
        options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )
    predict = channel.unary_unary(PREDICT_METHOD)

    def ask() -> str:
        try:
            predict(request, timeout=seconds)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    return ask


def over_rest(address: str, body: bytes, model: str = "keypoints") -> Act:
    """Asks once; the status that came back."""

    def ask() -> str:
        connection = http.client.HTTPConnection(address, timeout=SECONDS)
        try:
            connection.request("POST", f"/v1/models/{model}:predict", body)
            response = connection.getresponse()
            response.read()
            return str(response.status)
        except OSError as error:
            return type(error).__name__
        finally:
            connection.close()

    return ask


def junk(grpc_address: str, rest_address: str) -> dict[str, Act]:
    """Every request that is asked in turn, by what is wrong with it."""
    big = confmaps(*BIG)
    noise = np.random.default_rng(1).bytes(big.nbytes)
    requests = {
        "shape": confmaps(1, 8, 20, 3),
        "rank": confmaps(16, 20, 3),
        "channels": confmaps(1, 16, 20, 4),
        "dtype": confmaps(1, 16, 20, 3, dtype="float64"),
        "empty": confmaps(0, 16, 20, 3),
        "map-sized": big,
    }
    acts = {name: over_grpc(grpc_address, grpc_request(maps)) for name, maps in requests.items()}
    acts["undecodable, map-sized"] = over_grpc(grpc_address, noise)
    for name in ("shape", "empty", "map-sized"):
        body = predict_body("keypoints", {"confmaps": requests[name]})
        acts[f"{name}, REST"] = over_rest(rest_address, body)
    acts["no JSON, map-sized"] = over_rest(rest_address, noise)
    # Opens all its brackets and closes none.
    acts["deep"] = over_rest(rest_address, b'{"inputs":' + b"[" * 100_000)
    return acts


class SlowRelay:
    """A way to the server on which bytes trickle, in one direction.

    Args:
      address: Where the bytes go.
      slow: Which bytes trickle: those `sent` to the server, or those `read` from it.
    """

    def __init__(self, address: str, slow: str) -> None:
        host, _, port = address.rpartition(":")
        self._server = (host, int(port))
        self._slow = slow
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.socket()
            # What the relay does not read must stay in the server, not in our buffers.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                continue
            for source, target, name in ((client, server, "sent"), (server, client, "read")):
                threading.Thread(
                    target=self._pump, args=[source, target, name == self._slow], daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_slow: bool) -> None:
        try:
            while data := source.recv(SLOW_BYTES if is_slow else 65536):
                target.sendall(data)
                if is_slow:
                    time.sleep(SLOW_PAUSE)
        except OSError:
            pass
        for end in (source, target):
            end.close()


def slow_rest(address: str) -> Act:
    """Sends a request slowly, then reads the reply slowly, and hangs up after a while."""
    host, _, port = address.rpartition(":")
    body = predict_body("smooth_imgs", {
        "imgs": confmaps(1, 96, 96, 4), "kernel_size": np.int64(3), "sigma": np.float32(1),
    })  # fmt: skip
    head = (
        f"POST /v1/models/peak_ops:predict HTTP/1.1\r\nHost: {address}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()

    def ask() -> str:
        end = time.monotonic() + SLOW_SECONDS
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(SECONDS)
            connection.connect((host, int(port)))
            slowly = SLOW_BYTES * 20
            connection.sendall(head)
            for start in range(0, slowly, SLOW_BYTES):
                connection.sendall(body[start : start + SLOW_BYTES])
                time.sleep(SLOW_PAUSE)
            connection.sendall(body[slowly:])
            while time.monotonic() < end and connection.recv(SLOW_BYTES):
                time.sleep(SLOW_PAUSE)
        return "hung up"

    return ask


def slow_acts(grpc_address: str, rest_address: str) -> dict[str, Act]:
    """What trickles, each on a connection of its own."""
    smooth = grpc_request(confmaps(1, 96, 96, 4), "peak_ops", "smooth_imgs")
    sender = SlowRelay(grpc_address, "sent")
    reader = SlowRelay(grpc_address, "read")
    return {
        "slow sender": over_grpc(sender.address, smooth, SLOW_SECONDS),
        "slow reader": over_grpc(reader.address, smooth, SLOW_SECONDS),
        "slow, REST": slow_rest(rest_address),
    }


def forever(acts: Iterator[tuple[str, Act]], counts: Counter[str], stop: threading.Event) -> None:
    """One act after the other."""
    while not stop.is_set():
        name, act = next(acts)
        try:
            outcome = act()
        except OSError as error:
            outcome = type(error).__name__
        counts[f"{name}: {outcome}"] += 1


def main(grpc_address: str, rest_address: str, *left_out: str) -> None:
    """Misbehaves until standard input ends."""
    stop, counts = threading.Event(), Counter[str]()
    acts = junk(grpc_address, rest_address)
    for name in left_out:
        del acts[name]
    circles = [itertools.cycle(acts.items())]
    circles += [itertools.cycle([act]) for act in slow_acts(grpc_address, rest_address).items()]
    print("ready", flush=True)
    # Each line of standard input is one phase of misbehaviour; it ends with the next line.
    for line in sys.stdin:
        if line.strip() == "begin":
            stop = threading.Event()
            threads = [
                threading.Thread(target=forever, args=[circle, counts, stop], daemon=True)
                for circle in circles
            ]
            for thread in threads:
                thread.start()
        else:
            stop.set()
            for thread in threads:
                thread.join()
            print("quiet", flush=True)
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
