"""The contract of the model family `keypoints`: confidence maps to points, safe to batch.

Axis 0 of every input and output is the sample, there are no scalar inputs (what could be chosen
is fixed at export), outputs have a fixed width and are finite, and no value in one request can
fail another.

Legend of dimensions: `samples` N, `height` H, `width` W, `channels` C, `max_peaks` K.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from signatures.contract.errors import InvalidInputError
from signatures.contract.shared import WIDEST_WINDOW
from signatures.contract.signature import ModelContract, SignatureContract, Tolerance
from signatures.contract.tensors import Dimension, TensorContract

REFINEMENTS = ("none", "local", "integral", "gaussian")
BATCHING = ("in-graph", "none")
LARGEST_MAP = 2**26


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
      output_stride: Pixels of the image per pixel of the map; points are multiplied by it.
      batching: `in-graph` (a batcher behind each signature's own shape check) or `none`.
      max_batch: Most samples of one batch.
      batch_timeout: Longest wait for a batch to fill, in milliseconds.

    Raises:
      InvalidInputError: An option that is unknown or out of bounds.
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

    def __post_init__(self) -> None:
        faults = [
            _outside("height", self.height, 1, LARGEST_MAP),
            _outside("width", self.width, 1, LARGEST_MAP),
            _outside("channels", self.channels, 1, LARGEST_MAP),
            _unknown("refinement", self.refinement, REFINEMENTS),
            _outside("window", self.window, 1, WIDEST_WINDOW),
            _outside("threshold", self.threshold, -3e38, 3e38),
            _outside("max_peaks", self.max_peaks, 1, 100_000),
            _outside("output_stride", self.output_stride, 1e-3, 1e3),
            _unknown("batching", self.batching, BATCHING),
            _outside("max_batch", self.max_batch, 1, 65_536),
            _outside("batch_timeout", self.batch_timeout, 0.0, 60_000.0),
        ]
        if any(faults):
            raise InvalidInputError("; ".join(filter(None, faults)))

    @property
    def has_fixed_maps(self) -> bool:
        """Whether the maps' inner shape is fixed, without which requests cannot be joined."""
        return None not in (self.height, self.width, self.channels)

    @property
    def batched_in_graph(self) -> bool:
        """Whether the graph joins requests."""
        return self.batching == "in-graph" and self.has_fixed_maps


def _outside(name: str, value: Any, low: float, high: float) -> str:
    if value is None or low <= value <= high:
        return ""
    return f"{name}: expected {low:g}..{high:g}, got {value}"


def _unknown(name: str, value: str, known: tuple[str, ...]) -> str:
    return "" if value in known else f"{name}: expected one of {', '.join(known)}, got {value!r}"


def keypoints_contract(options: KeypointOptions = KeypointOptions()) -> ModelContract:
    """The family's contract under the given options."""
    height: Dimension = options.height or "height"
    width: Dimension = options.width or "width"
    channels: Dimension = options.channels or "channels"

    def maps(dtype: str, units: str) -> TensorContract:
        return TensorContract(
            name="confmaps",
            dtype=dtype,
            shape=("samples", height, width, channels),
            axes="sample, row, column, channel",
            units=units,
            meaning="confidence maps, one channel per landmark",
            example=_example(options, dtype),
        )

    def output(
        name: str, dtype: str, shape: tuple[Dimension, ...], axes: str, units: str, meaning: str
    ) -> TensorContract:
        return TensorContract(name, dtype, ("samples", *shape), axes, units, meaning)

    pixels = "pixels of the map" if options.output_stride == 1 else "pixels of the image"
    per_channel = (
        output("points", "float32", (channels, 2), "sample, channel; columns x, y", pixels,
               "where each landmark is; 0 where not valid"),
        output("confidences", "float32", (channels,), "sample, channel", "confidence",
               "the map there; 0 where not valid"),
        output("valid", "bool", (channels,), "sample, channel", "truth",
               "whether the confidence is above the threshold"),
    )  # fmt: skip
    per_peak = (
        output("points", "float32", (options.max_peaks, 2), "sample, peak; columns x, y", pixels,
               "local peaks, strongest first; 0 where padded"),
        output("confidences", "float32", (options.max_peaks,), "sample, peak", "confidence",
               "the map there; 0 where padded"),
        output("channels", "int64", (options.max_peaks,), "sample, peak", "index",
               "the peak's channel; -1 where padded"),
        output("count", "int64", (), "sample", "peaks", "how many of the row are peaks"),
    )  # fmt: skip
    tolerance = None
    if options.refinement in ("integral", "gaussian"):
        tolerance = Tolerance(
            limit=1e-3 * options.output_stride,
            unit="pixels",
            measured=0.0,
            reason="sums over a window may be ordered differently in another batch or build",
            exact_on_same_build=False,
        )
    return ModelContract(
        name="keypoints",
        default="keypoints",
        options=tuple(dataclasses.asdict(options).items()),
        signatures=(
            SignatureContract(
                name="keypoints",
                summary="The global peak of every channel as a point.",
                inputs=(maps("float32", "confidence"),),
                outputs=per_channel,
                batched=options.batched_in_graph,
                tolerance=tolerance,
            ),
            SignatureContract(
                name="quantized",
                summary="The same for maps of bytes; ties go to the first pixel.",
                inputs=(maps("uint8", "confidence times 255"),),
                outputs=per_channel,
                batched=options.batched_in_graph,
                tolerance=tolerance,
            ),
            SignatureContract(
                name="local_peaks",
                summary="The strongest local peaks of each sample.",
                inputs=(maps("float32", "confidence"),),
                outputs=per_peak,
                batched=options.batched_in_graph,
                tolerance=tolerance,
            ),
        ),
    )


def _example(options: KeypointOptions, dtype: str) -> Any:
    """One blank map with one pixel set, of the fixed size or 3 x 3."""
    height, width, channels = options.height or 3, options.width or 3, options.channels or 1
    if height * width * channels > 4096:
        return None
    peak = 200 if dtype == "uint8" else 0.8
    return (
        tuple(
            tuple(
                (peak if (row, col) == (height // 2, width // 2) else 0,) * channels
                for col in range(width)
            )
            for row in range(height)
        ),
    )
