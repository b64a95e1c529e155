"""What frames are read from: the kinds of INPUT, and what they have in common.

Legend: `H` height, `W` width, `C` channels of one frame.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from export.prediction.errors import PredictionError

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")
ARRAY_ENDINGS = (".npy", ".npz")
_KNOWN = f"{', '.join((*VIDEO_ENDINGS, *PICTURE_ENDINGS, *ARRAY_ENDINGS))}, a folder or a pattern"

# The inputs of signatures that frames can be sent as.
CONFMAPS, IMAGES, ENCODED_IMAGES = "confmaps", "images", "encoded_images"
INPUTS = (CONFMAPS, IMAGES, ENCODED_IMAGES)


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
      data: What is sent: an image uint8 [H, W, 1 or 3], maps float32 or uint8 [H, W, C], or the
        bytes of a picture's file.
      picture: What an overlay is drawn on: uint8 [H, W, 1 or 3] or the bytes of a picture's file;
        `None` where there is nothing to see.
    """

    data: np.ndarray | bytes
    picture: np.ndarray | bytes | None


class Source(Protocol):
    """Frames in order.

    Attributes:
      path: What was given, for sentences.
      kind: Which kind of frames, such as `"a video"`.
      sends: The inputs of signatures that the frames can be sent as, the natural one first.
      count: How many frames, as far as that is known before they are read.
      rate: Frames per second; `None` where there is no time.
      files: The pictures' files; empty for other kinds.
    """

    path: Path
    kind: str
    sends: tuple[str, ...]
    count: int | None
    rate: Fraction | None
    files: tuple[Path, ...]

    def frames(self, sent_as: str, channels: int | None, dtype: str) -> Iterator[Frame]:
        """Reads the frames.

        Args:
          sent_as: One of `sends`.
          channels: How many channels an image shall have, 1 or 3; `None` for 3.
          dtype: The dtype that the signature takes, such as `"float32"`.

        Raises:
          PredictionError: A frame cannot be read.
        """


def open_source(given: str) -> Source:
    """Finds out what kind of frames INPUT means, and opens it.

    Args:
      given: A file, a folder of pictures, or a pattern of pictures such as `"shots/*.png"`.

    Raises:
      PredictionError: There is no such file, or it is of no kind that can be read.
      MissingPackageError: The kind needs a package that is not installed.
    """
    from export.prediction.arrays import Arrays
    from export.prediction.pictures import Pictures
    from export.prediction.video import Video

    path = Path(given)
    if path.is_dir():
        return Pictures(path, _pictures_of(path.iterdir(), f"{path}/"))
    if not path.exists() and glob.has_magic(given):
        found = glob.iglob(given, recursive=True)  # noqa: PTH207 - an absolute pattern as well
        return Pictures(path, _pictures_of(map(Path, found), given))
    if not path.is_file():
        raise PredictionError(f"{given}: expected a file, a folder or a pattern, got no such file")
    ending = path.suffix.lower()
    if ending in VIDEO_ENDINGS:
        return Video(path)
    if ending in PICTURE_ENDINGS:
        return Pictures(path, (path,))
    if ending in ARRAY_ENDINGS:
        return Arrays(path)
    raise PredictionError(f"{given}: expected {_KNOWN}, got a file that ends in {ending!r}")


def _pictures_of(found: Iterator[Path], given: str) -> tuple[Path, ...]:
    """The pictures among files, in the order in which people count: 2 before 10."""
    paths = [path for path in found if path.is_file()]
    pictures = [path for path in paths if path.suffix.lower() in PICTURE_ENDINGS]
    if not pictures:
        others = f"{len(paths)} other files" if paths else "no file"
        raise PredictionError(
            f"{given}: expected pictures ({', '.join(PICTURE_ENDINGS)}), got {others}; name a "
            "folder of pictures, a quoted pattern such as 'shots/*.png', or one file"
        )
    return tuple(sorted(pictures, key=_counted))


def _counted(path: Path) -> list[tuple[int, int, str]]:
    """What sorts numbers in a name by their value.

    >>> sorted(map(Path, ("a10.png", "a2.png", "b.png")), key=_counted)[0].name
    'a2.png'
    """
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
