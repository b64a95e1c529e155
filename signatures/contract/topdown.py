"""The contract of the model family `topdown`: images to the nodes of several instances.

Axis 0 of every input and output is the sample, outputs have a fixed width and are finite, and
no value in one request can fail another.

Legend of dimensions: `samples` N, `max_instances` I, `channels` C nodes, `image_height` Hi,
`image_width` Wi.
"""

from __future__ import annotations

import dataclasses
import functools

from signatures.contract.keypoints import NETWORK_MARGIN, images_input, pictures_input
from signatures.contract.rules import Rule
from signatures.contract.signature import ModelContract, SignatureContract, Tolerance
from signatures.contract.size_rules import AtMostPixels, AtMostSamples
from signatures.contract.tensors import Dimension, TensorContract
from signatures.contract.topdown_options import TopdownOptions


def topdown_contract(options: TopdownOptions = TopdownOptions()) -> ModelContract:
    """The family's contract under the given options."""
    rules: tuple[Rule, ...] = ()
    if not options.has_fixed_images:
        rules = (
            AtMostSamples("images", options.max_samples),
            AtMostPixels("images", options.max_pixels),
        )
    batched = options.images_batched_in_graph or options.batching == "server"
    tolerance = Tolerance(
        limit=1e-2 * options.instance_stride / options.instance_scale,
        unit="pixels",
        measured=0.0,
        reason="a network's sums are ordered differently in another batch or build; "
        f"confidences within {NETWORK_MARGIN:g}; a choice whose margin is smaller may differ, "
        "and is listed",
        exact_on_same_build=False,
        limits=(
            ("confidences", NETWORK_MARGIN),
            ("instance_confidences", NETWORK_MARGIN),
        ),
        margin=NETWORK_MARGIN,
    )
    # The same outputs, whatever form the images have.
    signature = functools.partial(
        SignatureContract, outputs=_outputs(options), batched=batched, tolerance=tolerance
    )
    images = signature(
        name="images",
        summary="The nodes of the strongest instances: a crop around each peak of the centroid "
        "network's map, and the global peak of every channel of the instance network's maps.",
        inputs=(images_input(options),),
        rules=rules,
    )
    pictures = signature(
        name="encoded_images",
        summary="The same for encoded pictures, each in its own pixels; of a picture that cannot "
        "be decoded, or announces too many pixels, there are no instances.",
        inputs=(pictures_input(options),),
        rules=(AtMostSamples("encoded_images", options.max_samples),),
    )
    return ModelContract(
        name="topdown",
        default="images",
        options=tuple(dataclasses.asdict(options).items()),
        signatures=(images, pictures),
    )


def node_contract(options: TopdownOptions) -> TensorContract:
    """What one run of the instance network gives: a row for each crop."""
    return TensorContract(
        name="nodes",
        dtype="float32",
        shape=("crops", options.channels or "channels", 4),
        axes="crop, node; columns x, y, confidence, valid",
        units="pixels of the image, confidence, 0 or 1",
        meaning="the nodes of one instance",
    )


def _outputs(options: TopdownOptions) -> tuple[TensorContract, ...]:
    nodes: Dimension = options.channels or "channels"
    shape: tuple[Dimension, ...] = ("samples", options.max_instances, nodes)
    axes = "sample, instance, node"
    return (
        TensorContract("points", "float32", (*shape, 2), f"{axes}; columns x, y",
                       "pixels of the image", "where each node is; 0 where not valid"),
        TensorContract("confidences", "float32", shape, axes, "confidence",
                       "the node's map there; 0 where not valid"),
        TensorContract("valid", "bool", shape, axes, "truth",
                       "whether the node's confidence is above the threshold"),
        TensorContract("instance_confidences", "float32", shape[:2], "sample, instance",
                       "confidence", "the map of centroids there, strongest first; 0 where there "
                       "is no instance"),
    )  # fmt: skip
