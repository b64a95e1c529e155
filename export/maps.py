"""Confidence maps for checks: drawn, or read from a file.

Legend: `N` samples, `H` height, `W` width, `C` channels.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

KEY = "confmaps"
IMAGES_KEY = "images"


class MapsError(ValueError):
    """A file that holds no usable confidence maps, in one sentence."""


def load_array(path: Path, keys: Sequence[str], *, mapped: bool = False) -> dict[str, np.ndarray]:
    """Reads plain arrays from `.npz`, or the one of a `.npy` file.

    Args:
      path: The file.
      keys: What is looked for in a `.npz` file; at least one must be there. A `.npy` file's array
        comes under the first.
      mapped: Whether a `.npy` file is read as its elements are needed.

    Returns:
      By key, in the order of `keys`, what the file has of them.

    Raises:
      MapsError: What was expected, what came, and how to fix it.
    """
    wanted = " or ".join(map(repr, keys))
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
        if isinstance(loaded, np.ndarray):
            return {keys[0]: loaded}
        with loaded:
            found = {key: loaded[key] for key in keys if key in loaded.files}
            names = ", ".join(loaded.files)
    except (OSError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MapsError(
            f"{path}: expected a .npz file with the key {wanted} or a .npy file, got {reason}"
        ) from error
    except ValueError as error:
        if not _is_of_numpy(path):
            raise MapsError(
                f"{path}: expected a .npz file with the key {wanted} or a .npy file, got another "
                f"kind of file; save maps with numpy.savez(path, {keys[0]}=maps)"
            ) from error
        raise MapsError(f"{path}: expected plain numeric arrays, got {error}") from error
    if not found:
        raise MapsError(
            f"{path}: expected the key {wanted}, got {names or 'no key'}; "
            f"save it with numpy.savez(path, {keys[0]}=maps)"
        )
    return found


def _is_of_numpy(path: Path) -> bool:
    """Whether a file begins as NumPy's archives and arrays do."""
    with path.open("rb") as file:
        return file.read(6).startswith((b"PK", b"\x93NUMPY"))


def load_maps(path: str | Path) -> np.ndarray:
    """Reads confidence maps from `.npz` (key `confmaps`) or `.npy`.

    Returns:
      float32 [N, H, W, C]. float16 and float64 maps are converted.

    Raises:
      MapsError: What was expected, what came, and how to fix it.
    """
    path = Path(path)
    maps = load_array(path, (KEY,))[KEY]
    if maps.dtype.kind != "f":
        raise MapsError(
            f"{path}: expected float32 maps, got {maps.dtype}; convert with "
            '.astype("float32"), dividing by 255 if they are 0..255'
        )
    if maps.ndim != 4:
        raise MapsError(
            f"{path}: expected [samples, height, width, channels], got shape {list(maps.shape)}; "
            "add the missing axis with maps[None] or maps[..., None]"
        )
    if not maps.size:
        raise MapsError(f"{path}: expected at least one pixel, got shape {list(maps.shape)}")
    return np.ascontiguousarray(maps, np.float32)


def load_images(path: str | Path) -> np.ndarray | None:
    """Reads the images beside the maps of a `.npz` file: uint8 [N, Hi, Wi, 1 or 3].

    Returns:
      `None` where the file has none of that kind.

    Raises:
      MapsError: The file cannot be read.
    """
    if Path(path).suffix.lower() != ".npz":
        return None
    found = load_array(Path(path), (KEY, IMAGES_KEY))
    if IMAGES_KEY not in found:
        return None
    images = found[IMAGES_KEY]
    usable = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] in (1, 3)
    return images if usable and images.size else None


def draw_maps(
    samples: int = 2,
    height: int = 40,
    width: int = 48,
    channels: int = 3,
    *,
    sigma: float = 2.0,
    noise: float = 0.02,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one Gaussian of height 1 per channel, with white noise.

    Args:
      samples: N.
      height: H in pixels.
      width: W in pixels.
      channels: C.
      sigma: Standard deviation of the Gaussians, in pixels.
      noise: Standard deviation of the noise.
      seed: The same seed draws the same maps.

    Returns:
      Maps float32 [N, H, W, C], and the true keypoints float32 [N, C, 2] as (x, y) in pixels.
    """
    random = np.random.default_rng(seed)
    keypoints = random.uniform((0, 0), (width - 1, height - 1), (samples, channels, 2))
    x = np.arange(width)[None, None, :, None] - keypoints[:, None, None, :, 0]
    y = np.arange(height)[None, :, None, None] - keypoints[:, None, None, :, 1]
    maps = np.exp(-(x * x + y * y) / (2 * sigma * sigma))
    maps += random.normal(0, noise, maps.shape)
    return maps.astype(np.float32), keypoints.astype(np.float32)
