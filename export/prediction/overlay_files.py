"""Where drawn frames go: a video, one picture, or a folder of pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from export.prediction.errors import PredictionError, import_extra
from export.prediction.sources import PICTURE_ENDINGS, Source

if TYPE_CHECKING:
    from PIL.Image import Image

VIDEO_ENDING = ".mp4"
# Of what has no time of its own.
RATE = Fraction(10)


class OverlayFile(Protocol):
    """Takes drawn frames in order."""

    def add(self, number: int, image: Image) -> None:
        """Takes the frame of that number.

        Raises:
          PredictionError: It does not fit those before it, or cannot be encoded.
        """

    def close(self) -> None:
        """Makes the file whole."""


def open_overlay(path: Path, source: Source) -> OverlayFile:
    """What a path's ending says: `.mp4`, a picture, or no ending for a folder.

    Raises:
      PredictionError: Another ending, a single picture for several frames, or the frames
        themselves would be written over.
      MissingPackageError: The package that writes it is not installed.
    """
    inputs = {source.path.resolve(), *(file.parent.resolve() for file in source.files)}
    if path.resolve() in {*inputs, *(file.resolve() for file in source.files)}:
        raise PredictionError(f"--overlay: expected a place beside the frames, got theirs: {path}")
    import_extra("PIL.Image", "--overlay")
    ending = path.suffix.lower()
    if ending and not path.absolute().parent.is_dir():
        raise PredictionError(
            f"--overlay: expected a place in a folder that is there, got {path}; make it with: "
            f"mkdir -p {path.parent}"
        )
    if ending == VIDEO_ENDING:
        return _VideoFile(path, source.rate or RATE)
    if ending in PICTURE_ENDINGS:
        if source.count != 1:
            raise PredictionError(
                f"--overlay: expected a folder or a {VIDEO_ENDING} file for "
                f"{source.count or 'several'} frames, got {path}"
            )
        return _OnePicture(path)
    if ending and not path.is_dir():
        raise PredictionError(
            f"--overlay: expected a {VIDEO_ENDING} file, a picture "
            f"({', '.join(PICTURE_ENDINGS)}) or a folder, got {path}"
        )
    return _Folder(path, source.files)


class _OnePicture:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, number: int, image: Image) -> None:
        _save(image, self._path)

    def close(self) -> None:
        pass


class _Folder:
    """PNG files: `000041.png`, or `000041_shot.png` of a picture in `shot.jpg`."""

    def __init__(self, path: Path, files: tuple[Path, ...]) -> None:
        self._path = path
        self._files = files
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PredictionError(
                f"--overlay: expected a folder that can be made, got {path}: {error.strerror}"
            ) from error

    def add(self, number: int, image: Image) -> None:
        name = f"_{self._files[number].stem}" if self._files else ""
        _save(image, self._path / f"{number:06d}{name}.png")

    def close(self) -> None:
        pass


def _save(image: Image, path: Path) -> None:
    try:
        image.save(path)
    except OSError as error:
        raise PredictionError(f"{path}: cannot be written: {error.strerror or error}") from error


class _VideoFile:
    """H.264 with the source's frames per second."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        self._path = path
        self._rate = rate
        self._av = import_extra("av", f"--overlay {path}: encoding a video")
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)

    def add(self, number: int, image: Image) -> None:
        try:
            if self._container is None:
                self._open(image)
            if image.size != self._size:
                raise PredictionError(
                    f"{self._path}: expected frames of one size, {self._size[0]} x "
                    f"{self._size[1]}, got {image.width} x {image.height} for frame {number}; name "
                    "a folder instead"
                )
            # Colours are stored for two pixels together: an odd row or column is left black.
            even = image.crop((0, 0, self._stream.width, self._stream.height))
            self._mux(self._av.VideoFrame.from_image(even))
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _open(self, image: Image) -> None:
        self._container = self._av.open(str(self._path), "w")
        self._stream = self._container.add_stream("libx264", rate=self._rate)
        self._stream.width = image.width + image.width % 2
        self._stream.height = image.height + image.height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "18"}
        self._size = image.size

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def close(self) -> None:
        if self._container is None:
            return
        try:
            self._mux(None)
            self._container.close()
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> PredictionError:
        reason = getattr(error, "strerror", None) or error
        return PredictionError(f"{self._path}: cannot be written: {reason}")
