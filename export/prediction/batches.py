"""Frames, a few at a time, of the size that the model wants.

Legend: `N` frames of one request, `H` height, `W` width, `C` channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.prediction.errors import PredictionError
from export.prediction.reading import UntilFailure
from export.prediction.served import Chosen
from export.prediction.sources import CONFMAPS, Frame, Source


@dataclass(frozen=True)
class Batch:
    """Consecutive frames of one shape.

    Attributes:
      first: The number of its first frame.
      frames: N of them.
    """

    first: int
    frames: tuple[Frame, ...]

    def stacked(self) -> np.ndarray:
        """What is sent: [N, H, W, C], or an array [N] of byte strings."""
        if isinstance(self.frames[0].data, bytes):
            strings = np.empty(len(self.frames), object)
            strings[:] = [frame.data for frame in self.frames]
            return strings
        return np.stack([np.asarray(frame.data) for frame in self.frames])


def batches_of(
    source: Source, chosen: Chosen, size: int, *, needs_pictures: bool = False
) -> Iterator[Batch]:
    """Reads frames and puts them together; frames of different shapes are not.

    Args:
      source: Where they come from.
      chosen: Where they go.
      size: Most frames of a batch.
      needs_pictures: Whether frames without anything to draw on are refused.

    Raises:
      PredictionError: A frame cannot be read, or has another size than the model wants; those
        before it have come.
    """
    first, waiting = 0, list[Frame]()
    frames = source.frames(chosen.sent_as, chosen.channels, chosen.spec.dtype)
    reading = UntilFailure(_checked(frames, source, chosen, needs_pictures=needs_pictures))
    for number, frame in enumerate(reading):
        if waiting and (len(waiting) == size or np.shape(frame.data) != np.shape(waiting[0].data)):
            yield Batch(first, tuple(waiting))
            first, waiting = number, []
        waiting.append(frame)
    if waiting:
        yield Batch(first, tuple(waiting))
    reading.raise_failure()


def _checked(
    frames: Iterable[Frame], source: Source, chosen: Chosen, *, needs_pictures: bool
) -> Iterator[Frame]:
    wanted = (chosen.spec.shape or ())[1:]
    for number, frame in enumerate(frames):
        if needs_pictures and frame.picture is None:
            raise PredictionError(
                f"{source.path}: expected images beside the maps to draw on, got none; save them "
                "as images, uint8 [samples, height, width, 3], in the same .npz file, draw the "
                "maps themselves with --maps, or leave --overlay out"
            )
        if isinstance(frame.data, np.ndarray) and wanted:
            shape = frame.data.shape
            if any(want not in (None, got) for want, got in zip(wanted, shape, strict=True)):
                name = source.files[number] if source.files else source.path
                raise PredictionError(_sentence(name, wanted, shape, chosen.sent_as))
        yield frame


def _sentence(
    name: Path, wanted: tuple[int | None, ...], got: tuple[int, ...], sent_as: str
) -> str:
    """Expected, got, and what to do about it."""
    if sent_as == CONFMAPS:
        options = ("--height", "--width", "--channels")
        again = " ".join(f"{option} {size}" for option, size in zip(options, got, strict=True))
        return (
            f"{name}: expected maps of {_sizes(wanted)} (height x width x channels), got "
            f"{_sizes(got)}; ask the model that was exported with {again}"
        )
    height, width, channels = wanted
    if channels not in (None, got[2]):
        return (
            f"{name}: expected images with {channels} channels, got {got[2]}; "
            f"{'repeat' if channels == 3 else 'average'} the last axis"
        )
    scaled = name.with_stem(f"{name.stem}_scaled")
    return (
        f"{name}: expected frames of {_sizes((height, width))} pixels (height x width), got "
        f"{_sizes(got[:2])}; scale them with: ffmpeg -i {name} -vf scale={width or -1}:"
        f"{height or -1} {scaled} (or export the model with --image-height {got[0]} "
        f"--image-width {got[1]})"
    )


def _sizes(sizes: tuple[int | None, ...]) -> str:
    return " x ".join("any" if size is None else str(size) for size in sizes)
