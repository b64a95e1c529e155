"""The cases whose points a page shows on their map or picture, chosen while they are compared.

Of each signature that answers points one case on plain maps, and the one whose points differ most
where that could be seen.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from export.case import Case
from export.reporting.points import Points, aligned, distances, largest_ulps, points_of
from export.verification import Outputs
from signatures.contract import DEFAULT_SIGNATURE, KeypointOptions, ModelContract, image_options

# By name, the plainest first.
_PLAIN = ("maps", "several", "window_5", "defaults", "one", "window_11")
# Pixels below which a difference is left to the tables.
_VISIBLE = 1e-3
_MOST = 12
# Points on pictures are in their pixels.
_ALIKE = (1.0, 1.0)
# Of one peak, in pixels: of the flat form many rows are tried around each.
_SAME_PEAK = 2.0
_LEAST_HEIGHT = 0.5


Place = tuple[np.float32, np.float32]


@dataclass(frozen=True)
class Served:
    """One point as one or several transports brought it.

    Attributes:
      transports: Those with equal answers, such as `"gRPC, REST"`.
      place: (x, y), `None` where nothing was found.
      apart: Its distance from the eager point, in pixels; infinite where one is missing.
      ulps: The larger difference of x and y; NaN where one is missing.
    """

    transports: str
    place: Place | None
    apart: float
    ulps: float


@dataclass(frozen=True)
class Mark:
    """One point.

    Attributes:
      label: What it is called.
      eager: (x, y), `None` where nothing was found.
      served: What came, equal answers once.
    """

    label: str
    eager: Place | None
    served: tuple[Served, ...]

    @property
    def apart(self) -> float:
        """The largest distance of a served point, in pixels."""
        return max((served.apart for served in self.served), default=0.0)

    @property
    def places(self) -> list[Place]:
        """Where the point is, eager first."""
        return [place for place in (self.eager, *(s.place for s in self.served)) if place]


@dataclass(frozen=True)
class Pictured:
    """One sample of a case, with its points.

    Attributes:
      signature: The signature's key.
      case: The case's name.
      sample: Its number in the request.
      picture: Maps float32 [H, W], the highest of all channels; or an image uint8 [H, W, 1 or 3].
      factors: Pixels of the points' coordinates per pixel of the picture, along x and along y.
      shift: The coordinate of the picture's first pixel.
      marks: The points shown, those that differ first.
      points: How many the sample has.
    """

    signature: str
    case: str
    sample: int
    picture: np.ndarray
    factors: tuple[float, float]
    shift: float
    marks: tuple[Mark, ...]
    points: int

    @property
    def apart(self) -> float:
        """The largest distance of a point, in pixels."""
        return max(mark.apart for mark in self.marks)


@dataclass(frozen=True)
class _Seen:
    """A case, and its points as eager and each transport tell them."""

    case: Case
    eager: Points
    served: Mapping[str, np.ndarray]

    @property
    def apart(self) -> np.ndarray:
        """The largest distance of each point over the transports: float64 [R]."""
        every = [distances(self.eager.xy, xy) for xy in self.served.values()]
        return np.max(every, axis=0, initial=0.0) if every else np.zeros(len(self.eager.xy))


class Collector:
    """An observer of a verification that keeps what shall be pictured."""

    def __init__(self, contract: ModelContract) -> None:
        self._contract = contract
        self._plain: dict[str, _Seen] = {}
        self._worst: dict[str, _Seen] = {}

    def __call__(self, case: Case, expected: Outputs, answers: Mapping[str, Outputs]) -> None:
        """Looks at a case; see `verify`."""
        eager = points_of(expected)
        if eager is None or not np.isfinite(eager.xy).any():
            return
        served = {name: aligned(eager, points_of(outputs)) for name, outputs in answers.items()}
        seen = _Seen(case, eager, served)
        if _rank(case) < _rank(getattr(self._plain.get(case.signature), "case", None)):
            self._plain[case.signature] = seen
        largest = seen.apart.max(initial=0.0)
        known = self._worst.get(case.signature)
        if largest >= _VISIBLE and (known is None or largest > known.apart.max()):
            self._worst[case.signature] = seen

    def pictured(self) -> list[Pictured]:
        """What was kept, the order of the contract, what differs first."""
        chosen = []
        for key in self._contract.signature_keys():
            if key in self._worst:
                chosen.append(self._worst[key])
            # The default is another signature's function.
            plain = None if key == DEFAULT_SIGNATURE else self._plain.get(key)
            if plain is not None and plain is not self._worst.get(key):
                chosen.append(plain)
        return [found for seen in chosen if (found := _pictured(seen, self._contract)) is not None]


def _rank(case: Case | None) -> int:
    return _PLAIN.index(case.name) if case is not None and case.name in _PLAIN else len(_PLAIN)


def _pictured(seen: _Seen, contract: ModelContract) -> Pictured | None:
    """One sample of a case: that with the largest difference, else the first with points."""
    found = np.isfinite(seen.eager.xy).all(axis=1)
    for xy in seen.served.values():
        found |= np.isfinite(xy).all(axis=1)
    rows = np.flatnonzero(found & (seen.eager.samples >= 0))
    if not len(rows):
        return None
    sample = int(seen.eager.samples[rows[np.argmax(seen.apart[rows])]])
    picture, factors, shift = _picture(seen.case, contract, sample)
    if picture is None:
        return None
    rows = rows[seen.eager.samples[rows] == sample]
    inside = _chosen(rows, seen)
    names = [name for name in str(dict(contract.options).get("names") or "").split(",") if name]
    marks = tuple(_mark(row, seen, names) for row in inside[:_MOST])
    if not marks:
        return None
    return Pictured(
        seen.case.signature, seen.case.name, sample, picture, factors, shift, marks, len(rows)
    )


def _chosen(rows: np.ndarray, seen: _Seen) -> list[int]:
    """Rows to be shown: what differs first, then by their map's height, each peak of rows once."""
    apart = seen.apart
    if "imgs" not in seen.case.inputs:
        return sorted(rows.tolist(), key=lambda row: -apart[row])
    maps = seen.case.inputs["imgs"]
    _, height, width, channels = maps.shape
    heights = {}
    for row in rows.tolist():
        x, y = np.rint(np.clip(seen.eager.xy[row], -2, max(height, width) + 1))
        channel = seen.eager.channels[row]
        if 0 <= x < width and 0 <= y < height and 0 <= channel < channels:
            value = maps[seen.eager.samples[row], int(y), int(x), channel]
            heights[row] = float(np.nan_to_num(value))
    least = _LEAST_HEIGHT * max(heights.values(), default=0.0)
    chosen: list[int] = []
    for row in sorted(heights, key=lambda row: (-apart[row], -heights[row])):
        near = [
            other
            for other in chosen
            if seen.eager.channels[other] == seen.eager.channels[row]
            and np.hypot(*(seen.eager.xy[other] - seen.eager.xy[row])) <= _SAME_PEAK
        ]
        if apart[row] >= _VISIBLE or (heights[row] >= least and not near):
            chosen.append(row)
    return chosen


