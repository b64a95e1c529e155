"""Requests for the signatures of images: plain ones, strange ones, and pictures that are none.

Legend: `N` samples, `Hi` and `Wi` the image's size, `c` channels.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from signatures.contract import ImageOptions

FREE_SIZE = (64, 80)


def draw_images(samples: int, options: ImageOptions, *, seed: int = 0) -> np.ndarray:
    """Bright blobs on a dark, noisy ground: uint8 [N, Hi, Wi, c] of the model's image size."""
    height, width = FREE_SIZE
    if options.image_height and options.image_width:
        height, width = options.image_height, options.image_width
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    images = random.normal(30, 5, (samples, height, width, options.image_channels))
    for image in images:
        for channel in range(options.image_channels):
            row, col = random.uniform(0, (height - 1, width - 1))
            squares = (y - row) ** 2 + (x - col) ** 2
            image[..., channel] += 200 * np.exp(-squares / (2 * (max(height, width) / 12) ** 2))
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def image_mates(images: np.ndarray) -> dict[str, np.ndarray]:
    """Requests of different sizes and kinds that may meet in one batch, by name."""
    one = images[:1]
    noise = np.random.default_rng(1).integers(0, 256, (3, *one.shape[1:]), np.uint8)
    return {
        "one": one,
        "two": np.concatenate([images[-1:], one]),
        "noise": noise,
        "saturated": np.minimum(one.astype(int) * 3, 255).astype(np.uint8),
        "constant": np.full_like(one, 128),
        "black": np.zeros_like(one),
        "white": np.full_like(one, 255),
        "zero_samples": images[:0],
    }


def png(image: np.ndarray) -> bytes:
    """A PNG file of an image uint8 [Hi, Wi, 1 or 3]."""
    return bytes(tf.io.encode_png(image).numpy())


def jpeg(image: np.ndarray) -> bytes:
    """A JPEG file of an image uint8 [Hi, Wi, 1 or 3]."""
    return bytes(tf.io.encode_jpeg(image, quality=95).numpy())


def picture_mates(images: np.ndarray, max_pixels: int) -> dict[str, np.ndarray]:
    """Requests of encoded pictures, good and bad, by name: string [N]."""
    image = images[0]
    good_png, good_jpeg = png(image), jpeg(image)
    smaller = png(np.ascontiguousarray(image[: max(1, len(image) // 2)]))
    larger = jpeg(np.concatenate([image, image]))
    # A header that announces one row more than the limit allows, in a file of a few bytes.
    announced = (max_pixels // image.shape[1] + 1).to_bytes(4, "big")
    bomb = good_png[:20] + announced + good_png[24:]
    huge = good_png[:16] + b"\x7f\xff\xff\xff\x7f\xff\xff\xff" + good_png[24:]
    requests = {
        "one": [good_png],
        "jpeg": [good_jpeg],
        "other_sizes": [smaller, larger],
        "bad_among_good": [good_jpeg, good_jpeg[: len(good_jpeg) // 2], good_png, b""],
        "no_pictures": [b"no picture", good_png[:40], b"GIF89a" + bytes(20)],
        "too_large": [bomb, huge],
        "zero_samples": [],
    }
    return {name: _strings(files) for name, files in requests.items()}


def _strings(files: list[bytes]) -> np.ndarray:
    array = np.empty(len(files), object)
    array[:] = files
    return array
