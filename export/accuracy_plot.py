"""The errors of refinements, drawn: over the noise, and over the window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.accuracy import Accuracy, measure
from export.benchmark.plots import require_matplotlib

# Of the panel over windows.
SIGMA, NOISE = 2.5, 0.02
WINDOWS = (3, 5, 7, 9, 11, 13, 15, 19, 23)


def draw_accuracy(drawn: Sequence[Accuracy], path: Path) -> None:
    """Draws root mean square errors per axis in pixels, PNG.

    Args:
      drawn: Over noise; a panel for each width of the Gaussians.
      path: The file.

    Raises:
      PlotsError: matplotlib is not installed.
    """
    module = require_matplotlib()
    sigmas = sorted({accuracy.sigma for accuracy in drawn})
    picture = module.Figure(figsize=(4.4 * (len(sigmas) + 1), 4.0), layout="constrained", dpi=120)
    *over_noise, over_window = picture.subplots(1, len(sigmas) + 1, sharey=True)
    for panel, sigma in zip(over_noise, sigmas, strict=True):
        rows = [accuracy for accuracy in drawn if accuracy.sigma == sigma]
        _lines(panel, [row.noise for row in rows], rows)
        panel.set_title(f"sigma {sigma:g} pixels, window {rows[0].window}", fontsize="medium")
        panel.set_xscale("log")
        noises = [row.noise for row in rows]
        panel.set_xticks(noises, [f"{noise:g}" for noise in noises])
        panel.minorticks_off()
        panel.set_xlabel("noise, of a peak of height 1")
    rows = [measure(SIGMA, NOISE, window) for window in WINDOWS]
    _lines(over_window, list(WINDOWS), rows)
    over_window.set_title(f"sigma {SIGMA:g} pixels, noise {NOISE:g}", fontsize="medium")
    over_window.set_xticks(WINDOWS)
    over_window.set_xlabel("window, pixels")
    over_noise[0].set_ylabel("root mean square error per axis, pixels")
    over_noise[0].legend(fontsize="small", ncols=2, loc="lower right")
    picture.savefig(path)


def _lines(panel: Any, at: Sequence[float], rows: Sequence[Accuracy]) -> None:
    """A line for each refinement, and the bound."""
    for name in rows[0].errors:
        panel.plot(at, [row.errors[name] for row in rows], "o-", label=name)
    panel.plot(at, [row.bound for row in rows], "k:", label="bound")
    panel.set_yscale("log")
    panel.grid(True, alpha=0.3)
