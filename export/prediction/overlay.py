"""Points, names and confidences drawn on frames, readable on dark and on light ones."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from export.prediction.errors import import_extra
from export.prediction.replies import Mark

if TYPE_CHECKING:
    from PIL.Image import Image

# Neither is seen on every background; one inside the other is.
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)
# Smaller pictures are enlarged: a name takes more room than they have.
_LEAST_SIDE = 240
# Neighbours in colour are far apart in number.
_HUE_STEP = 0.618034
_Box = tuple[float, float, float, float]


def drawn(picture: Image, marks: Iterable[Mark], names: Sequence[str]) -> Image:
    """A picture with a dot, a name and a confidence at every point that was found.

    Colours tell channels apart, or instances where there are several.

    Args:
      picture: Red, green, blue; it is not changed. One with a side of less than 240 pixels is
        enlarged by a whole factor.
      marks: Positions in pixels of the picture, pixel centres at whole numbers.
      names: By channel.
    """
    image_draw = import_extra("PIL.ImageDraw", "drawing")
    factor = -(-_LEAST_SIDE // min(picture.size))
    nearest = import_extra("PIL.Image", "drawing").Resampling.NEAREST
    canvas = picture.resize((picture.width * factor, picture.height * factor), nearest)
    draw = image_draw.Draw(canvas)
    radius = max(3, round(min(canvas.size) / 100))
    found = [
        (mark, (float(mark.x) + 0.5) * factor - 0.5, (float(mark.y) + 0.5) * factor - 0.5)
        for mark in marks
        if mark.is_found
    ]
    for mark, x, y in found:
        for grown, colour in ((2, _DARK), (1, _LIGHT), (0, _colour_of(mark))):
            reach = radius + grown
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
    taken = [(x - radius, y - radius, x + radius, y + radius) for _, x, y in found]
    font = import_extra("PIL.ImageFont", "drawing").load_default(max(14, min(canvas.size) // 24))
    for mark, x, y in found:
        text = f"{names[mark.channel]} {mark.confidence:.2f}"
        box = _place(draw.textbbox((0, 0), text, font=font, stroke_width=2), x, y, radius + 3,
                     canvas.size, taken)  # fmt: skip
        taken.append(box)
        _write(draw, box, text, font, _colour_of(mark))
    return canvas


def _colour_of(mark: Mark) -> tuple[int, int, int]:
    return colour_of(mark.channel if mark.instance is None else mark.instance)


def colour_of(number: int) -> tuple[int, int, int]:
    """Red, green, blue of a landmark or instance: bright, and unlike that of its neighbours."""
    red, green, blue = colorsys.hsv_to_rgb(number * _HUE_STEP % 1, 0.85, 1)
    return round(255 * red), round(255 * green), round(255 * blue)


def _place(
    text_box: _Box, x: float, y: float, gap: float, size: tuple[int, int], taken: Sequence[_Box]
) -> _Box:
    """Where a text goes beside a point: inside the picture, and where nothing else is if it can."""
    width, height = text_box[2] - text_box[0], text_box[3] - text_box[1]
    lefts = [_within(left, size[0] - width) for left in (x + gap, x - width - gap)]
    tops = [_within(top, size[1] - height) for top in (y - height - gap, y + gap)]
    boxes = [(left, top, left + width, top + height) for top in tops for left in lefts]
    return min(boxes, key=lambda box: sum(_shared(box, other) for other in taken))


def _within(start: float, last: float) -> float:
    """A position that is neither below 0 nor, as far as that goes, beyond the last."""
    return max(min(start, last), 0)


def _shared(one: _Box, other: _Box) -> float:
    """The area that two boxes have in common."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def _write(draw: Any, box: _Box, text: str, font: Any, colour: tuple[int, int, int]) -> None:
    """Writes a text in the light tone of its dot's colour, outlined in the dark one."""
    left, top, *_ = draw.textbbox((0, 0), text, font=font, stroke_width=2)
    light = tuple((part + 255) // 2 for part in colour)
    draw.text((box[0] - left, box[1] - top), text, font=font, fill=light, stroke_width=2,
              stroke_fill=_DARK)  # fmt: skip