def _mark(row: int, seen: _Seen, names: list[str]) -> Mark:
    eager = seen.eager.xy[row]
    groups: dict[tuple[int, ...], list[str]] = {}
    for transport, xy in seen.served.items():
        groups.setdefault(tuple(xy[row].view(np.int32)), []).append(transport)
    served = [(", ".join(group), seen.served[group[0]][row]) for group in groups.values()]
    return Mark(
        seen.eager.label(row, names),
        _place(eager),
        tuple(
            Served(
                transports,
                _place(xy),
                float(distances(eager[None], xy[None])[0]),
                largest_ulps(eager, xy),
            )
            for transports, xy in served
        ),
    )


def _place(xy: np.ndarray) -> Place | None:
    return (xy[0], xy[1]) if np.isfinite(xy).all() else None


def _picture(
    case: Case, contract: ModelContract, sample: int
) -> tuple[np.ndarray | None, tuple[float, float], float]:
    """What the points lie on, and how its pixels become their coordinates."""
    inputs = case.inputs
    maps = inputs.get("imgs", inputs.get("confmaps"))
    if maps is not None:
        scale = 255.0 if maps.dtype == np.uint8 else 1.0
        channels = maps[sample].astype(np.float32) / np.float32(scale)
        highest = np.fmax.reduce(channels, axis=-1) if channels.shape[-1] else None
        options = None if "imgs" in inputs else image_options(contract)
        if not isinstance(options, KeypointOptions):
            return highest, _ALIKE, 0.0
        from signatures.frames import nominal_placement

        place = nominal_placement(options)
        return highest, (float(place.factor[0]), float(place.factor[1])), float(place.shift[0])
    if "images" in inputs:
        return inputs["images"][sample], _ALIKE, 0.0
    if "encoded_images" in inputs:
        return _decoded(inputs["encoded_images"][sample]), _ALIKE, 0.0
    return None, _ALIKE, 0.0


def _decoded(file: bytes) -> np.ndarray | None:
    """A picture's pixels uint8 [H, W, 3]; `None` if it is none."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(file)) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return None
