"""Where a network comes from. Needs no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NetworkSource:
    """A network's file.

    Attributes:
      path: A SavedModel's folder, a `.keras` or an `.h5` file.
      output: Which output holds the maps, `None` for the only one.
    """

    path: Path
    output: str | None = None
