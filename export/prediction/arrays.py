"""Maps and images in NumPy's files.

Legend: `N` samples, `H` height, `W` width, `C` channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from export.maps import IMAGES_KEY, KEY, MapsError, load_array
from export.prediction.errors import PredictionError
from export.prediction.sources import CONFMAPS, IMAGES, Frame

_FIX = {
    "u": "ask the signature keypoints, or make bytes with (255 * maps).round().astype('uint8')",
    "f": "ask the signature quantized, or convert them with maps.astype('float32') / 255",
}


class Arrays:
    """A `.npy` or `.npz` file, see `export.prediction.sources.Source`.

    A `.npz` file has the key `confmaps` or `images`; a `.npy` file is what the signature takes. It
    is read as it is needed, a `.npz` file at once.

    Args:
      path: The file.

    Raises:
      MapsError: It is no such file, has neither key, or is no array [N, H, W, C] of numbers.
    """

    rate: Fraction | None = None
    files: tuple[Path, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrays = load_array(path, (KEY, IMAGES_KEY), mapped=True)
        for key, array in self._arrays.items():
            if array.ndim != 4 or not array.size or not _has_kind(array):
                raise MapsError(
                    f"{path}: expected {key} [samples, height, width, channels] of float32 or "
                    f"uint8, got {array.dtype} {list(array.shape)}"
                )
        names = {KEY: CONFMAPS, IMAGES_KEY: IMAGES}
        # Without names, bytes are maps as well as images; the signature says which.
        is_named = path.suffix.lower() == ".npz"
        self.sends = tuple(names[key] for key in self._arrays) if is_named else (CONFMAPS, IMAGES)
        self.kind = "maps" if self.sends[0] == CONFMAPS else "images"
        counts = {len(array) for array in self._arrays.values()}
        self.count: int | None = counts.pop() if len(counts) == 1 else None
        # Beside maps, images are what an overlay is drawn on.
        images = self._arrays.get(IMAGES_KEY)
        beside = images is not None and self.count is not None and _can_be_seen(images)
        self._pictures = images if beside else None

    @property
    def is_bytes(self) -> bool:
        """Whether the maps are uint8."""
        return next(iter(self._arrays.values())).dtype == np.uint8

    def frames(self, sent_as: str, channels: int | None, dtype: str) -> Iterator[Frame]:
        """Takes sample by sample: [H, W, C] of the signature's dtype.

        Raises:
          PredictionError: Bytes for a signature of float32, or the other way round.
        """
        key = {CONFMAPS: KEY, IMAGES: IMAGES_KEY}[sent_as]
        array = self._arrays[key] if key in self._arrays else next(iter(self._arrays.values()))
        kind = np.dtype(dtype).kind
        if array.dtype.kind != kind:
            raise PredictionError(f"{self.path}: expected {dtype}, got {array.dtype}; {_FIX[kind]}")
        for number, sample in enumerate(array):
            data = np.ascontiguousarray(sample, dtype)
            picture = self._pictures[number] if self._pictures is not None else None
            yield Frame(data, data if sent_as == IMAGES and _can_be_seen(array) else picture)


def _has_kind(array: np.ndarray) -> bool:
    """Whether there is a signature for its elements; wider integers would wrap."""
    return array.dtype.kind == "f" or array.dtype == np.uint8


def _can_be_seen(array: np.ndarray) -> bool:
    return array.dtype == np.uint8 and array.shape[3] in (1, 3)
