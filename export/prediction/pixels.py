"""Pictures and arrays of pixels, one into the other, with Pillow.

Legend: `H` height, `W` width.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from export.prediction.errors import PredictionError, import_extra

if TYPE_CHECKING:
    from PIL.Image import Image

# Eight bits per channel; of others, Pillow would cut off what is above 255.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def open_picture(content: bytes, name: str) -> Image:
    """A picture of a file's bytes; EXIF orientation is not applied, as on the server.

    Args:
      content: The file's bytes.
      name: What it is called in sentences.

    Raises:
      PredictionError: It is no picture, or not of eight bits per channel.
      MissingPackageError: Pillow is not installed.
    """
    image_module = import_extra("PIL.Image", f"{name}: decoding a picture")
    try:
        picture: Image = image_module.open(io.BytesIO(content))
        picture.load()
    # Pillow's errors of damaged files have many classes.
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = "something else" if "BytesIO" in reason else reason
        raise PredictionError(f"{name}: expected a PNG or JPEG picture, got {reason}") from error
    if picture.mode not in _MODES:
        raise PredictionError(
            f"{name}: expected a picture of 8 bits per channel, got Pillow's mode {picture.mode}; "
            "convert it with: magick IN -depth 8 OUT"
        )
    return picture


def as_image(picture: Image, channels: int | None) -> np.ndarray:
    """uint8 [H, W, 3] red, green, blue, or [H, W, 1] grey of a picture; alpha is dropped."""
    if channels == 1:
        return np.asarray(picture.convert("L"))[..., None]
    return np.asarray(picture.convert("RGB"))


def as_grey(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 1] of uint8 [H, W, 3], weighted as ITU-R BT.601 says."""
    image_module = import_extra("PIL.Image", "making images grey")
    return as_image(image_module.fromarray(image), 1)


def as_picture(pixels: np.ndarray | bytes, name: str) -> Image:
    """A picture in red, green, blue to draw on, of pixels uint8 [H, W, 1 or 3] or a file's bytes.

    Raises:
      PredictionError: The bytes are no picture.
    """
    if isinstance(pixels, bytes):
        return open_picture(pixels, name).convert("RGB")
    image_module = import_extra("PIL.Image", "drawing")
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    picture: Image = image_module.fromarray(np.ascontiguousarray(pixels))
    return picture
