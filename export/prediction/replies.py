"""What a signature answers, as points that say themselves where there is none.

Legend: `N` frames of one request, `C` channels (landmarks), `K` peaks of a frame, `I` instances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from export.prediction.errors import PredictionError

_OF_POINTS = {"points", "confidences", "valid"}
_OF_PEAKS = {"points", "confidences", "channels", "count"}
_OF_INSTANCES = {*_OF_POINTS, "instance_confidences"}
# Beside points, where maps are answered.
OF_MAPS = {"confmaps", "placement"}
# The names of outputs that can be read.
ANSWERS = (_OF_POINTS, _OF_PEAKS, _OF_INSTANCES, _OF_POINTS | OF_MAPS)


@dataclass(frozen=True)
class Mark:
    """One row of a frame.

    Attributes:
      channel: The landmark's channel.
      x: Column in pixels of what was sent, NaN where nothing was found.
      y: Row in pixels, likewise.
      confidence: The map there, 0 where nothing was found.
      instance: Which one of the frame's it belongs to, `None` where there are none to tell apart.
    """

    channel: int
    x: np.float32
    y: np.float32
    confidence: np.float32
    instance: int | None = None

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


@dataclass(frozen=True)
class Instances:
    """One point per frame, instance and channel; instances are strongest first.

    Attributes:
      points: float32 [N, I, C, 2] as (x, y) in pixels of what was sent; NaN where not valid.
      confidences: float32 [N, I, C]; 0 where not valid.
      valid: bool [N, I, C].
      instance_confidences: float32 [N, I]; 0 where there is no instance.
    """

    points: np.ndarray
    confidences: np.ndarray
    valid: np.ndarray
    instance_confidences: np.ndarray

    def present(self, frame: int) -> list[int]:
        """Which slots of one frame hold an instance."""
        return [int(slot) for slot in np.flatnonzero(self.instance_confidences[frame])]

    def marks(self, frame: int) -> Iterator[Mark]:
        """Every channel of the instances of one frame."""
        for slot in self.present(frame):
            for channel, (x, y) in enumerate(self.points[frame, slot]):
                yield Mark(channel, x, y, self.confidences[frame, slot, channel], slot)


Reply = Points | Peaks | Instances


@dataclass(frozen=True)
class MapLayers:
    """The maps of one request.

    Attributes:
      maps: float32 [N, H, W, C], confidences.
      placement: float32 [N, 4], columns factor x, factor y, shift x, shift y: a pixel of the map
        lies at `pixel * factor + shift` in the frame.
    """

    maps: np.ndarray
    placement: np.ndarray


@dataclass(frozen=True)
class Answer:
    """What a server answered to one request.

    Attributes:
      reply: Points or peaks.
      layers: The maps that they are from, if they were asked for.
    """

    reply: Reply
    layers: MapLayers | None = None


def read_answer(outputs: Mapping[str, np.ndarray], frames: int) -> Answer:
    """Checks what a server answered: points, and maps where there are any.

    Args:
      outputs: By name, as the signature returns them.
      frames: N of the request.

    Raises:
      PredictionError: They are not the outputs of a signature that is known here.
    """
    if not outputs.keys() >= OF_MAPS:
        return Answer(read_reply(outputs, frames))
    reply = read_reply({key: outputs[key] for key in outputs.keys() - OF_MAPS}, frames)
    maps, placement = (outputs[name].astype(np.float32) for name in sorted(OF_MAPS))
    is_fit = maps.ndim == 4 and len(maps) == frames and placement.shape == (frames, 4)
    if not is_fit or maps.shape[3] != reply.points.shape[1]:
        raise PredictionError(
            f"expected a reply with confmaps [{frames}, height, width, {reply.points.shape[1]}], "
            f"placement [{frames}, 4], got "
            f"{_text({'confmaps': maps.shape, 'placement': placement.shape})}; "
            "name another signature with --signature"
        )
    return Answer(reply, MapLayers(maps, placement))


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
    row: tuple[int, ...] = (frames, width)
    has_instances = "instance_confidences" in outputs
    if has_instances:
        row = (frames, shapes["instance_confidences"][-1], width)
    wanted = {"points": (*row, 2), "confidences": row, "valid": row}
    if has_instances:
        wanted["instance_confidences"] = row[:2]
    if "valid" not in outputs:
        wanted = {"points": (*row, 2), "confidences": row, "channels": row, "count": (frames,)}
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
        if not has_instances:
            return Points(points, confidences, valid)
        strengths = outputs["instance_confidences"].astype(np.float32)
        return Instances(points, confidences, valid, strengths)
    count = outputs["count"].astype(np.int64).clip(0, width)
    points[np.arange(width) >= count[:, None]] = np.nan
    return Peaks(points, confidences, outputs["channels"].astype(np.int64), count)


def _text(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
