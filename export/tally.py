"""What a verification counts: one outcome per request, summed up per signature and transport."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What one request came to.

    Attributes:
      case: The case's name.
      is_answered: Whether an answer came where one was expected.
      is_refused: Whether it was refused as it should be, status and sentence.
      seconds: How long the answer took, from arrays to arrays; `None` without one.
      elements: Numbers compared.
      difference: The largest absolute difference.
      ulps: The largest difference in ulps of the output's largest magnitude.
      mismatches: How many outputs or refusals differ.
    """

    case: str
    is_answered: bool = False
    is_refused: bool = False
    seconds: float | None = None
    elements: int = 0
    difference: float = 0.0
    ulps: float = 0.0
    mismatches: int = 0


@dataclass
class Tally:
    """What was compared for one signature over one transport.

    Attributes:
      signature: The signature's key.
      transport: `"gRPC"` or `"REST"`.
      outcomes: One per case, in their order.
    """

    signature: str
    transport: str
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """Answered cases."""
        return sum(outcome.is_answered for outcome in self.outcomes)

    @property
    def refusals(self) -> int:
        """Refused cases whose status and sentence were compared."""
        return sum(outcome.is_refused for outcome in self.outcomes)

    @property
    def elements(self) -> int:
        """Numbers compared."""
        return sum(outcome.elements for outcome in self.outcomes)

    @property
    def difference(self) -> float:
        """The largest absolute difference."""
        return max((outcome.difference for outcome in self.outcomes), default=0.0)

    @property
    def ulps(self) -> float:
        """The largest difference in ulps of the output's largest magnitude."""
        return max((outcome.ulps for outcome in self.outcomes), default=0.0)

    @property
    def mismatches(self) -> int:
        """How many outputs or refusals differ."""
        return sum(outcome.mismatches for outcome in self.outcomes)

    @property
    def seconds(self) -> list[float]:
        """How long each answer took, from arrays to arrays."""
        return [outcome.seconds for outcome in self.outcomes if outcome.seconds is not None]
