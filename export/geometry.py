"""From a network and what was chosen to the options of a model: sizes, stride, channels.

What the network fixes need not be said again; what is said and contradicts it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from export.backbone import BackboneError
from signatures.contract import KeypointOptions, TopdownOptions
from signatures.contract.keypoint_options import padded_size, scaled_size
from signatures.network import Network, TwoNetworks

# A size that strides and paddings usually divide.
_PROBED = 64

Size = tuple[int, int]


def options_with(network: Network, chosen: Mapping[str, Any]) -> KeypointOptions:
    """The options of a model with a network.

    Args:
      network: The network.
      chosen: Options by name; those that were not chosen are missing.

    Raises:
      BackboneError: The network contradicts what was chosen, or does not run.
      InvalidInputError: An option is out of bounds.
    """
    # Bounds first, of everything that does not depend on the network.
    plain = KeypointOptions(**{**chosen, "backbone": True, "batching": "none"})
    images = _image_size(network, plain)
    size = _input_size(network, plain, images)
    sizes = [size] if size else _free_sizes(plain.pad_to)
    shapes = [_map_shape(network, probed) for probed in sizes]
    stride = chosen.get("output_stride") or _stride(sizes[0], shapes[0])
    for probed, (rows, cols, _) in zip(sizes, shapes, strict=True):
        _check_stride(stride, probed, (rows, cols), chosen="output_stride" in chosen)
    rows, cols, channels = shapes[0]
    found = {"channels": channels}
    fixed: dict[str, int] = {}
    if size and images:
        found |= {"height": rows, "width": cols}
        fixed |= {"image_height": images[0], "image_width": images[1]}
        fixed |= {"input_height": size[0], "input_width": size[1]}
    for name, value in found.items():
        if chosen.get(name) not in (None, value):
            raise BackboneError(
                f"--{name}: the network gives {value}, got {chosen[name]}; leave it out"
            )
    return KeypointOptions(
        **{**chosen, **found, **fixed, "backbone": True, "output_stride": float(stride)}
    )


def topdown_options_with(networks: TwoNetworks, chosen: Mapping[str, Any]) -> TopdownOptions:
    """The options of a model of a centroid network and an instance network.

    Args:
      networks: The networks.
      chosen: Options by name; those that were not chosen are missing.

    Raises:
      BackboneError: A network contradicts what was chosen, or does not run.
      InvalidInputError: An option is out of bounds.
    """
    plain = TopdownOptions(**chosen)
    stride_chosen = {}
    if "centroid_stride" in chosen:
        stride_chosen = {"output_stride": plain.centroid_stride}
    try:
        centroids = options_with(
            networks.centroid,
            {
                "image_height": plain.image_height,
                "image_width": plain.image_width,
                "input_scale": plain.centroid_scale,
                "pad_to": plain.centroid_pad_to,
                "grayscale": plain.grayscale,
                "max_pixels": plain.max_pixels,
                **stride_chosen,
            },
        )
    except BackboneError as error:
        text = str(error)
        for name, here in _OF_CENTROIDS.items():
            text = text.replace(name, here)
        raise BackboneError(f"centroid network: {text}") from error
    if centroids.channels != 1:
        raise BackboneError(
            "centroid network: expected a map of centroids with one channel, got "
            f"{centroids.channels}; the network of nodes is --backbone"
        )
    side = _crop_size(networks.instance, chosen)
    try:
        rows, cols, channels = _map_shape(networks.instance, (side, side))
        stride = chosen.get("instance_stride") or _stride((side, side), (rows, cols, channels))
        _check_stride(stride, (side, side), (rows, cols), chosen="instance_stride" in chosen)
    except BackboneError as error:
        text = str(error).replace("--output-stride", "--instance-stride")
        text = text.replace("pass --pad-to", "pass another --crop-size")
        raise BackboneError(f"instance network: {text}") from error
    if chosen.get("channels") not in (None, channels):
        raise BackboneError(
            f"--channels: the network gives {channels}, got {chosen['channels']}; leave it out"
        )
    return TopdownOptions(
        **{
            **chosen,
            "image_height": centroids.image_height,
            "image_width": centroids.image_width,
            "centroid_height": centroids.input_height,
            "centroid_width": centroids.input_width,
            "centroid_stride": centroids.output_stride,
            "instance_stride": float(stride),
            "crop_size": side,
            "channels": channels,
        }
    )


# What the options of one network are called where there are two.
_OF_CENTROIDS = {
    "--input-scale": "--centroid-scale",
    "--pad-to": "--centroid-pad-to",
    "--output-stride": "--centroid-stride",
}


def _crop_size(network: Network, chosen: Mapping[str, Any]) -> int:
    """The side of crops: as chosen, or as the network's fixed input has it."""
    wanted: int | None = chosen.get("crop_size")
    fixed = (network.height, network.width)
    if fixed == (None, None):
        if wanted is None:
            raise BackboneError(
                "instance network: it takes crops of any size; say with which it was trained, "
                "such as --crop-size 160"
            )
        return wanted
    if wanted is None and fixed[0] == fixed[1] and fixed[0] is not None:
        return fixed[0]
    if fixed != (wanted, wanted):
        got = "no --crop-size" if wanted is None else f"--crop-size {wanted}"
        raise BackboneError(
            f"instance network: expected square crops of its input {fixed[0]} x {fixed[1]}, "
            f"got {got}"
        )
    assert wanted is not None
    return wanted


