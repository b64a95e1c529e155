"""What is counted of a load, and how it is told."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np


class WrongAnswerError(Exception):
    """An answer that neither eager nor any version that may answer would give."""


@dataclass
class Tally:
    """The requests of a load, or of a part of it.

    Attributes:
      answered: What answered, and how often.
      failed: Status code and sentence of what failed, and how often.
      wrong: Answers that are wrong, each as a sentence.
      seconds: How long each request took that was answered.
      longest: How long the longest request took, answered or not.
    """

    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    longest: float = 0.0

    @property
    def sent(self) -> int:
        """How many requests were sent and ended."""
        return self.answered.total() + self.failed.total() + len(self.wrong)

    def codes(self) -> Counter[str]:
        """Status codes of what failed."""
        codes: Counter[str] = Counter()
        for (code, _), count in self.failed.items():
            codes[code] += count
        return codes

    def percentile(self, percent: float) -> float:
        """Milliseconds within which so many percent were answered."""
        return float(np.percentile(self.seconds, percent)) * 1000 if self.seconds else float("nan")

    def __str__(self) -> str:
        """One line with every number."""
        failed = self.failed.total()
        reasons = "; ".join(
            f"{count} x {code}: {text}" for (code, text), count in self.failed.items()
        )
        times = ", ".join(
            f"{name} {self.percentile(percent):.1f}"
            for name, percent in (("median", 50), ("p90", 90), ("p99", 99), ("max", 100))
        )
        return (
            f"{self.sent:,} sent, {failed} failed{f' ({reasons})' if failed else ''}, "
            f"{len(self.wrong)} wrong; ms: {times}"
        )


def total(parts: list[Tally]) -> Tally:
    """Several tallies as one."""
    whole = Tally()
    for part in parts:
        whole.answered += part.answered
        whole.failed += part.failed
        whole.wrong += part.wrong
        whole.seconds += part.seconds
        whole.longest = max(whole.longest, part.longest)
    return whole


class Allowed:
    """Which versions may answer a question, as time goes by.

    Args:
      versions: Those that may answer now.
    """

    def __init__(self, *versions: int) -> None:
        self._lock = threading.Lock()
        self._log = [(0.0, frozenset(versions))]

    def become(self, *versions: int) -> None:
        """From now on these may answer."""
        with self._lock:
            self._log.append((time.monotonic(), frozenset(versions)))

    def since(self, begin: float) -> frozenset[int]:
        """Every version that was allowed at some moment from then until now."""
        with self._lock:
            log = self._log
            allowed = log[-1][1]
            for index in range(len(log) - 1, 0, -1):
                if log[index][0] <= begin:
                    break
                allowed |= log[index - 1][1]
            return allowed
