"""What the server hosts, and which of its signatures frames are sent to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export.hosting import require_version
from export.manifest import contract_of, read_manifest
from export.prediction.errors import PredictionError
from export.prediction.replies import ANSWERS, OF_MAPS
from export.prediction.sources import CONFMAPS, ENCODED_IMAGES, INPUTS, Source
from export.version_labels import labels_in
from serving_config.metadata import SignatureSpec, TensorSpec
from signatures.contract import DEFAULT_SIGNATURE, ModelContract, SignatureContract

# Which signature takes an input, if none is named; maps by their dtype.
_NATURAL = {"images": "images", "encoded_images": "encoded_images", "float": "keypoints",
            "uint8": "quantized"}  # fmt: skip
# What images are sent to if maps are wanted; maps are at hand.
_NATURAL_WITH_MAPS = {**_NATURAL, "images": "images_with_maps"}


@dataclass(frozen=True)
class Chosen:
    """The signature that frames are sent to.

    Attributes:
      signature: Its key.
      sent_as: Its only input, one of `export.prediction.sources.INPUTS`.
      spec: That input's dtype and shape.
      has_peaks: Whether it returns any number of peaks, not one point per channel.
    """

    signature: str
    sent_as: str
    spec: TensorSpec
    has_peaks: bool

    @property
    def channels(self) -> int | None:
        """C of one frame, `None` where any will do."""
        shape = self.spec.shape
        return shape[3] if shape is not None and len(shape) == 4 else None


def contract_in(
    model_root: Path, model: str, version: int | None, label: str | None
) -> ModelContract:
    """The contract in the manifest of a version, the newest if none is named.

    Raises:
      StoreError: There is no such version.
      ManifestError: It has no manifest that can be read.
      PredictionError: No version has the label.
    """
    if label is not None:
        labels = labels_in(model_root, model).read().labels
        if label not in labels:
            raise PredictionError(
                f"{model_root}: expected a label of {model}, one of "
                f"{', '.join(sorted(labels)) or 'none'}, got {label}; set it with: "
                f"peakserve versions promote VERSION --model {model} --label {label}"
            )
        version = labels[label]
    return contract_of(read_manifest(require_version(model, model_root, version)))


def signatures_of(contract: ModelContract) -> dict[str, SignatureSpec]:
    """What a contract says in the form of a server's answer: names, dtypes and shapes."""
    return {key: _spec_of(contract.signature(key)) for key in contract.signature_keys()}


def _spec_of(contract: SignatureContract) -> SignatureSpec:
    return SignatureSpec(
        {tensor.name: TensorSpec(tensor.dtype, tensor.static_shape) for tensor in contract.inputs},
        {tensor.name: TensorSpec(tensor.dtype, tensor.static_shape) for tensor in contract.outputs},
    )


def choose(
    source: Source,
    signatures: Mapping[str, SignatureSpec],
    wanted: str | None,
    *,
    with_maps: bool = False,
) -> Chosen:
    """The signature that is named, or the natural one for a kind of frames.

    Natural are `images` for videos, `encoded_images` and else `images` for pictures, `keypoints`
    for maps and `quantized` for maps of bytes; with maps, `images_with_maps` for videos and
    pictures.

    Args:
      source: The frames.
      signatures: What the model has, by key.
      wanted: A signature's key, `None` for the natural one.
      with_maps: Whether maps must be at hand, or be answered.

    Raises:
      PredictionError: The model has no such signature, it does not take such frames, or does not
        return points.
    """
    natural = [
        _natural(source, sent_as, with_maps=with_maps)
        for sent_as in source.sends
        if not (with_maps and sent_as == ENCODED_IMAGES)
    ]
    candidates = natural if wanted is None else [wanted]
    usable = ", ".join(_usable(signatures)) or "none that returns points"
    key = next((key for key in candidates if key in signatures), None)
    if key is None:
        fix = "export the model with --backbone"
        if wanted is not None or CONFMAPS in source.sends:
            fix = "choose another with --signature"
        elif with_maps:
            fix = "export a keypoints model with --backbone and --with-maps, or leave --maps out"
        raise PredictionError(
            f"{source.path}: expected a model with the signature {' or '.join(candidates)} for "
            f"{source.kind}, got one with {usable}; {fix}"
        )
    spec = signatures[key]
    if not _is_usable(spec):
        raise PredictionError(
            f"expected a signature from {' or '.join(INPUTS)} to points, got {key}, from "
            f"{', '.join(spec.inputs)} to {', '.join(spec.outputs)}; choose another with "
            f"--signature: {usable}"
        )
    ((sent_as, tensor),) = spec.inputs.items()
    if sent_as not in source.sends:
        raise PredictionError(
            f"{source.path}: expected {sent_as} for the signature {key}, got {source.kind}; "
            f"name one that takes {' or '.join(source.sends)}, or leave --signature out"
        )
    if with_maps and sent_as != CONFMAPS and not spec.outputs.keys() >= OF_MAPS:
        raise PredictionError(
            f"--maps: expected a signature that answers {' and '.join(sorted(OF_MAPS))}, got "
            f"{key}, which answers {', '.join(spec.outputs)}; leave --signature out"
        )
    return Chosen(key, sent_as, tensor, has_peaks="count" in spec.outputs)


def _natural(source: Source, sent_as: str, *, with_maps: bool) -> str:
    if sent_as != CONFMAPS:
        return (_NATURAL_WITH_MAPS if with_maps else _NATURAL)[sent_as]
    return _NATURAL["uint8" if getattr(source, "is_bytes", False) else "float"]


def _usable(signatures: Mapping[str, SignatureSpec]) -> list[str]:
    """The signatures that frames of some kind could be sent to."""
    return [
        key for key, spec in signatures.items() if key != DEFAULT_SIGNATURE and _is_usable(spec)
    ]


def _is_usable(spec: SignatureSpec) -> bool:
    return (
        set(spec.outputs) in ANSWERS and len(spec.inputs) == 1 and set(spec.inputs) <= set(INPUTS)
    )
