"""What a top-down model must say, by loops and slices, and images of bright pixels to say it about."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from signatures.contract import TopdownOptions
from signatures.network import TwoNetworks
from signatures.topdown import Topdown

HEIGHT, WIDTH = 40, 48
INSTANCES, SIDE = 3, 12
THRESHOLD = np.float32(0.2)


def topdown_options(strides=(1, 1), **chosen):
    options = {
        "image_height": HEIGHT,
        "image_width": WIDTH,
        "max_batch": 4,
        "max_instances": INSTANCES,
        "crop_size": SIDE,
        "channels": 3,
        "refinement": "none",
        "centroid_stride": float(strides[0]),
        "instance_stride": float(strides[1]),
    }
    return TopdownOptions(**{**options, **chosen})


def topdown(networks, strides=(1, 1), **chosen):
    return Topdown(
        topdown_options(strides, **chosen),
        TwoNetworks(networks.red_pixels(strides[0]), networks.every_nth_pixel(strides[1])),
    )


def ask(module, samples, signature="images"):
    """By the traced function; samples are images, or the bytes of files for `encoded_images`."""
    outputs = module.functions[signature](**{signature: tf.constant(samples)})
    return {name: value.numpy() for name, value in outputs.items()}


def whole(module, samples, signature="images"):
    """The same by the unbatched body, eagerly."""
    results = module.stages[signature].whole(tf.constant(samples))
    names = [tensor.name for tensor in module.contract.signature().outputs]
    return {name: value.numpy() for name, value in zip(names, results, strict=True)}


def pixels(images):
    return images.astype(np.float32) * np.float32(1 / 255)


def halved(images):
    """Bilinear scaling by one half: the mean of two by two pixels."""
    exact = images.astype(np.float32)
    return (exact[::2, ::2] + exact[1::2, ::2] + exact[::2, 1::2] + exact[1::2, 1::2]) / 4


def expected_of(image, strides=(1, 1), scales=(1.0, 1.0), refine=None):
    """What one image uint8 [HEIGHT, WIDTH, 3] must give, by loops and slices.

    `refine` takes maps [1, h, w, 3] and rows [sample, row, col, channel] to such rows.
    """
    seen, scaled = (pixels(halved(image) if scale == 0.5 else image) for scale in scales)
    map_ = seen[:: strides[0], :: strides[0], 0]
    around = np.pad(map_, 1, constant_values=-np.inf)
    peaks = []
    for row, col in np.argwhere(map_ > THRESHOLD):
        window = around[row : row + 3, col : col + 3].copy()
        window[1, 1] = -np.inf
        if map_[row, col] > window.max():
            peaks.append((-map_[row, col], row, col))
    points = np.zeros((INSTANCES, 3, 2), np.float32)
    confidences = np.zeros((INSTANCES, 3), np.float32)
    strengths = np.zeros(INSTANCES, np.float32)
    padded = np.pad(scaled, ((SIDE, SIDE), (SIDE, SIDE), (0, 0)))
    for index, (strength, row, col) in enumerate(sorted(peaks)[:INSTANCES]):
        strengths[index] = -strength
        factor = strides[0] / scales[0] * scales[1]
        top, left = (int(np.floor(place * factor + 0.5)) - SIDE // 2 for place in (row, col))
        crop = padded[SIDE + top :, SIDE + left :][:SIDE, :SIDE]
        maps = crop[:: strides[1], :: strides[1]]
        for node in range(3):
            y, x = np.unravel_index(maps[..., node].argmax(), maps.shape[:2])
            if maps[y, x, node] > THRESHOLD:
                confidences[index, node] = maps[y, x, node]
                if refine is not None:
                    ((_, y, x, _),) = refine(maps[None], np.float32([[0, y, x, node]]))
                place = np.array([left + x * strides[1], top + y * strides[1]])
                points[index, node] = place / scales[1]
    return {
        "points": points,
        "confidences": confidences,
        "valid": confidences > 0,
        "instance_confidences": strengths,
    }


def draw(count, instances, seed=0):
    """Images with so many bright red pixels each, noise in the other colours."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 200, (count, HEIGHT, WIDTH, 3), np.uint8)
    images[..., 0] = 0
    for image in images:
        places = random.choice(HEIGHT * WIDTH, instances, replace=False)
        image.reshape(-1, 3)[places, 0] = random.integers(60, 256, instances)
    return images


def assert_equal(got, images, **how):
    wanted = [expected_of(image, **how) for image in images]
    for name in wanted[0]:
        np.testing.assert_array_equal(got[name], np.stack([one[name] for one in wanted]), name)
