"""What is fixed when a model of the family `topdown` is exported.

Legend of dimensions: `image_height` Hi and `image_width` Wi of the images, `max_instances` I,
`channels` C nodes of an instance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from signatures.contract.errors import InvalidInputError
from signatures.contract.keypoint_options import LARGEST_CONFIDENCE, KeypointOptions

MOST_INSTANCES = 1000
LARGEST_CROP = 2048
# Numbers in the crops of one run of the instance network: 256 MiB of them.
LARGEST_CROPS = 2**26


@dataclass(frozen=True)
class TopdownOptions:
    """What is fixed when a `topdown` model is exported.

    Attributes:
      image_height: Hi, `None` for any; batching needs both.
      image_width: Wi, `None` for any.
      max_instances: I, instances of one sample.
      crop_size: Side of a crop, in pixels of the image after `instance_scale`.
      channels: C, nodes of an instance; `None` until the network is known.
      centroid_scale: Pixels of the centroid network's input per pixel of the image.
      centroid_pad_to: That input is padded to a multiple of it, at the bottom and on the right.
      centroid_stride: Pixels of that input per pixel of the map of centroids.
      centroid_height: Rows of that input, `None` where they follow the image.
      centroid_width: Columns of that input, `None` where they follow the image.
      centroid_threshold: Peaks of the map of centroids above it are instances; not negative, since
        a confidence of 0 says that there is no instance.
      instance_scale: Pixels of the scaled image that crops are cut from, per pixel of the image.
      instance_stride: Pixels of a crop per pixel of its maps.
      refinement: Of nodes: `none`, `local`, `integral` or `gaussian`.
      window: Side of the window of `integral` and `gaussian`, in pixels of a crop's maps.
      threshold: Nodes with confidences above it are valid.
      names: What the nodes are called, joined by commas; clients find them in the manifest.
      input_max: What a white pixel is in both networks' input; black is 0.
      grayscale: Whether images have one channel instead of red, green, blue.
      batching: `in-graph`, `server` or `none`, as of `keypoints`.
      max_batch: Most samples of one batch, and most images and crops of one run of a network.
      batch_timeout: Longest wait for mates, in milliseconds.
      max_pixels: Most pixels of one image.
      max_samples: Most samples of one request of images of any size.

    Raises:
      InvalidInputError: An option that is unknown, out of bounds, or does not fit another.
    """

    image_height: int | None = None
    image_width: int | None = None
    max_instances: int = 8
    crop_size: int = 160
    channels: int | None = None
    centroid_scale: float = 1.0
    centroid_pad_to: int = 1
    centroid_stride: float = 1.0
    centroid_height: int | None = None
    centroid_width: int | None = None
    centroid_threshold: float = 0.2
    instance_scale: float = 1.0
    instance_stride: float = 1.0
    refinement: str = "gaussian"
    window: int = 7
    threshold: float = 0.2
    names: str = ""
    input_max: float = 1.0
    grayscale: bool = False
    batching: str = "in-graph"
    max_batch: int = 16
    batch_timeout: float = 1.0
    max_pixels: int = 2**23
    max_samples: int = 4096

    def __post_init__(self) -> None:
        faults = [
            _outside("max_instances", self.max_instances, 1, MOST_INSTANCES),
            _outside("crop_size", self.crop_size, 1, LARGEST_CROP),
            _outside("centroid_threshold", self.centroid_threshold, 0, LARGEST_CONFIDENCE),
            self._too_large(),
            _refusal("centroid", self._centroids),
            _refusal("instance", self._nodes),
        ]
        # Options of both networks are refused in the same words.
        sentences = dict.fromkeys(part for fault in faults for part in fault.split("; ") if part)
        if sentences:
            raise InvalidInputError("; ".join(sentences))

    def _too_large(self) -> str:
        """Whether one run's crops take more memory than a run may."""
        crop = self.crop_size**2 * self.image_channels
        if not 1 <= self.crop_size <= LARGEST_CROP or self.max_batch * crop <= LARGEST_CROPS:
            return ""
        return (
            f"crop_size: expected at most {LARGEST_CROPS} numbers in the crops of one run "
            f"(max_batch * crop_size * crop_size * {self.image_channels}), got "
            f"{self.max_batch * crop}, pass --max-batch {LARGEST_CROPS // crop}"
        )

    def _centroids(self) -> KeypointOptions:
        return KeypointOptions(
            channels=1,
            refinement="none",
            # What is out of bounds has a sentence of this family's already.
            threshold=self.centroid_threshold
            if 0 <= self.centroid_threshold <= LARGEST_CONFIDENCE
            else 0.0,
            max_peaks=self.max_instances if 1 <= self.max_instances <= MOST_INSTANCES else 1,
            output_stride=self.centroid_stride,
            # With a batcher of the server's, maps must be fixed, which there are none of here.
            batching="none" if self.batching == "server" else self.batching,
            max_batch=self.max_batch,
            batch_timeout=self.batch_timeout,
            backbone=True,
            image_height=self.image_height,
            image_width=self.image_width,
            input_scale=self.centroid_scale,
            pad_to=self.centroid_pad_to,
            input_height=self.centroid_height,
            input_width=self.centroid_width,
            input_max=self.input_max,
            grayscale=self.grayscale,
            max_pixels=self.max_pixels,
            max_samples=self.max_samples,
        )

    def _nodes(self) -> KeypointOptions:
        if self.batching == "server" and not self.has_fixed_images:
            raise InvalidInputError(
                "batching: the server's batcher joins requests of one shape only, "
                "pass image_height and image_width"
            )
        return KeypointOptions(
            channels=self.channels,
            refinement=self.refinement,
            window=self.window,
            threshold=self.threshold,
            names=self.names,
            output_stride=self.instance_stride,
            batching="none",
            max_batch=1,
            backbone=True,
            image_height=self.image_height,
            image_width=self.image_width,
            input_scale=self.instance_scale,
            input_max=self.input_max,
            grayscale=self.grayscale,
            max_pixels=self.max_pixels,
        )

    @property
    def centroids(self) -> KeypointOptions:
        """How images become points of instances: options of the centroid network."""
        return self._centroids()

    @property
    def nodes(self) -> KeypointOptions:
        """How a scaled image's crops become points of nodes: options of the instance network."""
        return self._nodes()

    @property
    def has_fixed_images(self) -> bool:
        """Whether the images' size is fixed, without which requests cannot be joined."""
        return self.image_height is not None

    @property
    def images_batched_in_graph(self) -> bool:
        """Whether the graph joins requests."""
        return self.batching == "in-graph" and self.has_fixed_images

    @property
    def image_channels(self) -> int:
        """Channels of the images that clients send."""
        return 1 if self.grayscale else 3

    @property
    def image_stride(self) -> float:
        """Pixels of the image per pixel of the map of centroids."""
        return self.centroid_stride / self.centroid_scale


# What the options of one network are called here, by prefix.
_RENAMED = {
    "centroid": {
        "threshold": "centroid_threshold",
        "output_stride": "centroid_stride",
        "input_scale": "centroid_scale",
        "pad_to": "centroid_pad_to",
        "input_height": "centroid_height",
        "input_width": "centroid_width",
    },
    "instance": {"output_stride": "instance_stride", "input_scale": "instance_scale"},
}


def _refusal(network: str, make: Callable[[], KeypointOptions]) -> str:
    """The sentence with which a network's options are refused, in this family's words."""
    try:
        make()
    except InvalidInputError as error:
        parts = []
        for part in str(error).split("; "):
            name, colon, rest = part.partition(":")
            parts.append(f"{_RENAMED[network].get(name, name)}{colon}{rest}")
        return "; ".join(parts)
    return ""


def _outside(name: str, value: float, least: float, most: float) -> str:
    return "" if least <= value <= most else f"{name}: expected {least:g}..{most:g}, got {value}"
