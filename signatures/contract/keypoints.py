"""The contract of the model family `keypoints`: confidence maps or images to points.

Axis 0 of every input and output is the sample, there are no scalar inputs (what could be chosen
is fixed at export), outputs have a fixed width and are finite, and no value in one request can
fail another.

Legend of dimensions: `samples` N, `height` H, `width` W, `channels` C, `max_peaks` K,
`image_height` Hi, `image_width` Wi, `map_height` and `map_width` those of a network's map.
"""

from __future__ import annotations

import base64
import dataclasses
import struct
import zlib
from typing import Any

from signatures.contract.keypoint_options import KeypointOptions
from signatures.contract.rules import Rule
from signatures.contract.signature import ModelContract, SignatureContract, Tolerance
from signatures.contract.size_rules import (
    AtMostNumbers,
    AtMostPixels,
    AtMostSamples,
    PlausibleWhenEmpty,
)
from signatures.contract.tensors import Dimension, TensorContract
from signatures.contract.topdown_options import TopdownOptions

LARGEST_EXAMPLE = 4096

# A network's maps differ by this much between builds and batch sizes; a choice that is nearer to
# a tie than this may fall otherwise.
NETWORK_MARGIN = 1e-4


def keypoints_contract(options: KeypointOptions = KeypointOptions()) -> ModelContract:
    """The family's contract under the given options."""
    signatures = _of_maps(options)
    if options.backbone:
        signatures += _of_images(options)
    return ModelContract(
        name="keypoints",
        default="keypoints",
        options=tuple(dataclasses.asdict(options).items()),
        signatures=signatures,
    )


def _of_maps(options: KeypointOptions) -> tuple[SignatureContract, ...]:
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
            example=_example(
                (options.height or 3, options.width or 3, options.channels or 1),
                200 if dtype == "uint8" else 0.8,
            ),
        )

    batched = options.batched_in_graph or options.batching == "server"
    rules: tuple[Rule, ...] = ()
    if options.batching != "server":
        # There the server bounds a batch, and what one request breaks is broken for all of it.
        rules = (AtMostNumbers("confmaps", options.max_map_elements),)
    if not options.has_fixed_maps:
        rules = (
            AtMostSamples("confmaps", options.max_samples),
            *rules,
            PlausibleWhenEmpty("confmaps"),
        )
    tolerance = None
    if options.refinement in ("integral", "gaussian"):
        tolerance = Tolerance(
            limit=1e-3 * options.image_stride,
            unit="pixels",
            measured=0.0,
            reason="sums over a window may be ordered differently in another batch or build",
            exact_on_same_build=False,
            limits=(("confidences", 0.0),),
        )
    return (
        SignatureContract(
            name="keypoints",
            summary="The global peak of every channel as a point.",
            inputs=(maps("float32", "confidence"),),
            outputs=_per_channel(options),
            rules=rules,
            batched=batched,
            tolerance=tolerance,
        ),
        SignatureContract(
            name="quantized",
            summary="The same for maps of bytes; ties go to the first pixel.",
            inputs=(maps("uint8", "confidence times 255"),),
            outputs=_per_channel(options),
            rules=rules,
            batched=batched,
            tolerance=tolerance,
        ),
        SignatureContract(
            name="local_peaks",
            summary="The strongest local peaks of each sample.",
            inputs=(maps("float32", "confidence"),),
            outputs=_per_peak(options),
            rules=rules,
            batched=batched,
            tolerance=tolerance,
        ),
    )


def _of_images(options: KeypointOptions) -> tuple[SignatureContract, ...]:
    batched = options.images_batched_in_graph or options.batching == "server"
    tolerance = Tolerance(
        limit=1e-2 * options.image_stride,
        unit="pixels",
        measured=0.0,
        reason="a network's sums are ordered differently in another batch or build; confidences "
        f"within {NETWORK_MARGIN:g}; a choice whose margin is smaller may differ, and is listed",
        exact_on_same_build=False,
        limits=(("confidences", NETWORK_MARGIN),),
        margin=NETWORK_MARGIN,
    )
    images = images_input(options)
    rules: tuple[Rule, ...] = ()
    if not options.has_fixed_images:
        rules = (
            AtMostSamples("images", options.max_samples),
            AtMostPixels("images", options.max_pixels),
        )
    return (
        SignatureContract(
            name="images",
            summary="The global peak of every channel of the network's maps, in the image sent.",
            inputs=(images,),
            outputs=_per_channel(options),
            rules=rules,
            batched=batched,
            tolerance=tolerance,
        ),
        SignatureContract(
            name="encoded_images",
            summary="The same for encoded pictures, each in its own pixels; a picture that cannot "
            "be decoded, or announces too many pixels, has nothing valid in its row.",
            inputs=(pictures_input(options),),
            outputs=_per_channel(options),
            rules=(AtMostSamples("encoded_images", options.max_samples),),
            batched=batched,
            tolerance=tolerance,
        ),
        *((_with_maps(options, rules, tolerance),) if options.with_maps else ()),
    )


