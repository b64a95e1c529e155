"""How near the refinements come to the true position, as the command `accuracy` prints it.

Legend: `N` maps, `H` height, `W` width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import tensorflow as tf

from export.maps import MapsError, load_array, load_maps
from export.writing import print_json
from signatures.gaussian import refine_peaks_gaussian
from signatures.global_peaks import find_global_peaks
from signatures.integral import refine_peaks_integral
from signatures.local_direction import refine_peaks_local_direction

MAPS, SIDE = 4000, 33
SIGMAS = (1.5, 2.5)
NOISES = (0.005, 0.02, 0.05)

Refinement = Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor]
REFINEMENTS: dict[str, Refinement] = {
    "none": lambda imgs, peaks, window: peaks,
    "local": lambda imgs, peaks, window: refine_peaks_local_direction(imgs, peaks),
    "integral": refine_peaks_integral,
    "gaussian": refine_peaks_gaussian,
}


@dataclass(frozen=True)
class Accuracy:
    """Root mean square errors per axis on drawn maps, in pixels.

    Attributes:
      sigma: Standard deviation of the drawn Gaussians, in pixels.
      noise: Standard deviation of the white noise; the Gaussians' height is 1.
      window: Side of the windows, in pixels.
      bound: The Cramer-Rao bound `noise * sqrt(2 / pi)`.
      errors: Refinement to error.
    """

    sigma: float
    noise: float
    window: int
    bound: float
    errors: dict[str, float]


def window_for(sigma: float) -> int:
    """The smallest odd number above four standard deviations.

    >>> window_for(1.5), window_for(2.5)
    (7, 11)
    """
    return int(4 * sigma // 2) * 2 + 1


def draw_blobs(
    sigma: float, noise: float, count: int = MAPS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussians of height 1 whose centres are uniform within the middle pixel, with noise.

    Returns:
      Maps float32 [N, H, W, 1] and centres float64 [N, 2] as (row, col).
    """
    random = np.random.default_rng(seed)
    centres = SIDE // 2 + random.uniform(-0.5, 0.5, (count, 2))
    rows, cols = np.mgrid[:SIDE, :SIDE]
    squares = (rows - centres[:, 0, None, None]) ** 2 + (cols - centres[:, 1, None, None]) ** 2
    maps = np.exp(-squares / (2 * sigma * sigma)) + random.normal(0, noise, squares.shape)
    return maps[..., None].astype(np.float32), centres


def measure(sigma: float, noise: float, window: int | None = None) -> Accuracy:
    """All refinements on one kind of map, in the window that suits it unless one is named."""
    maps, centres = draw_blobs(sigma, noise)
    window = window or window_for(sigma)
    peaks, _ = find_global_peaks(maps)
    errors = {}
    for name, refine in REFINEMENTS.items():
        places = refine(maps, peaks, window).numpy()[:, 1:3]
        errors[name] = float(np.sqrt(np.mean((places - centres) ** 2)))
    return Accuracy(sigma, noise, window, noise * float(np.sqrt(2 / np.pi)), errors)


def measure_all() -> list[Accuracy]:
    """Every combination of width and noise."""
    return [measure(sigma, noise) for sigma in SIGMAS for noise in NOISES]


def mean_errors(maps: np.ndarray, truth: np.ndarray, window: int) -> dict[str, float]:
    """Mean distances to labels, in pixels of the map.

    Args:
      maps: float32 [N, H, W, C].
      truth: [N, C, 2] keypoints (x, y) in pixels of the map; NaN where unlabelled.
      window: Side of the windows, in pixels.
    """
    peaks, _ = find_global_peaks(maps)
    labels = truth.reshape(-1, 2)
    labelled = np.isfinite(labels).all(axis=1)
    return {
        name: float(
            np.linalg.norm(
                refine(maps, peaks, window).numpy()[labelled][:, [2, 1]] - labels[labelled], axis=1
            ).mean()
        )
        for name, refine in REFINEMENTS.items()
    }


def tell_accuracy(
    labelled: Iterable[Path], window: int, *, as_json: bool, plot: Path | None = None
) -> None:
    """Prints the tables of drawn and of labelled maps, and draws the former.

    Raises:
      MapsError: A file without maps or labels.
      PlotsError: A plot is asked for and matplotlib is not installed; before any measuring.
    """
    if plot is not None:
        from export.accuracy_plot import draw_accuracy
        from export.benchmark.plots import require_matplotlib

        require_matplotlib()
    # What a file lacks is said before the work.
    files = {str(path): _labelled(path) for path in labelled}
    drawn = measure_all()
    real = {path: mean_errors(maps, labels, window) for path, (maps, labels) in files.items()}
    if plot is not None:
        draw_accuracy(drawn, plot)
        click.echo(f"drawn: {plot}", err=True)
    if as_json:
        rows = [dataclasses.asdict(accuracy) for accuracy in drawn]
        print_json({"drawn": rows, "window": window, "labelled": real})
        return
    click.echo(f"root mean square error per axis, pixels; {MAPS} maps of {SIDE} x {SIDE}, height 1")
    names = "".join(f"{name:>10}" for name in REFINEMENTS)
    click.echo(f"sigma  noise window{names}     bound  gaussian/bound")
    for accuracy in drawn:
        errors = "".join(f"{error:10.4f}" for error in accuracy.errors.values())
        ratio = accuracy.errors["gaussian"] / accuracy.bound
        click.echo(
            f"{accuracy.sigma:5g} {accuracy.noise:6g} {accuracy.window:6d}{errors}"
            f"{accuracy.bound:10.4f}{ratio:16.4f}"
        )
    if real:
        click.echo(f"\nmean distance to the labels, pixels of the map; window {window}")
        click.echo(f"{names}  maps")
        for path, errors_of in real.items():
            click.echo("".join(f"{error:10.4f}" for error in errors_of.values()) + f"  {path}")


def _labelled(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Maps and their labels.

    Raises:
      MapsError: One of them is not there, or they do not belong together.
    """
    maps = load_maps(path)
    labels = load_array(path, ("confmaps", "gt_cm")).get("gt_cm")
    samples, _, _, channels = maps.shape
    wanted = (samples, channels, 2)
    if labels is None or labels.dtype.kind not in "fiu" or labels.shape != wanted:
        got = "no such key" if labels is None else f"{labels.dtype} of shape {list(labels.shape)}"
        raise MapsError(
            f"{path}: expected labels under the key 'gt_cm', numbers of shape {list(wanted)} as "
            f"(x, y) in pixels of the map, got {got}; save them with "
            "numpy.savez(path, confmaps=maps, gt_cm=labels)"
        )
    if not np.isfinite(labels).all(axis=2).any():
        raise MapsError(f"{path}: expected a label under the key 'gt_cm', got NaN everywhere")
    return maps, labels
