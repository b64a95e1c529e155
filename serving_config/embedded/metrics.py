"""Counters and histograms with the stock server's names, and the page that Prometheus reads."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

# Microseconds from 10 to about 20 minutes.
_BUCKET_LIMITS = tuple(10 * 1.8**power for power in range(33))
_SERVING = ":tensorflow:serving:"
_SAVED_MODEL = ":tensorflow:cc:saved_model:"


class Counter:
    """A number for every combination of labels.

    Args:
      name: As Prometheus sees it.
      labels: The labels' names.
    """

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self.name = name
        self._labels = tuple(labels)
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, ...], int] = {}

    def add(self, *values: str, amount: int = 1) -> None:
        """Counts.

        Args:
          *values: One per label.
          amount: How much is added.
        """
        with self._lock:
            self._cells[values] = self._cells.get(values, 0) + amount

    def lines(self) -> list[str]:
        """The metric in Prometheus' text form."""
        with self._lock:
            cells = sorted(self._cells.items())
        return [f"# TYPE {self.name} counter"] + [
            f"{self.name}{{{_pairs(self._labels, values)}}} {number}" for values, number in cells
        ]


@dataclass
class _Distribution:
    buckets: list[int] = field(default_factory=lambda: [0] * (len(_BUCKET_LIMITS) + 1))
    total: float = 0.0


class Histogram:
    """A distribution of microseconds for every combination of labels.

    Args:
      name: As Prometheus sees it.
      labels: The labels' names.
    """

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self.name = name
        self._labels = tuple(labels)
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, ...], _Distribution] = {}

    def add(self, *values: str, seconds: float) -> None:
        """Records one duration.

        Args:
          *values: One per label.
          seconds: The duration.
        """
        micros = seconds * 1e6
        with self._lock:
            cell = self._cells.setdefault(values, _Distribution())
            cell.buckets[bisect_left(_BUCKET_LIMITS, micros)] += 1
            cell.total += micros

    def lines(self) -> list[str]:
        """The metric in Prometheus' text form."""
        lines = [f"# TYPE {self.name} histogram"]
        with self._lock:
            for values, cell in sorted(self._cells.items()):
                pairs = _pairs(self._labels, values)
                count = 0
                for limit, number in zip((*_BUCKET_LIMITS, None), cell.buckets, strict=True):
                    count += number
                    bound = "+Inf" if limit is None else f"{limit:g}"
                    lines.append(f'{self.name}_bucket{{{pairs},le="{bound}"}} {count}')
                lines.append(f"{self.name}_sum{{{pairs}}} {cell.total:g}")
                lines.append(f"{self.name}_count{{{pairs}}} {count}")
        return lines


class Metrics:
    """What the host counts. Safe to use from many threads."""

    def __init__(self) -> None:
        self.load_attempts = Counter(f"{_SAVED_MODEL}load_attempt_count", ["model_path", "status"])
        self.load_latency = Counter(f"{_SAVED_MODEL}load_latency", ["model_path"])
        self.warmup_latency = Histogram(f"{_SERVING}model_warmup_latency", ["model_path", "status"])
        self.warmup_records = Counter(
            f"{_SERVING}model_warmup_records_read", ["model_path", "status"]
        )
        self.requests = Counter(f"{_SERVING}request_count", ["model_name", "status"])
        self.request_latency = Histogram(
            f"{_SERVING}request_latency", ["model_name", "API", "entrypoint"]
        )
        self.runtime_latency = Histogram(
            f"{_SERVING}runtime_latency", ["model_name", "API", "runtime"]
        )

    def page(self) -> str:
        """Everything in Prometheus' text form."""
        every: list[Counter | Histogram] = [
            self.load_attempts,
            self.load_latency,
            self.warmup_latency,
            self.warmup_records,
            self.requests,
            self.request_latency,
            self.runtime_latency,
        ]
        return "\n".join(line for metric in every for line in metric.lines()) + "\n"


def _pairs(labels: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(
        f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
