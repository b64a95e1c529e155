"""What a signature answers, as points that say themselves where there is none.

Legend: `N` frames of one request, `C` channels (landmarks), `K` peaks of a frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from export.prediction.errors import PredictionError

_OF_POINTS = {"points", "confidences", "valid"}
_OF_PEAKS = {"points", "confidences", "channels", "count"}
# The names of outputs that can be read.
ANSWERS = (_OF_POINTS, _OF_PEAKS)


@dataclass(frozen=True)
class Mark:
    """One row of a frame.

    Attributes:
      channel: The landmark's channel.
      x: Column in pixels of what was sent, NaN where nothing was found.
      y: Row in pixels, likewise.
      confidence: The map there, 0 where nothing was found.
    """

    channel: int
    x: np.float32
    y: np.float32
    confidence: np.float32

    @property
    def is_found(self) -> bool:
        """Whether there is a point."""
        return not np.isnan(self.x)

    @property
    def numbers(self) -> tuple[np.float32, np.float32, np.float32]:
        """x, y and confidence."""
        return self.x, self.y, self.confidence


@dataclass(frozen=True)
class Points:
    """One point per frame and channel.

    Attributes:
      points: float32 [N, C, 2] as (x, y) in pixels of what was sent; NaN where not valid.
      confidences: float32 [N, C]; 0 where not valid.
      valid: bool [N, C].
    """

    points: np.ndarray
    confidences: np.ndarray
    valid: np.ndarray

    def marks(self, frame: int) -> Iterator[Mark]:
        """Every channel of one frame."""
        for channel, (x, y) in enumerate(self.points[frame]):
            yield Mark(channel, x, y, self.confidences[frame, channel])


@dataclass(frozen=True)
class Peaks:
    """The peaks of each frame, strongest first.

    Attributes:
      points: float32 [N, K, 2] as (x, y) in pixels of what was sent; NaN where padded.
      confidences: float32 [N, K]; 0 where padded.
      channels: int64 [N, K]; -1 where padded.
      count: int64 [N], how many are peaks.
    """

    points: np.ndarray
    confidences: np.ndarray
    channels: np.ndarray
    count: np.ndarray

    def marks(self, frame: int) -> Iterator[Mark]:
        """The peaks of one frame that were found."""
        for peak in range(int(self.count[frame])):
            x, y = self.points[frame, peak]
            yield Mark(int(self.channels[frame, peak]), x, y, self.confidences[frame, peak])


Reply = Points | Peaks


def read_reply(outputs: Mapping[str, np.ndarray], frames: int) -> Reply:
    """Checks what a server answered, and marks what is no point.

    Args:
      outputs: By name, as the signature returns them.
      frames: N of the request.

    Raises:
      PredictionError: They are not the outputs of a signature of points.
    """
    shapes = {name: array.shape for name, array in outputs.items()}
    width = shapes.get("confidences", (0, 0))[-1]
    row, one = (frames, width), (frames,)
    wanted = {"points": (*row, 2), "confidences": row, "valid": row}
    if "valid" not in outputs:
        wanted = {"points": (*row, 2), "confidences": row, "channels": row, "count": one}
    if shapes != wanted:
        raise PredictionError(
            f"expected a reply with {_text(wanted)}, got {_text(shapes)}; "
            "name another signature with --signature"
        )
    points = outputs["points"].astype(np.float32)
    confidences = outputs["confidences"].astype(np.float32)
    if "valid" in outputs:
        valid = outputs["valid"].astype(bool)
        points[~valid] = np.nan
        return Points(points, confidences, valid)
    count = outputs["count"].astype(np.int64).clip(0, width)
    points[np.arange(width) >= count[:, None]] = np.nan
    return Peaks(points, confidences, outputs["channels"].astype(np.int64), count)


def _text(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
