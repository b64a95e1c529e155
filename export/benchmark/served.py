"""What is measured of a server: clients at a time, a client's own cost, batching, bytes, JSON.

Contestants take turns in slices (`export.benchmark.load`). `raw bytes` is the server's own cost: a
request that was built before is sent, and its reply is read and thrown away.

Legend: `N` samples, `H` height, `W` width, `C` channels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from export.benchmark.load import Ask, LoadTimes, load_in_turns
from export.benchmark.questions import (
    Question,
    ask_client,
    ask_eager,
    ask_raw_grpc,
    ask_raw_rest,
)
from export.benchmark.result import AT_LEAST, OURS, Goal, Row, Table, figures_of
from export.benchmark.timing import INTERLEAVED
from export.hosting import Host
from serving_config.grpc_client import GrpcClient
from serving_config.rest_client import RestClient

EAGER, RAW = "eager", "raw bytes"
UNBATCHED, IN_GRAPH = "unbatched", "in-graph"

# Of all clients, in one slice.
_REQUESTS, _REST_REQUESTS, _LARGE_REQUESTS = 48, 16, 2


@dataclass(frozen=True)
class Stage:
    """Where requests go.

    Attributes:
      host: A server that answers.
      small: A request of one frame, to a model that joins no requests.
      batched: The same request to a model that joins them, `None` if there is none.
      batch_timeout: How long that one waits for mates, in milliseconds.
      large: Requests of many megabytes.
      timeout: Seconds that one request may take.
    """

    host: Host
    small: Question
    batched: Question | None = None
    batch_timeout: float = 0.0
    large: tuple[Question, ...] = ()
    timeout: float = 60.0


@dataclass(frozen=True)
class LoadTrial:
    """One comparison under load, not yet measured.

    Attributes:
      work: Its name in `SERVED_WORKS`.
      case: What the contestants are asked.
      contestants: Makes the clients of each, closed with the stack.
      clients: How many there are of each.
      requests: Of each client in one slice.
      goals: What is to be reached.
      by_latency: Whether ratios are those of median latencies; of the slices' times if not, which
        are inverse throughputs.
      axis: See `result.Table`.
    """

    work: str
    case: str
    contestants: Callable[[ExitStack], Mapping[str, Sequence[Ask]]]
    clients: int
    requests: int
    goals: tuple[Goal, ...] = ()
    by_latency: bool = True
    axis: str = ""


def measure_load(trial: LoadTrial, rounds: int, after_each: Callable[[float], None]) -> Table:
    """Measures one comparison.

    Args:
      trial: The contestants.
      rounds: Slices of each.
      after_each: Called with the part of the whole that was done, for progress.
    """
    with ExitStack() as stack:
        contestants = trial.contestants(stack)
        step = 1 / (len(contestants) * (rounds + 1))
        times = load_in_turns(
            contestants, rounds, trial.requests, after_each=lambda: after_each(step)
        )
    return _table(trial, times)


def _table(trial: LoadTrial, times: LoadTimes) -> Table:
    compared = times.of_medians() if trial.by_latency else times.of_slices()
    first = next(iter(times.slices))
    rows = tuple(
        Row(
            name,
            1e3 * times.latency(name, 50),
            compared.ratio(name, first),
            p90=1e3 * times.latency(name, 90),
            p99=1e3 * times.latency(name, 99),
            per_second=times.throughput(name),
        )
        for name in times.slices
    )
    figures = figures_of(trial.goals, compared)
    at = float(trial.clients)
    return Table(trial.work, trial.case, INTERLEAVED, trial.axis, at, rows, figures)


def over_grpc(stage: Stage, clients: Sequence[int]) -> Iterator[LoadTrial]:
    """The client over gRPC, raw bytes, and eager in this process."""

    def contestants(count: int, stack: ExitStack) -> dict[str, list[Ask]]:
        def client() -> GrpcClient:
            return stack.enter_context(stage.small.grpc_client(stage.host, stage.timeout))

        asks = {
            OURS: [ask_client(client(), stage.small) for _ in range(count)],
            RAW: [
                ask_raw_grpc(stack, stage.host, stage.small, stage.timeout) for _ in range(count)
            ],
        }
        # Threads of one process do not speed it up: four took ten times as long each.
        if stage.small.eager is not None and count == 1:
            asks[EAGER] = [ask_eager(stage.small)]
        return asks

    yield from _over_clients("grpc", stage, clients, contestants, _REQUESTS)


def over_rest(stage: Stage, clients: Sequence[int]) -> Iterator[LoadTrial]:
    """The client over REST, raw bytes over REST, and for comparison the client over gRPC."""
    if stage.host.rest_address is None:
        return

    def contestants(count: int, stack: ExitStack) -> dict[str, list[Ask]]:
        def client() -> RestClient:
            return stack.enter_context(stage.small.rest_client(stage.host, stage.timeout))

        def other() -> GrpcClient:
            return stack.enter_context(stage.small.grpc_client(stage.host, stage.timeout))

        return {
            OURS: [ask_client(client(), stage.small) for _ in range(count)],
            RAW: [
                ask_raw_rest(stack, stage.host, stage.small, stage.timeout) for _ in range(count)
            ],
            "over gRPC": [ask_client(other(), stage.small) for _ in range(count)],
        }

    yield from _over_clients("rest", stage, clients, contestants, _REST_REQUESTS)


def predict(stage: Stage, clients: Sequence[int]) -> Iterator[LoadTrial]:
    """From NumPy to NumPy beside raw bytes: what building and reading messages costs."""

    def contestants(question: Question, stack: ExitStack) -> dict[str, list[Ask]]:
        client = stack.enter_context(question.grpc_client(stage.host, stage.timeout))
        raw = ask_raw_grpc(stack, stage.host, question, stage.timeout)
        return {OURS: [ask_client(client, question)], RAW: [raw]}

    questions = [(stage.small, 1.15, _REQUESTS)]
    questions += [(large, 2.5, _LARGE_REQUESTS) for large in stage.large]
    for question, bound, requests in questions:
        make = functools.partial(contestants, question)
        goals = (Goal(OURS, RAW, bound),)
        yield LoadTrial("predict", str(question), make, 1, requests, goals)


def batching(stage: Stage, clients: Sequence[int]) -> Iterator[LoadTrial]:
    """Requests joined in the graph, beside the same model without."""
    if stage.batched is None:
        return

    def contestants(count: int, stack: ExitStack) -> dict[str, list[Ask]]:
        both = {IN_GRAPH: stage.batched, UNBATCHED: stage.small}
        return {
            name: [ask_raw_grpc(stack, stage.host, question, stage.timeout) for _ in range(count)]
            for name, question in both.items()
            if question is not None
        }

    for count in clients:
        goals: tuple[Goal, ...] = ()
        if count == 1:
            goals = (Goal(IN_GRAPH, UNBATCHED, stage.batch_timeout, unit="ms"),)
        elif count == max(clients):
            goals = (Goal(UNBATCHED, IN_GRAPH, 1.0, AT_LEAST),)
        make = functools.partial(contestants, count)
        yield LoadTrial(
            "batching",
            f"{stage.small}, {_clients(count)}",
            make,
            count,
            _share(2 * _REQUESTS, count),
            goals,
            by_latency=count == 1,
            axis="clients",
        )


def _over_clients(
    work: str,
    stage: Stage,
    clients: Sequence[int],
    contestants: Callable[[int, ExitStack], Mapping[str, Sequence[Ask]]],
    requests: int,
) -> Iterator[LoadTrial]:
    """The same contestants with more and more clients, who share the requests of a slice."""
    for count in clients:
        yield LoadTrial(
            work,
            f"{stage.small}, {_clients(count)}",
            functools.partial(contestants, count),
            count,
            _share(requests, count),
            by_latency=count == 1,
            axis="clients",
        )


def _clients(count: int) -> str:
    return f"{count} client" + "s" * (count > 1)


def _share(requests: int, clients: int) -> int:
    """Of each client: three at least, so that all are busy for a while."""
    return max(3, requests // clients)


LOADS: dict[str, Callable[[Stage, Sequence[int]], Iterator[LoadTrial]]] = {
    "grpc": over_grpc,
    "rest": over_rest,
    "predict": predict,
    "batching": batching,
}
