"""Folders as deeplabcut.export_model writes them, of a graph whose answers are known."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import yaml

STRIDE, UNIT = 8, 7.2801
MEAN = np.array([123.68, 116.779, 103.939], np.float32)
NAMES = ["nose", "tail base"]


def cells_of(images, layer):
    """Scores and offsets that are the pixels at the middles of cells.

    Maps have an even number of rows and columns, as networks with a stride of 16 inside make them.
    """
    size = tf.shape(images)[1:3]
    more = -(-size // 16) * 16 - size
    zero = tf.zeros([], tf.int32)
    pads = tf.reshape(tf.stack([zero, zero, zero, more[0], zero, more[1], zero, zero]), [4, 2])
    padded = tf.pad(images, pads)
    cells = padded[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE] - tf.constant(MEAN)
    tf.identity(cells[..., :2] / 32, f"pose/part_pred/{layer}/BiasAdd")
    picked = tf.gather(cells, [2, 2, 2, 1], axis=3)
    factors = tf.constant([0.01, -0.01, 0.004, 0.01])
    tf.multiply(picked, factors, f"pose/locref_pred/{layer}/BiasAdd")


def targets_of(images, layer, reach=17.0):
    """What networks are trained to answer of two landmarks, whose (x, y) are two pixels' colours.

    Scores are near 1 within `reach` pixels of the landmark, near 0 elsewhere; inside, `part 0` has its largest score at the
    nearest cell, and `part 1` at the outermost.
    """
    places = images[:, 0, :2, :2][:, None, None]  # [N, 1, 1, part, (x, y)]
    rows_cols = -(-tf.shape(images)[1:3] // 16) * 2
    y, x = tf.meshgrid(tf.range(rows_cols[0]), tf.range(rows_cols[1]), indexing="ij")
    middles = (tf.cast(tf.stack([x, y], -1), tf.float32) + 0.5) * STRIDE
    moved = places - middles[None, :, :, None]
    distance = tf.norm(moved, axis=-1)
    inside = tf.where(distance <= reach, 4.0, -4.0)
    tf.add(inside, distance * [-0.01, 0.01], f"pose/part_pred/{layer}/BiasAdd")
    shape = tf.concat([tf.shape(distance)[:3], [4]], 0)
    tf.reshape(moved / UNIT, shape, f"pose/locref_pred/{layer}/BiasAdd")


def write_graph(path, layer="block4", answers=cells_of):
    """A frozen graph with DeepLabCut's names; what is computed between them is ours."""
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3], "Placeholder")
        answers(images, layer)
    path.write_bytes(graph.as_graph_def().SerializeToString())


def write(folder, **changed):
    folder.mkdir(exist_ok=True)
    graph = {key: changed.pop(key) for key in ("layer", "answers") if key in changed}
    config = {
        "all_joints_names": NAMES,
        "stride": float(STRIDE),
        "mean_pixel": MEAN.tolist(),
        "location_refinement": True,
        "locref_stdev": UNIT,
        "dataset_type": "imgaug",
        "net_type": "resnet_50",
        **changed,
    }
    (folder / "pose_cfg.yaml").write_text(yaml.safe_dump(config))
    write_graph(folder / "snapshot-1000.pb", **graph)
    return folder
