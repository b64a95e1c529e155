"""What SLEAP's model folders say about a network: `training_config.json` of SLEAP 1.x.

Needs no TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.adapters.facts import AdapterError, NetworkFacts, window_for

WEIGHTS = "best_model.h5"
CONFIGS = ("training_config.json", "initial_config.json")
# Kind of head to the role of its network and the name of its output.
HEADS = {
    "single_instance": ("keypoints", "SingleInstanceConfmapsHead"),
    "centroid": ("centroid", "CentroidConfmapsHead"),
    "centered_instance": ("instance", "CenteredInstanceConfmapsHead"),
}
OFFSETS = "OffsetRefinementHead"
_HALF = (
    "SLEAP adds 0.5 pixels to x and y where the input is scaled; points here are without it, as "
    "labels are"
)


@dataclass(frozen=True)
class SleapModel:
    """A model folder of SLEAP.

    Attributes:
      weights: The network's file.
      kind: The head, a key of `HEADS`.
      names: Of the landmarks, empty if the folder does not say.
      input_scale: Pixels of the network's input per pixel of the image.
      pad_to: What sides of the input must be multiples of.
      sigma: Of the maps it was trained on, in pixels of the map; `None` if not said.
      crop_size: Side of a crop after scaling, where there are crops.
    """

    weights: Path
    kind: str
    names: tuple[str, ...]
    input_scale: float
    pad_to: int
    sigma: float | None
    crop_size: int | None

    @property
    def output(self) -> str:
        """What the output of confidence maps is called; SLEAP appends a number to some."""
        return HEADS[self.kind][1]

    def facts(self, *, grayscale: bool, window: int | None) -> NetworkFacts:
        """What `export` should know.

        Args:
          grayscale: Whether the network takes one channel.
          window: The refinement's window; by the sigma of training if `None`.
        """
        options: dict[str, Any] = {
            "input_scale": self.input_scale,
            "pad_to": self.pad_to,
            "grayscale": grayscale,
            "coordinates": "scaled",
        }
        if window is None and self.sigma:
            window = window_for(self.sigma)
        if window and self.kind != "centroid":
            options |= {"refinement": "gaussian", "window": window}
        notes = [_HALF] if self.input_scale != 1 else []
        if self.kind == "centered_instance":
            options["crop_size"] = self.crop_size
            if self.crop_size is None:
                del options["crop_size"]
                notes.append("the folder does not say how large crops are; pass --crop-size")
        if self.names and not any("," in name for name in self.names):
            options["names"] = ",".join(self.names)
        return NetworkFacts("SLEAP", HEADS[self.kind][0], options, tuple(notes))


def read_sleap(folder: Path) -> SleapModel:
    """Reads a model folder.

    Raises:
      AdapterError: A file is missing or damaged, or the network has another head.
    """
    config = next((folder / name for name in CONFIGS if (folder / name).is_file()), None)
    weights = folder / WEIGHTS
    if config is None or not weights.is_file():
        missing = CONFIGS[0] if config is None else WEIGHTS
        raise AdapterError(
            f"{folder}: expected a model folder of SLEAP with {CONFIGS[0]} and {WEIGHTS}, got one "
            f"without {missing}; pass the folder that sleap-train wrote"
        )
    try:
        data = json.loads(config.read_text(encoding="utf-8"))
        heads = {kind: head for kind, head in data["model"]["heads"].items() if head}
        preprocessing = data["data"]["preprocessing"]
        kind = _supported(config, heads, preprocessing)
        head = heads[kind]
        return SleapModel(
            weights=weights,
            kind=kind,
            names=tuple(map(str, _names(kind, head, data))),
            input_scale=float(preprocessing.get("input_scaling") or 1.0),
            pad_to=max(int(preprocessing.get("pad_to_stride") or 1), _largest_stride(data)),
            sigma=head.get("sigma"),
            crop_size=(data["data"].get("instance_cropping") or {}).get("crop_size"),
        )
    except AdapterError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(
            f"{config}: expected a configuration of SLEAP 1.x, got one that cannot be read: "
            f"{type(error).__name__} {error}"
        ) from error


def _supported(config: Path, heads: dict[str, Any], preprocessing: dict[str, Any]) -> str:
    """The kind of the only head, if there is an adapter for it."""
    if preprocessing.get("imagenet_mode"):
        raise AdapterError(
            f"{config}: imagenet_mode {preprocessing['imagenet_mode']!r} is not supported: SLEAP "
            "trains with it and predicts without it; train with imagenet_mode null"
        )
    kinds = sorted(heads)
    if len(kinds) == 1 and kinds[0] in HEADS:
        return kinds[0]
    why = ""
    if "multi_instance" in kinds:
        why = "; bottom-up networks need their part affinities to tell animals apart"
    raise AdapterError(
        f"{config}: expected one head of {', '.join(HEADS)}, got {', '.join(kinds) or 'none'}{why}"
    )


def _largest_stride(data: dict[str, Any]) -> int:
    backbones = data["model"].get("backbone") or {}
    return max(
        (int(backbone.get("max_stride") or 1) for backbone in backbones.values() if backbone),
        default=1,
    )


def _names(kind: str, head: dict[str, Any], data: dict[str, Any]) -> list[str]:
    """The landmarks in the order of the channels."""
    if kind == "centroid":
        return []
    if head.get("part_names"):
        return list(head["part_names"])
    skeletons = data["data"].get("labels", {}).get("skeletons") or []
    return list(_nodes(skeletons[0])) if len(skeletons) == 1 else []


def _nodes(skeleton: dict[str, Any]) -> Iterator[str]:
    """Names of a skeleton's nodes, which jsonpickle wrote: later mentions are numbers.

    A number counts the objects in the order in which the document mentions them first; types of
    edges are objects too.
    """
    objects: list[str | None] = []

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for part in value:
                walk(part)
        elif isinstance(value, dict):
            if "py/object" in value:
                objects.append(_node_name(value))
            elif "py/reduce" in value:
                objects.append(None)
            else:
                for part in value.values():
                    walk(part)

    walk(skeleton)
    for node in skeleton["nodes"]:
        identity = node["id"]
        name = objects[identity["py/id"] - 1] if "py/id" in identity else _node_name(identity)
        if name is None:
            raise ValueError(f"node {identity} is no node")
        yield name


def _node_name(value: dict[str, Any]) -> str:
    state = value.get("py/state", value)
    name = state["py/tuple"][0] if "py/tuple" in state else state["name"]
    return str(name)
