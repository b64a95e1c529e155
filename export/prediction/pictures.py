"""Pictures in files, one frame each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from export.prediction.errors import PredictionError
from export.prediction.pixels import as_image, open_picture
from export.prediction.sources import ENCODED_IMAGES, IMAGES, Frame


class Pictures:
    """Files of pictures, see `export.prediction.sources.Source`.

    Args:
      path: What was given.
      files: The pictures in order.
    """

    kind = "pictures"
    # The server decodes them: files are smaller than their pixels.
    sends: tuple[str, ...] = (ENCODED_IMAGES, IMAGES)
    rate: Fraction | None = None

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self.files = tuple(files)
        self.count: int | None = len(self.files)

    def frames(self, sent_as: str, channels: int | None, dtype: str) -> Iterator[Frame]:
        """Reads file by file: its bytes, or decoded uint8 [H, W, 3 or 1]."""
        for file in self.files:
            try:
                content = file.read_bytes()
            except OSError as error:
                raise PredictionError(f"{file}: cannot be read: {error.strerror}") from error
            if sent_as == ENCODED_IMAGES:
                yield Frame(content, content)
            else:
                image = as_image(open_picture(content, str(file)), channels)
                yield Frame(image, image)
