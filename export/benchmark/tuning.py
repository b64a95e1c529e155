"""Which batch size and wait give the most under a bound of latency.

Every candidate is a model of its own in one server, and they take turns under the same load.

Legend: `N` samples.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.benchmark.load import LoadTimes, load_in_turns
from export.benchmark.questions import Question, ask_raw_grpc, inputs_of
from export.benchmark.stages import Written, models_hosted
from export.warmup import default_shapes
from serving_config.programs import EMBEDDED, find_server
from signatures.batching import timeout_micros
from signatures.contract import KeypointOptions
from signatures.keypoints import Keypoints
from signatures.network import Network

# Height, width and channels of maps, where the model fixes none and nothing is joined.
_SIDES = (64, 64, 17)
# Throughputs that are nearer to each other than this are taken for equal.
_EQUAL = 0.02


class TuningError(ValueError):
    """Nothing can be tuned, or nothing keeps the bound, in one sentence."""


@dataclass(frozen=True)
class Candidate:
    """What is fixed at export.

    Attributes:
      max_batch: Most samples of one batch; 1 stands for no batching.
      batch_timeout: Longest wait for mates, in milliseconds.
    """

    max_batch: int
    batch_timeout: float

    @property
    def is_batched(self) -> bool:
        """Whether requests are joined at all."""
        return self.max_batch > 1

    def __str__(self) -> str:
        """For people."""
        if not self.is_batched:
            return "unbatched"
        return f"batches of {self.max_batch}, {self.batch_timeout:g} ms"

    def chosen(self, batching: str) -> dict[str, Any]:
        """Options of `KeypointOptions`."""
        if not self.is_batched:
            return {"batching": "none"}
        return {
            "batching": batching,
            "max_batch": self.max_batch,
            "batch_timeout": self.batch_timeout,
        }

    def export_options(self, batching: str) -> str:
        """Options of the command `export`."""
        return " ".join(
            f"--{name.replace('_', '-')} {value:g}" if name != "batching" else f"--batching {value}"
            for name, value in self.chosen(batching).items()
        )


@dataclass(frozen=True)
class Load:
    """Who asks for what.

    Attributes:
      clients: How many ask at a time.
      samples: N of one request.
      rounds: Slices of each candidate.
      requests: Of each client in one slice.
      timeout: Seconds that one request may take.
      signature: What is asked; if `None`, `images` of a model with a network, else `keypoints`.
    """

    clients: int = 16
    samples: int = 1
    rounds: int = 15
    requests: int = 8
    timeout: float = 60.0
    signature: str | None = None


@dataclass(frozen=True)
class Tried:
    """A candidate under load.

    Attributes:
      candidate: What was fixed.
      p50: Median latency, in milliseconds.
      p99: What 99 of 100 requests stay below, in milliseconds.
      per_second: Samples of all clients in a second.
    """

    candidate: Candidate
    p50: float
    p99: float
    per_second: float


@dataclass(frozen=True)
class Tuning:
    """What was tried.

    Attributes:
      asked: Signature and shape of the requests.
      clients: How many ask at a time.
      max_latency: The bound of p99, in milliseconds.
      batching: Who joins requests.
      server: Which server it was.
      tried: In the order of the candidates.
    """

    asked: str
    clients: int
    max_latency: float
    batching: str
    server: str
    tried: tuple[Tried, ...]

    @property
    def best(self) -> Tried | None:
        """The most throughput within the bound; of equal ones that with the lowest p99.

        `None` if no candidate keeps the bound.
        """
        within = [tried for tried in self.tried if tried.p99 <= self.max_latency]
        if not within:
            return None
        most = max(tried.per_second for tried in within)
        return min(
            (tried for tried in within if tried.per_second >= (1 - _EQUAL) * most),
            key=lambda tried: tried.p99,
        )

    def as_data(self) -> dict[str, Any]:
        """What JSON is made of."""
        best = self.best
        return dataclasses.asdict(self) | {"best": dataclasses.asdict(best) if best else None}

    def write(self, path: Path) -> None:
        """Writes JSON."""
        path.write_text(json.dumps(self.as_data(), indent=2, allow_nan=False) + "\n")


def candidates_of(batches: Sequence[int], timeouts: Sequence[float]) -> list[Candidate]:
    """Unbatched, and every batch size with every wait that differs for the scheduler."""
    found = {(1, 0): Candidate(1, 0.0)}
    for batch in batches:
        for timeout in timeouts:
            micros = timeout_micros(KeypointOptions(batch_timeout=timeout))
            if batch > 1:
                found.setdefault((batch, micros), Candidate(batch, timeout))
    return list(found.values())


def tune(
    options_of: Callable[[Mapping[str, Any]], tuple[KeypointOptions, Network | None]],
    candidates: Sequence[Candidate],
    load: Load,
    *,
    max_latency: float,
    batching: str,
    server: str,
    tell: Callable[[str], object] = lambda step: None,
    advance: Callable[[float], None] = lambda part: None,
) -> Tuning:
    """Measures candidates.

    Args:
      options_of: Makes the model's options, and its network, from those of a candidate.
      candidates: What is tried.
      load: Who asks for what.
      max_latency: The bound of p99, in milliseconds.
      batching: `in-graph` or `server`.
      server: What to start.
      tell: Called with each step.
      advance: Called with the part of the load that was done.

    Raises:
      TuningError: The model's requests cannot be joined, or not by this server.
      ServerStartError: There is no such server.
    """
    if batching == "server" and find_server(server).kind == EMBEDDED:
        raise TuningError(
            "--batching server: expected a stock server, got the embedded host, which joins no "
            "requests; pass --server binary, or --batching in-graph"
        )
    models: dict[str, Written] = {}
    questions: dict[str, Question] = {}
    for number, candidate in enumerate(candidates):
        options, network = options_of(candidate.chosen(batching))
        module = Keypoints(options, network)
        asked = load.signature or ("images" if network is not None else "keypoints")
        if candidate.is_batched and not module.contract.signature(asked).batched:
            raise TuningError(
                f"{asked}: requests of any size cannot be joined; fix "
                + (
                    "--image-height and --image-width"
                    if network
                    else "--height, --width, --channels"
                )
            )
        if candidate.is_batched and load.samples > candidate.max_batch:
            raise TuningError(
                f"--samples: expected at most the smallest --batch, {candidate.max_batch}, "
                f"got {load.samples}"
            )
        name = f"candidate{number}"
        models[name] = Written(module, default_shapes(module.contract))
        inputs = inputs_of(module.contract, asked, (load.samples, *_SIDES))
        questions[str(candidate)] = Question(name, module.contract, asked, inputs)
        tell(f"{candidate}: traced")
    tell("starting the server and warming up")
    with models_hosted(server, models) as host, ExitStack() as stack:
        asks = {
            name: [ask_raw_grpc(stack, host, question, load.timeout) for _ in range(load.clients)]
            for name, question in questions.items()
        }
        step = 1 / (len(asks) * (load.rounds + 1))
        tell(f"{load.clients} clients ask")
        times = load_in_turns(asks, load.rounds, load.requests, after_each=lambda: advance(step))
        text = host.text
    return Tuning(
        str(next(iter(questions.values()))),
        load.clients,
        max_latency,
        batching,
        text,
        tuple(_tried(candidate, times, load.samples) for candidate in candidates),
    )


def _tried(candidate: Candidate, times: LoadTimes, samples: int) -> Tried:
    name = str(candidate)
    return Tried(
        candidate,
        1e3 * times.latency(name, 50),
        1e3 * times.latency(name, 99),
        samples * times.throughput(name),
    )


def tuned_options(tuning: Tuning) -> Iterator[str]:
    """What to do with what was found, in lines.

    Raises:
      TuningError: No candidate keeps the bound.
    """
    best = tuning.best
    if best is None:
        fastest = min(tuning.tried, key=lambda tried: tried.p99)
        raise TuningError(
            f"no candidate keeps p99 within {tuning.max_latency:g} ms with {tuning.clients} "
            f"clients; the fastest is {fastest.candidate}, p99 {fastest.p99:.1f} ms; raise "
            "--max-latency, or lower --clients"
        )
    yield f"best: {best.candidate}, p99 {best.p99:.1f} ms, {best.per_second:,.0f} samples/s"
    yield f"peakserve export --model keypoints {best.candidate.export_options(tuning.batching)} ..."
