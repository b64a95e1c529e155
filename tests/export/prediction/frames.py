"""Frames whose points are known, and files of them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

HEIGHT, WIDTH = 4, 6
# Without loss, so that points are exact: by ending, codec, pixel format and its options.
CODECS = {
    ".mp4": ("libx264rgb", "rgb24", {"crf": "0"}),
    ".avi": ("ffv1", "bgr0", {}),
    ".mov": ("png", "rgb24", {}),
    ".mkv": ("ffv1", "bgr0", {}),
    ".webm": ("libvpx-vp9", "gbrp", {"lossless": "1"}),
}


def maps(frames):
    """float32 [N, 4, 6, 2] whose second channel says the frame's number.

    Of channel 0, 0.5 at (n % 6, 1), but nothing in every third frame; of channel 1, n + 1 at (5, 3).
    """
    found = np.zeros((frames, HEIGHT, WIDTH, 2), np.float32)
    for number in range(frames):
        found[number, 1, number % WIDTH, 0] = 0 if number % 3 == 2 else 0.5
        found[number, 3, 5, 1] = number + 1
    return found


def number_of(batch):
    """The number of the first frame of such maps."""
    return round(float(batch[0, 3, 5, 1])) - 1


def rows(numbers):
    """The rows of tidy CSV that such maps give."""
    for number in numbers:
        seen = number % 3 != 2
        yield f"{number},node0,{f'{number % WIDTH}.0,1.0,0.5' if seen else 'NaN,NaN,0.0'}"
        yield f"{number},node1,5.0,3.0,{number + 1}.0"


def images(frames, height=HEIGHT, width=WIDTH):
    """uint8 [N, H, W, 3]: red at (n % W, 0), green at (n % W, 1), blue nowhere."""
    found = np.zeros((frames, height, width, 3), np.uint8)
    for number in range(frames):
        found[number, 0, number % width, 0] = 255
        found[number, 1, number % width, 1] = 200
    return found


def image_rows(numbers, width=WIDTH):
    """The rows that such images give."""
    for number in numbers:
        yield f"{number},node0,{number % width}.0,0.0,255.0"
        yield f"{number},node1,{number % width}.0,1.0,200.0"
        yield f"{number},node2,NaN,NaN,0.0"


def csv(rows):
    return "\n".join(("frame,node,x,y,confidence", *rows, ""))


def save_video(path, frames, rate=25):
    """Writes uint8 [N, H, W, 3] without loss; a visible skip where nothing can."""
    av = pytest.importorskip("av", reason="no package av: pip install 'peakserve[video]'")
    codec, pixels, options = CODECS[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def save_picture(path, image):
    """Writes uint8 [H, W, 3]; a visible skip where nothing can."""
    pillow = pytest.importorskip("PIL.Image", reason="no Pillow: pip install 'peakserve[video]'")
    pillow.fromarray(image).save(path)
    return path
