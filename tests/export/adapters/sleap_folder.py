"""Model folders as SLEAP 1.x writes them, of networks whose maps are known."""

from __future__ import annotations

import json

import keras
import numpy as np

STRIDE = 2


def node(name):
    return {"py/object": "sleap.skeleton.Node", "py/state": {"py/tuple": [name, 1.0]}}


def skeleton():
    """Three nodes and two edges, as jsonpickle writes them: objects first, then numbers."""
    kind = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [1]}]}
    return {
        "directed": True,
        "graph": {"name": "Skeleton-0", "num_edges_inserted": 2},
        "links": [
            {"key": 0, "source": node("nose"), "target": node("neck"), "type": kind},
            {"key": 0, "source": {"py/id": 2}, "target": node("tail"), "type": {"py/id": 3}},
        ],
        "multigraph": True,
        "nodes": [{"id": {"py/id": number}} for number in (4, 1, 2)] + [{"id": node("ear")}],
    }


def configuration(kind="single_instance", *, scale=0.5, pad=4, **head):
    heads = dict.fromkeys(("single_instance", "centroid", "centered_instance", "multi_instance"))
    settings = {"part_names": ["A", "B"], "sigma": 1.5, "output_stride": STRIDE, **head}
    return {
        "data": {
            "labels": {"skeletons": [skeleton()]},
            "preprocessing": {
                "imagenet_mode": None,
                "input_scaling": scale,
                "pad_to_stride": pad,
            },
            "instance_cropping": {"crop_size": 16},
        },
        "model": {
            "backbone": {"leap": None, "unet": {"max_stride": 4, "output_stride": STRIDE}},
            "heads": {**heads, kind: settings},
        },
    }


def pixels_network(name, channels=3, offsets=False, size=(16, 24), parts=2):
    """Every second pixel of the first channels, one for each part.

    Learned offsets are (0.3, -0.2) of a value.
    """
    image = keras.Input((*size, channels), name="input")
    layers = keras.layers
    maps = layers.Conv2D(parts, 1, strides=STRIDE, use_bias=False, name=f"{name}_0")
    outputs = [maps(image)]
    if offsets:
        moved = layers.Conv2D(4, 1, strides=STRIDE, use_bias=False, name="OffsetRefinementHead_0")
        outputs.append(moved(image))
    network = keras.Model(image, outputs)
    kernel = np.zeros((1, 1, channels, parts), np.float32)
    for part in range(parts):
        kernel[0, 0, min(part, channels - 1), part] = 1
    maps.set_weights([kernel])
    if offsets:
        kernel = np.zeros((1, 1, channels, 4), np.float32)
        kernel[0, 0, :, :] = [0.3, -0.2, 0.25, 0.9]
        moved.set_weights([kernel])
    return network


HEADS = {
    "single_instance": "SingleInstanceConfmapsHead",
    "centroid": "CentroidConfmapsHead",
    "centered_instance": "CenteredInstanceConfmapsHead",
}


def write(folder, config, network=None, name="training_config.json"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(config))
    if network is not None:
        network.save(folder / "best_model.h5")
    else:
        (folder / "best_model.h5").touch()
    return folder
