"""Load on a server: prebuilt requests from many clients, every reply judged and counted.

No request is tried twice here, unless a client of the product does so: what a server drops is
seen. A client has a connection of its own and asks again as soon as it was answered.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import grpc
from tensorflow_serving.apis import predict_pb2

from serving_config.errors import ServingError, code_of_http_status, sentence_of_server_text
from serving_config.grpc_client import GrpcClient
from serving_config.rest_json import outputs_of, parsed
from serving_config.wire import PREDICT_METHOD, array_of

from .questions import Answer, Question
from .tally import Tally, WrongAnswerError, total

DEADLINE = 20.0
_PACE = 0.02


class FailedError(Exception):
    """A question that was not answered: status code and sentence."""


class Caller(Protocol):
    """One client's connection."""

    def __call__(self, question: Question) -> Answer:
        """The answer; raises FailedError."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


class GrpcCaller:
    """gRPC without retries."""

    def __init__(self, address: str, deadline: float = DEADLINE) -> None:
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self._channel = grpc.insecure_channel(address, options=options)
        self._predict = self._channel.unary_unary(PREDICT_METHOD)
        self._deadline = deadline

    def __call__(self, question: Question) -> Answer:
        try:
            reply = self._predict(question.grpc_bytes, timeout=self._deadline)
        except grpc.RpcError as error:
            raise FailedError(error.code().name, error.details()) from error
        response = predict_pb2.PredictResponse.FromString(reply)
        outputs = {name: array_of(tensor) for name, tensor in response.outputs.items()}
        return Answer(response.model_spec.version.value, outputs)

    def close(self) -> None:
        self._channel.close()


class RestCaller:
    """HTTP on one connection that is kept."""

    def __init__(self, address: str, deadline: float = DEADLINE) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=deadline)

    def __call__(self, question: Question) -> Answer:
        try:
            self._connection.request("POST", question.rest_path, question.rest_bytes)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise FailedError("UNAVAILABLE", f"{type(error).__name__}: {error}") from error
        if response.status != 200:
            raise FailedError(
                code_of_http_status(response.status), content.decode(errors="replace")
            )
        contract = question.contract
        shapes = contract.output_shapes(dict(question.inputs)) if contract else {}
        try:
            return Answer(None, outputs_of(parsed(content), contract, shapes))
        except ValueError as error:
            raise WrongAnswerError(f"{question.rest_path}: {error}") from error

    def close(self) -> None:
        self._connection.close()


class ProductCaller:
    """The product's own client, which spreads and retries as it does for everybody.

    Args:
      client: Closed with the caller.
    """

    def __init__(self, client: GrpcClient) -> None:
        self._client = client

    def __call__(self, question: Question) -> Answer:
        named = {"model": question.model, "label": question.label}
        return Answer(None, self._client.predict(question.signature, question.inputs, **named))

    def close(self) -> None:
        self._client.close()


class Load:
    """Clients that ask until the `with` block ends.

    Args:
      callers: Makes one client's connection each.
      questions: What they ask in turn.
      pace: Seconds from one question of a client to its next; at once if 0.
    """

    def __init__(
        self,
        callers: Sequence[Callable[[], Caller]],
        questions: Sequence[Question],
        *,
        pace: float = 0.0,
    ) -> None:
        self._callers = callers
        self._questions = questions
        self._pace = pace
        self._parts = [Tally() for _ in callers]
        self._stop = threading.Event()
        self._faults: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._ask, args=[number], name=f"client-{number}")
            for number in range(len(callers))
        ]

    @property
    def sent(self) -> int:
        """How many requests have ended by now."""
        return sum(part.sent for part in self._parts)

    @property
    def tally(self) -> Tally:
        """Everything that was counted, once the block has ended."""
        if self._faults:
            raise self._faults[0]
        return total(self._parts)

    def wait_for(self, count: int, seconds: float) -> None:
        """Returns when so many further requests have ended, or the time is over."""
        wanted, deadline = self.sent + count, time.monotonic() + seconds
        while self.sent < wanted and time.monotonic() < deadline and not self._faults:
            self._stop.wait(_PACE)

    def _ask(self, number: int) -> None:
        part = self._parts[number]
        turn = number * 7
        try:
            caller = self._callers[number]()
            try:
                while not self._stop.is_set():
                    turn += 1
                    begin = time.monotonic()
                    _ask_once(caller, self._questions[turn % len(self._questions)], part)
                    if self._pace:
                        self._stop.wait(max(begin + self._pace - time.monotonic(), 0))
            finally:
                caller.close()
        except BaseException as error:
            # A fault of the harness itself, which no tally may hide.
            self._faults.append(error)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _ask_once(caller: Caller, question: Question, part: Tally) -> None:
    begin = time.monotonic()
    try:
        answer = caller(question)
        seconds = time.monotonic() - begin
        part.answered[question.judge(answer, begin)] += 1
        part.seconds.append(seconds)
    except FailedError as error:
        code, text = error.args
        part.failed[code, f"{question}: {sentence_of_server_text(text)}"] += 1
    except ServingError as error:
        part.failed[error.code, f"{question}: {error.sentence}"] += 1
    except WrongAnswerError as error:
        part.wrong.append(str(error))
    part.longest = max(part.longest, time.monotonic() - begin)


def mixed(grpc_address: str, rest_address: str, count: int, deadline: float = DEADLINE):
    """Callers of both transports: two of gRPC for each of REST."""

    def caller(number: int) -> Callable[[], Caller]:
        if number % 3 == 2:
            return lambda: RestCaller(rest_address, deadline)
        return lambda: GrpcCaller(grpc_address, deadline)

    return [caller(number) for number in range(count)]
