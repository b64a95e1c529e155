"""Networks as they are converted from MMPose, and their resolved configurations."""

from __future__ import annotations

import json

import tensorflow as tf

HEIGHT, WIDTH = 64, 48
ROWS, COLS = 16, 12
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
SIGMA = 2.0


def configuration(codec=None, **preprocessor):
    codec = {
        "type": "MSRAHeatmap",
        "input_size": [WIDTH, HEIGHT],
        "heatmap_size": [COLS, ROWS],
        "sigma": SIGMA,
        **(codec or {}),
    }
    return {
        "codec": codec,
        "model": {
            "type": "TopdownPoseEstimator",
            "data_preprocessor": {
                "type": "PoseDataPreprocessor",
                "mean": MEAN,
                "std": STD,
                "bgr_to_rgb": True,
                **preprocessor,
            },
            "head": {"type": "HeatmapHead", "out_channels": 3, "decoder": codec},
        },
    }


def write_config(folder, data, name="config.json"):
    path = folder / name
    text = json.dumps(data)
    if path.suffix == ".py":
        text = "\n".join(f"{key} = {value!r}" for key, value in data.items())
    path.write_text(text)
    return path


def save(folder, function, *, first=False, samples=None, size=(HEIGHT, WIDTH)):
    """A converted network: `function` of channels-last images, its axes in either order."""
    shape = (3, *size) if first else (*size, 3)
    spec = tf.TensorSpec((samples, *shape), tf.float32, "input")

    def serve(image):
        if not first:
            return {"output": function(image)}
        maps = function(tf.transpose(image, [0, 2, 3, 1]))
        return {"output": tf.transpose(maps, [0, 3, 1, 2])}

    module = tf.Module()
    module.serve = tf.function(serve, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


def every_fourth_pixel(image):
    return image[:, ::4, ::4]