def _image_size(network: Network, options: KeypointOptions) -> Size | None:
    """The images' size: as chosen, or as the network's fixed input has it."""
    if options.image_height and options.image_width:
        return options.image_height, options.image_width
    if network.height is None or network.width is None:
        return None
    scale = options.input_scale
    height, width = round(network.height / scale), round(network.width / scale)
    if (scaled_size(height, scale), scaled_size(width, scale)) != (network.height, network.width):
        raise BackboneError(
            f"the network takes {network.height} x {network.width} pixels; say how large images "
            "are with --image-height and --image-width"
        )
    return height, width


def _input_size(network: Network, options: KeypointOptions, images: Size | None) -> Size | None:
    """The size of the network's input, `None` where it follows the image."""
    if images is None:
        return None
    rows, cols = (scaled_size(side, options.input_scale) for side in images)
    if network.height is None or network.width is None:
        return padded_size(rows, options.pad_to), padded_size(cols, options.pad_to)
    if rows > network.height or cols > network.width:
        fitting = min(network.height / images[0], network.width / images[1])
        raise BackboneError(
            f"the network takes {network.height} x {network.width} pixels, and images scaled by "
            f"{options.input_scale:g} have {rows} x {cols}; pass --input-scale {fitting:.6g}"
        )
    return network.height, network.width


def _free_sizes(pad_to: int) -> list[Size]:
    """Two sizes that a network of free size must take."""
    size = padded_size(_PROBED, pad_to)
    return [(size, size), (size + pad_to, size + 2 * pad_to)]


def _map_shape(network: Network, size: Size) -> tuple[int, int, int]:
    """Rows, columns and channels of the map for an input of that size."""
    try:
        maps = network.run(tf.zeros([1, *size, network.channels]))
    except (tf.errors.OpError, ValueError, TypeError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackboneError(
            f"the network does not take {size[0]} x {size[1]} pixels: {line}; networks that "
            "halve their input several times need --pad-to, such as --pad-to 32"
        ) from error
    if maps.shape.rank != 4 or 0 in maps.shape:
        raise BackboneError(
            "expected confidence maps [samples, height, width, channels] from the network, got "
            f"shape {list(maps.shape)}; choose another output with --backbone-output"
        )
    _, rows, cols, channels = maps.shape
    return rows, cols, channels


def _stride(size: Size, map_shape: tuple[int, int, int]) -> float:
    """The stride that the sizes suggest: a whole number, or one over a whole number."""
    ratio = size[0] / map_shape[0]
    return float(round(ratio)) if ratio >= 1 else 1 / round(1 / ratio)


def _check_stride(stride: float, size: Size, map_size: Size, *, chosen: bool) -> None:
    wanted = tuple(math.ceil(side / stride - 1e-6) for side in size)
    if wanted == map_size:
        return
    what, fix = "the network's stride", "export it with padding 'same', or pass --pad-to"
    if chosen:
        what, fix = "--output-stride", "leave it out"
    raise BackboneError(
        f"{what} {stride:g}: expected maps of {wanted[0]} x {wanted[1]} from an input of "
        f"{size[0]} x {size[1]}, got {map_size[0]} x {map_size[1]}; {fix}"
    )
