"""What is fixed when a model of the family `keypoints` is exported.

Legend of dimensions: `height` H, `width` W and `channels` C of the maps, `image_height` Hi and
`image_width` Wi of the images, `max_peaks` K.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from signatures.contract.errors import InvalidInputError
from signatures.contract.shared import LARGEST_MAPS, WIDEST_WINDOW

REFINEMENTS = ("none", "local", "integral", "gaussian")
BATCHING = ("in-graph", "server", "none")
COORDINATES = ("scaled", "half-pixel", "cells", "corners")
LARGEST_MAP = 2**26
LARGEST_PICTURE = 2**30
LARGEST_CONFIDENCE = 3e38


@dataclass(frozen=True)
class KeypointOptions:
    """What is fixed when a `keypoints` model is exported.

    Attributes:
      height: H, `None` for any; batching needs all three.
      width: W, `None` for any.
      channels: C, `None` for any.
      refinement: `none`, `local`, `integral` or `gaussian`.
      window: Side of the window of `integral` and `gaussian`, in pixels of the map.
      threshold: Confidences above it are valid.
      max_peaks: K, the width of `local_peaks`.
      output_stride: Pixels of the network's input per pixel of the map.
      batching: `in-graph` (a batcher behind each signature's own shape check), `server` (the
        model server's batcher) or `none`.
      max_batch: Most samples of one batch, and of one run of the network.
      batch_timeout: Longest wait for mates, in milliseconds. Up to 1 nobody waits: batches fill
        while others run.
      backbone: Whether a network turns images into maps: adds the signatures of images.
      with_maps: Whether there is also a signature that answers the network's maps.
      image_height: Hi, `None` for any; batching of images needs both.
      image_width: Wi, `None` for any.
      input_scale: Pixels of the network's input per pixel of the image.
      pad_to: The network's input is padded to a multiple of it, with zeros at the bottom and on
        the right.
      input_height: Rows of the network's input, `None` where they follow the image.
      input_width: Columns of the network's input, `None` where they follow the image.
      input_max: What a white pixel is in the network's input; black is 0.
      grayscale: Whether images have one channel instead of red, green, blue.
      coordinates: `scaled` (x stride / scale, the convention of SLEAP's networks),
        `half-pixel` (that of geometric resizing, which keeps the outer edges of pictures), `cells`
        ((x + 1/2) stride / scale, DeepLabCut's: a map's pixel stands for a cell of the input), or
        `corners` (first and last pixels of the map and of the network's input lie on one another,
        MMPose's UDP; images are resized as under `half-pixel`).
      max_pixels: Most pixels of one picture.
      max_samples: Most samples of one request, where samples may be small: pictures, and maps and
        images of any size.
      max_map_elements: Largest number of elements of one request's maps.
      names: What the channels are called, joined by commas; clients find them in the manifest.

    Raises:
      InvalidInputError: An option that is unknown, out of bounds, or does not fit another.
    """

    height: int | None = None
    width: int | None = None
    channels: int | None = None
    refinement: str = "gaussian"
    window: int = 7
    threshold: float = 0.2
    max_peaks: int = 20
    output_stride: float = 1.0
    batching: str = "in-graph"
    max_batch: int = 16
    batch_timeout: float = 1.0
    backbone: bool = False
    with_maps: bool = False
    image_height: int | None = None
    image_width: int | None = None
    input_scale: float = 1.0
    pad_to: int = 1
    input_height: int | None = None
    input_width: int | None = None
    input_max: float = 1.0
    grayscale: bool = False
    coordinates: str = "scaled"
    max_pixels: int = 2**23
    max_samples: int = 4096
    max_map_elements: int = LARGEST_MAPS
    names: str = ""

    def __post_init__(self) -> None:
        faults = [
            _outside("height", self.height, 1, LARGEST_MAP),
            _outside("width", self.width, 1, LARGEST_MAP),
            _outside("channels", self.channels, 1, LARGEST_MAP),
            _unknown("refinement", self.refinement, REFINEMENTS),
            _outside("window", self.window, 1, WIDEST_WINDOW),
            _outside("threshold", self.threshold, -LARGEST_CONFIDENCE, LARGEST_CONFIDENCE),
            _outside("max_peaks", self.max_peaks, 1, 100_000),
            _outside("output_stride", self.output_stride, 1e-3, 1e3),
            _unknown("batching", self.batching, BATCHING),
            _outside("max_batch", self.max_batch, 1, 65_536),
            _outside("batch_timeout", self.batch_timeout, 0.0, 60_000.0),
            _outside("image_height", self.image_height, 1, LARGEST_MAP),
            _outside("image_width", self.image_width, 1, LARGEST_MAP),
            _outside("input_scale", self.input_scale, 1e-3, 1e3),
            _outside("pad_to", self.pad_to, 1, 65_536),
            _outside("input_height", self.input_height, 1, LARGEST_MAP),
            _outside("input_width", self.input_width, 1, LARGEST_MAP),
            _outside("input_max", self.input_max, 1e-3, 65_535.0),
            _unknown("coordinates", self.coordinates, COORDINATES),
            _outside("max_pixels", self.max_pixels, 1, LARGEST_PICTURE),
            _outside("max_samples", self.max_samples, self.max_batch, 2**24),
            _outside("max_map_elements", self.max_map_elements, self.map_elements, 2**31),
            self._unfit(),
            self._misnamed(),
        ]
        if any(faults):
            raise InvalidInputError("; ".join(filter(None, faults)))

    def _unfit(self) -> str:
        """What is wrong with options beside one another."""
        if (self.image_height is None) != (self.image_width is None):
            return "image_height and image_width: expected both or neither"
        if self.image_pixels > self.max_pixels:
            return f"max_pixels: expected at least {self.image_pixels}, got {self.max_pixels}"
        if self.with_maps and not self.backbone:
            return "with_maps: expected a network whose maps are answered, pass a backbone"
        if self.batching != "server":
            return ""
        if not self.has_fixed_maps:
            return (
                "batching: the server's batcher joins requests of one shape only; "
                "pass height, width and channels"
            )
        if self.backbone and not self.has_fixed_images:
            return (
                "batching: the server's batcher joins requests of one shape only; "
                "pass image_height and image_width"
            )
        return ""

    def _misnamed(self) -> str:
        """What is wrong with the names."""
        names = self.names.split(",") if self.names else []
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not all(name == name.strip() != "" for name in names):
            return f"names: expected different names, such as nose,tail, got {self.names!r}"
        if names and self.channels not in (None, len(names)):
            return f"names: expected {self.channels}, one for each channel, got {len(names)}"
        return ""

    @property
    def has_fixed_maps(self) -> bool:
        """Whether the maps' inner shape is fixed, without which requests cannot be joined."""
        return None not in (self.height, self.width, self.channels)

    @property
    def map_elements(self) -> int:
        """Elements of one map of the fixed size, 1 where there is none."""
        return (self.height or 1) * (self.width or 1) * (self.channels or 1)

    @property
    def has_fixed_images(self) -> bool:
        """Whether the images' size is fixed, without which images cannot be joined."""
        return self.image_height is not None

    @property
    def image_pixels(self) -> int:
        """Pixels of an image of the fixed size, 0 where there is none."""
        return (self.image_height or 0) * (self.image_width or 0)

    @property
    def image_channels(self) -> int:
        """Channels of the images that clients send."""
        return 1 if self.grayscale else 3

    @property
    def batched_in_graph(self) -> bool:
        """Whether the graph joins requests of maps."""
        return self.batching == "in-graph" and self.has_fixed_maps

    @property
    def images_batched_in_graph(self) -> bool:
        """Whether the graph joins requests of images."""
        return self.batching == "in-graph" and self.has_fixed_images

    @property
    def strides(self) -> tuple[float, float]:
        """Pixels of the network's input per pixel of the map, along x and along y.

        Raises:
          InvalidInputError: They depend on a size that is not fixed.
        """
        if self.coordinates != "corners":
            return self.output_stride, self.output_stride
        sides = (self.width, self.input_width), (self.height, self.input_height)
        strides = [
            ((size or round(pixels * self.output_stride)) - 1) / (pixels - 1)
            for pixels, size in sides
            if pixels is not None and pixels > 1
        ]
        if len(strides) != 2:
            raise InvalidInputError(
                "coordinates: corners needs maps of a fixed size with two pixels or more, got "
                f"{self.height} x {self.width}; pass --image-height and --image-width"
            )
        return strides[0], strides[1]

    @property
    def image_stride(self) -> float:
        """Pixels of the image per pixel of the map."""
        return self.output_stride / self.input_scale

    @property
    def placement(self) -> tuple[tuple[float, float], float]:
        """Where a map's pixel lies in an image scaled by `input_scale`.

        Returns:
          Factors along x and along y, and the shift of both, in pixels of the image.

        Raises:
          InvalidInputError: The factors depend on a size that is not fixed.
        """
        x, y = (stride / self.input_scale for stride in self.strides)
        if self.coordinates == "scaled":
            shift = 0.0
        elif self.coordinates == "cells":
            shift = 0.5 * self.image_stride
        else:
            shift = 0.5 / self.input_scale - 0.5
        return (x, y), shift


def scaled_size(size: int, scale: float) -> int:
    """Pixels along one side after scaling: rounded down, at least one.

    >>> scaled_size(321, 0.5), scaled_size(30, 0.1), scaled_size(1, 0.1)
    (160, 3, 1)
    """
    # A product such as 29.999999999999996 means 30.
    return max(1, math.floor(size * scale + 1e-6))


def padded_size(size: int, multiple: int) -> int:
    """The next multiple.

    >>> padded_size(160, 32), padded_size(161, 32)
    (160, 192)
    """
    return -(-size // multiple) * multiple


def _outside(name: str, value: Any, low: float, high: float) -> str:
    if value is None or low <= value <= high:
        return ""
    return f"{name}: expected {low:g}..{high:g}, got {value}"


def _unknown(name: str, value: str, known: tuple[str, ...]) -> str:
    return "" if value in known else f"{name}: expected one of {', '.join(known)}, got {value!r}"
