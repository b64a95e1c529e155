"""Confidence maps blended into frames, where the model's coordinate convention puts them.

Legend: `N` frames, `H` and `W` the map's size, `C` channels, `h` and `w` the picture's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.prediction.errors import PredictionError, import_extra
from export.prediction.overlay import colour_of
from signatures.contract import KeypointOptions, ModelContract, image_options

if TYPE_CHECKING:
    from PIL.Image import Image

# How much a confidence of 1 covers: what is below it is still seen.
OPACITY = 0.65


@dataclass(frozen=True)
class Sent:
    """Where maps that a model is sent lie in the images that they were made of.

    Attributes:
      placement: float32 [4], columns as of `export.prediction.replies.MapLayers`.
      to_corners: Whether the outermost pixels of map and image lie on one another.
    """

    placement: np.ndarray
    to_corners: bool = False


def placed_by(contract: ModelContract | None) -> Sent:
    """Where the maps that a model is sent lie in the images that they were made of.

    Args:
      contract: Of the model, if it is known.

    Raises:
      PredictionError: It is not known.
    """
    if contract is None:
        raise PredictionError(
            "--maps: expected --model-root DIR beside INPUT of maps, whose manifest says how many "
            "pixels of the image a pixel of the map is, got none; pass the folder that the model "
            "was exported to"
        )
    options = image_options(contract)
    assert isinstance(options, KeypointOptions)
    factors, shift = options.placement
    placement = np.array([*factors, shift, shift], np.float32)
    return Sent(placement, to_corners=options.coordinates == "corners")


def blank(map_size: tuple[int, int], sent: Sent) -> np.ndarray:
    """A black picture uint8 [h, w, 3] of the size that maps [H, W] are placed in."""
    ends = int(sent.to_corners)
    height, width = (
        max(1, round((size - ends) * float(factor)) + ends)
        for size, factor in zip(map_size, sent.placement[1::-1], strict=True)
    )
    return np.zeros((height, width, 3), np.uint8)


def blended(picture: Image, maps: np.ndarray, placement: np.ndarray) -> Image:
    """A picture under its maps: each pixel in the colour of its strongest channel.

    The higher the confidence, the more it covers; 0 and less is not seen, 1 and more covers most.
    Between the map's pixels the cover is interpolated, and half a pixel beyond the outermost ones
    it ends.

    Args:
      picture: Red, green, blue; it is not changed.
      maps: float32 or uint8 [H, W, C]; what is no number counts as 0. Bytes are 255 for 1.
      placement: float32 [4], likewise.
    """
    confidences = maps.astype(np.float32) / (255 if maps.dtype == np.uint8 else 1)
    confidences = np.clip(np.nan_to_num(confidences, nan=0.0), 0, 1)
    colours = np.array([colour_of(channel) for channel in range(maps.shape[2])], np.float32)
    strongest = confidences.argmax(axis=2)
    cover = OPACITY * np.take_along_axis(confidences, strongest[..., None], axis=2)
    # Colours weighed by their cover, and the cover: so they may be interpolated apart.
    layer = np.concatenate([cover * colours[strongest], cover], axis=2)
    for axis, size in ((0, picture.height), (1, picture.width)):
        factor, shift = placement[1 - axis], placement[3 - axis]
        layer = _resampled(layer, axis, (np.arange(size) - float(shift)) / float(factor))
    mixed = np.asarray(picture) * (1 - layer[..., 3:]) + layer[..., :3]
    image = import_extra("PIL.Image", "drawing")
    result: Image = image.fromarray(np.rint(mixed).astype(np.uint8))
    return result


def _resampled(layer: np.ndarray, axis: int, places: np.ndarray) -> np.ndarray:
    """The layer at places along an axis, linear between pixels, 0 where it has ended."""
    last = layer.shape[axis] - 1
    shape = [-1 if other == axis else 1 for other in range(layer.ndim)]
    inside = np.abs(places - last / 2) <= (last + 1) / 2
    near = np.clip(places, 0, last)
    low = np.floor(near).astype(int)
    weight = (near - low).reshape(shape).astype(np.float32)
    below, above = (layer.take(index, axis) for index in (low, np.minimum(low + 1, last)))
    linear: np.ndarray = (below * (1 - weight) + above * weight) * inside.reshape(shape)
    return linear