def _with_maps(
    options: KeypointOptions, rules: tuple[Rule, ...], tolerance: Tolerance
) -> SignatureContract:
    """What `images` answers and the maps, of one run of the network, for whoever looks at them."""
    exact, near = ("placement", 0.0), ("confmaps", NETWORK_MARGIN)
    return SignatureContract(
        name="images_with_maps",
        summary="The same as images, and the network's maps with where they lie in the image.",
        inputs=(images_input(options),),
        outputs=(*_per_channel(options), *_maps_of(options)),
        rules=rules,
        batched=options.images_batched_in_graph or options.batching == "server",
        tolerance=dataclasses.replace(
            tolerance,
            limits=(*tolerance.limits, near, exact),
            steady=("confmaps", "placement"),
        ),
    )


def _maps_of(options: KeypointOptions) -> tuple[TensorContract, ...]:
    height: Dimension = options.height or "map_height"
    width: Dimension = options.width or "map_width"
    channels: Dimension = options.channels or "channels"
    return (
        _output("confmaps", "float32", (height, width, channels), "sample, row, column, channel",
                "confidence", "the network's maps; 0 where they are not finite"),
        _output("placement", "float32", (4,), "sample; columns factor x, y, shift x, y",
                "pixels of the image", "a pixel of the map lies at pixel * factor + shift"),
    )  # fmt: skip


def images_input(options: KeypointOptions | TopdownOptions) -> TensorContract:
    """The input of images, of the size and channels that the options fix."""
    height: Dimension = options.image_height or "image_height"
    width: Dimension = options.image_width or "image_width"
    colours = "grey" if options.grayscale else "red, green, blue"
    return TensorContract(
        name="images",
        dtype="uint8",
        shape=("samples", height, width, options.image_channels),
        axes=f"sample, row, column; channels {colours}",
        units="0 black to 255 white",
        meaning="images as the camera took them",
        example=_example(
            (options.image_height or 64, options.image_width or 64, options.image_channels), 200
        ),
    )


def pictures_input(options: KeypointOptions | TopdownOptions) -> TensorContract:
    """The input of encoded pictures."""
    return TensorContract(
        name="encoded_images",
        dtype="string",
        shape=("samples",),
        axes="sample",
        units="bytes of a file",
        meaning=f"JPEG or PNG of any size up to {options.max_pixels} pixels",
        example=({"b64": base64.b64encode(blank_png(16, 16)).decode()},),
    )


def _per_channel(options: KeypointOptions) -> tuple[TensorContract, ...]:
    channels: Dimension = options.channels or "channels"
    return (
        _output("points", "float32", (channels, 2), "sample, channel; columns x, y",
                _pixels(options), "where each landmark is; 0 where not valid"),
        _output("confidences", "float32", (channels,), "sample, channel", "confidence",
                "the map there; 0 where not valid"),
        _output("valid", "bool", (channels,), "sample, channel", "truth",
                "whether the confidence is above the threshold"),
    )  # fmt: skip


def _per_peak(options: KeypointOptions) -> tuple[TensorContract, ...]:
    return (
        _output("points", "float32", (options.max_peaks, 2), "sample, peak; columns x, y",
                _pixels(options), "local peaks, strongest first; 0 where padded"),
        _output("confidences", "float32", (options.max_peaks,), "sample, peak", "confidence",
                "the map there; 0 where padded"),
        _output("channels", "int64", (options.max_peaks,), "sample, peak", "index",
                "the peak's channel; -1 where padded"),
        _output("count", "int64", (), "sample", "peaks", "how many of the row are peaks"),
    )  # fmt: skip


def _output(
    name: str, dtype: str, shape: tuple[Dimension, ...], axes: str, units: str, meaning: str
) -> TensorContract:
    return TensorContract(name, dtype, ("samples", *shape), axes, units, meaning)


def _pixels(options: KeypointOptions) -> str:
    of_map = options.image_stride == 1 and not options.backbone
    return "pixels of the map" if of_map else "pixels of the image"


def _example(shape: tuple[int, int, int], value: Any) -> Any:
    """One blank map or image with one pixel set; `None` where it is too large to spell out."""
    height, width, channels = shape
    if height * width * channels > LARGEST_EXAMPLE:
        return None
    return (
        tuple(
            tuple(
                (value if (row, col) == (height // 2, width // 2) else 0,) * channels
                for col in range(width)
            )
            for row in range(height)
        ),
    )


def blank_png(height: int, width: int) -> bytes:
    """A black grey-level PNG, for examples that need a picture.

    >>> blank_png(2, 3)[1:4]
    b'PNG'
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(height * (width + 1)))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
