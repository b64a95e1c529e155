"""What the folder of `deeplabcut.export_model` says: `pose_cfg.yaml` beside a frozen graph.

Needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from export.adapters.facts import AdapterError, NetworkFacts

CONFIG = "pose_cfg.yaml"


@dataclass(frozen=True)
class DeepLabCutModel:
    """A folder that DeepLabCut's TensorFlow engine exported.

    Attributes:
      graph: The frozen graph.
      names: Of the body parts, in the order of the channels.
      stride: Pixels of the image per pixel of the map.
      offsets_unit: Pixels of the image in an offset of 1, `None` if there are no offsets.
    """

    graph: Path
    names: tuple[str, ...]
    stride: float
    offsets_unit: float | None

    def facts(self, *, window: int | None) -> NetworkFacts:
        """What `export` should know.

        Args:
          window: Of the fit that finds drawn landmarks, `None` where maps are the network's own.
        """
        options: dict[str, Any] = {"input_max": 255.0, "coordinates": "cells"}
        if window is None:
            notes = ["DeepLabCut's offsets are not used: points differ from its own by up to them"]
            # Scores are near 1 on a disc around the landmark, no Gaussian.
            options |= {"refinement": "none"}
        else:
            notes = ["local_peaks finds one peak for each body part: the one that was drawn"]
            options |= {"refinement": "gaussian", "window": window}
        if not any("," in name for name in self.names):
            options["names"] = ",".join(self.names)
        return NetworkFacts("DeepLabCut", "keypoints", options, tuple(notes))


def read_deeplabcut(folder: Path) -> DeepLabCutModel:
    """Reads an exported folder.

    Raises:
      AdapterError: A file is missing or damaged, or the model has several animals.
    """
    config = folder / CONFIG
    graphs = sorted(folder.glob("*.pb"))
    if not config.is_file() or len(graphs) != 1:
        got = f"no {CONFIG}" if not config.is_file() else f"{len(graphs)} of the latter"
        raise AdapterError(
            f"{folder}: expected what deeplabcut.export_model writes, {CONFIG} and one .pb file, "
            f"got {got}; run deeplabcut.export_model('config.yaml') and pass the folder in "
            "exported-models"
        )
    try:
        data = yaml.safe_load(config.read_text(encoding="utf-8"))
        names = tuple(map(str, data["all_joints_names"]))
        several = "multi-animal" in str(data.get("dataset_type", ""))
        unit = float(data.get("locref_stdev", 7.2801)) if data.get("location_refinement") else None
        stride = float(data.get("stride", 8.0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise AdapterError(
            f"{config}: expected DeepLabCut's configuration of a pose network, got one that "
            f"cannot be read: {type(error).__name__} {said}"
        ) from error
    if several:
        raise AdapterError(
            f"{config}: expected a network of one animal, got dataset_type "
            f"{data['dataset_type']}; animals are told apart by part affinities, which are not "
            "served"
        )
    return DeepLabCutModel(graphs[0], names, stride, unit)
