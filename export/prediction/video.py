"""Frames of a video, decoded with PyAV as they are stored: rotation marks are not applied."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from export.prediction.errors import PredictionError, import_extra
from export.prediction.pixels import as_grey
from export.prediction.sources import IMAGES, Frame


class Video:
    """A video file, see `export.prediction.sources.Source`.

    Args:
      path: The file.

    Raises:
      PredictionError: It is no video.
      MissingPackageError: PyAV is not installed.
    """

    kind = "a video"
    sends: tuple[str, ...] = (IMAGES,)
    files: tuple[Path, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._av = import_extra("av", f"{path}: decoding a video")
        with self._opened() as container:
            stream = container.streams.video[0]
            self.rate: Fraction | None = stream.average_rate
            self.count = _frames_in(container, stream)

    def frames(self, sent_as: str, channels: int | None, dtype: str) -> Iterator[Frame]:
        """Decodes frame by frame: uint8 [H, W, 3] red, green, blue, or [H, W, 1]."""
        number = 0
        with self._opened() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            decoded = container.decode(stream)
            while True:
                try:
                    frame = next(decoded, None)
                    if frame is None:
                        break
                    image = frame.to_ndarray(format="rgb24")
                except (self._av.error.FFmpegError, ValueError) as error:
                    raise PredictionError(
                        f"{self.path}: frame {number} cannot be decoded: {_reason(error)}"
                    ) from error
                image = as_grey(image) if channels == 1 else image
                yield Frame(image, image)
                number += 1
        if not number:
            raise PredictionError(f"{self.path}: expected a video, got one without a frame")

    def _opened(self) -> Any:
        try:
            container = self._av.open(str(self.path))
        except (self._av.error.FFmpegError, OSError) as error:
            raise PredictionError(
                f"{self.path}: expected a video, got {_reason(error)}; "
                "look at it with: ffprobe " + str(self.path)
            ) from error
        if not container.streams.video:
            container.close()
            raise PredictionError(f"{self.path}: expected a video, got a file without pictures")
        return container


def _frames_in(container: Any, stream: Any) -> int | None:
    """What the file says about itself; some formats only say how long they are."""
    if stream.frames:
        return int(stream.frames)
    if container.duration and stream.average_rate:
        seconds = Fraction(container.duration, 1_000_000)
        return round(seconds * stream.average_rate)
    return None


def _reason(error: Exception) -> str:
    """FFmpeg's own words without its number and without the file's name."""
    return str(getattr(error, "strerror", None) or error)
