"""What a configuration of MMPose says about a network: its codec and its preprocessing.

Configurations in Python are read, never run: only what a dump of a resolved one consists of,
assignments of plain values. Needs no TensorFlow.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.adapters.facts import AdapterError, NetworkFacts, window_for

_RESOLVE = (
    "python -c \"from mmengine import Config; Config.fromfile('CONFIG.py').dump('config.json')\""
)
_HEATMAPS = ("MSRAHeatmap", "UDPHeatmap")


@dataclass(frozen=True)
class MMPoseModel:
    """A network with a heatmap head.

    Attributes:
      codec: `MSRAHeatmap` or `UDPHeatmap`.
      height: Rows of its input.
      width: Columns of its input.
      map_height: Rows of its maps.
      map_width: Columns of its maps.
      sigma: Of the maps, in their pixels.
      unbiased: Whether MMPose fits peaks (DARK) instead of moving them by a quarter pixel.
      mean: Of each channel that the network takes, in its order.
      std: Likewise.
      blue_first: Whether the network takes blue, green, red.
    """

    codec: str
    height: int
    width: int
    map_height: int
    map_width: int
    sigma: float
    unbiased: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    blue_first: bool

    def facts(self) -> NetworkFacts:
        """What `export` should know."""
        options: dict[str, Any] = {"input_max": 255.0}
        # Where images have the size of the input both are index times input / map.
        options["coordinates"] = "corners" if self.codec == "UDPHeatmap" else "half-pixel"
        if self.unbiased or self.codec == "UDPHeatmap":
            options |= {"refinement": "gaussian", "window": window_for(self.sigma)}
        else:
            options |= {"refinement": "local"}
        notes = (
            f"send crops of one person, {self.height} x {self.width} pixels; MMPose's boxes, its "
            "affine warp and its flip test are not part of the network",
        )
        return NetworkFacts("MMPose", "keypoints", options, notes)


def read_mmpose(config: Path) -> MMPoseModel:
    """Reads a resolved configuration, JSON or Python.

    Raises:
      AdapterError: It cannot be read, or is of a network without such a head.
    """
    data = _load(config)
    try:
        model = data["model"]
        head = model["head"]
        codec = head.get("decoder") or data["codec"]
        _check_codec(config, head, codec)
        width, height = (int(size) for size in codec["input_size"])
        map_width, map_height = (int(size) for size in codec["heatmap_size"])
        before = model.get("data_preprocessor") or {}
        mean, std = (_three(before.get(name), default) for name, default in _SCALES.items())
        swapped = bool(before.get("bgr_to_rgb") or before.get("rgb_to_bgr"))
        return MMPoseModel(
            codec=codec["type"],
            height=height,
            width=width,
            map_height=map_height,
            map_width=map_width,
            sigma=float(codec.get("sigma", 2.0)),
            unbiased=bool(codec.get("unbiased", False)),
            mean=mean,
            std=std,
            # MMPose reads images as blue, green, red.
            blue_first=not swapped,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AdapterError(
            f"{config}: expected a resolved configuration of MMPose with model, head and codec, "
            f"got one without: {type(error).__name__} {error}; resolve it with: {_RESOLVE}"
        ) from error


_SCALES = {"mean": 0.0, "std": 1.0}


def _three(values: Any, default: float) -> tuple[float, float, float]:
    if values is None:
        return default, default, default
    first, second, third = (float(value) for value in values)
    return first, second, third


def _check_codec(config: Path, head: Mapping[str, Any], codec: Any) -> None:
    if isinstance(codec, list):
        raise AdapterError(f"{config}: expected one codec, got {len(codec)}: several stages")
    kind, form = codec["type"], codec.get("heatmap_type", "gaussian")
    if kind not in _HEATMAPS:
        raise AdapterError(
            f"{config}: expected a codec of heatmaps, {' or '.join(_HEATMAPS)}, got {kind} of "
            f"{head.get('type')}, whose answers are no maps that landmarks peak in"
        )
    if form != "gaussian":
        raise AdapterError(f"{config}: expected heatmap_type gaussian of UDPHeatmap, got {form}")


def _load(config: Path) -> Mapping[str, Any]:
    try:
        text = config.read_text(encoding="utf-8")
        data = json.loads(text) if config.suffix == ".json" else _assignments(config, text)
    except (OSError, ValueError, SyntaxError) as error:
        raise AdapterError(
            f"{config}: cannot be read: {error}; resolve it with: {_RESOLVE}"
        ) from error
    if not isinstance(data, Mapping) or "_base_" in data:
        raise AdapterError(
            f"{config}: expected a resolved configuration, got one that builds on others; resolve "
            f"it with: {_RESOLVE}"
        )
    return data


def _assignments(config: Path, text: str) -> dict[str, Any]:
    """The values that a Python file assigns, without running it."""
    values: dict[str, Any] = {}
    for statement in ast.parse(text, config.name).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = _value(value, values)
            case ast.Expr(value=ast.Constant()):
                pass
            case _:
                raise ValueError(
                    f"line {statement.lineno} is no assignment of a value, and nothing is run"
                )
    return values


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(
            word.arg for word in keywords
        ):
            return {str(word.arg): _value(word.value, known) for word in keywords}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {
                _value(key, known): _value(value, known)
                for key, value in zip(keys, values, strict=True)
                if key is not None
            }
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(part, known) for part in parts]
        case ast.Name(id=name) if name in known:
            return known[name]
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"line {node.lineno} is no plain value, and nothing is run") from None
