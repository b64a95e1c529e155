"""What is measured inside the graph: the served functions, their contestants, and the goals.

The functions are those that the SavedModel holds, guards included, on float32 maps that are in
TensorFlow's memory already: what sending a request costs is no part of it.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from export.benchmark import baselines
from export.benchmark.result import AT_LEAST, OURS, SHAPES, Goal, size_of
from export.benchmark.timing import BLOCKS, INTERLEAVED, Run
from export.benchmark.trial import Trial
from export.maps import draw_maps
from signatures.contract import KeypointOptions
from signatures.keypoints import Keypoints
from signatures.peak_ops import PeakOps

MAPS = tf.TensorSpec([None, None, None, None], tf.float32)
ROWS = tf.TensorSpec([None, 4], tf.float32)
NUMBER = tf.TensorSpec([], tf.float32)
WHOLE = tf.TensorSpec([], tf.int64)

DELTA, WINDOW = 0.25, 7
FEW_PEAKS = 104


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
      maps: [N, H, W, C] unless a trial says otherwise.
      sides: Small and large side of the one map that is to cost the same.
      many: P where there are many.
      kernels: Sides of smoothing kernels.
      densities: Candidates, in percent of all pixels.
      size: Sides of [1, side, side, C] in the sweep over image sizes.
      batch: N of [N, 64, 64, C] in the sweep over batches.
      peaks: P in the sweep over peaks.
    """

    maps: tuple[int, int, int, int] = (8, 256, 256, 13)
    sides: tuple[int, int] = (64, 2048)
    many: int = 10_000
    kernels: tuple[int, ...] = (3, 5, 11, 21)
    densities: tuple[float, ...] = (0.05, 0.5, 2.0, 10.0, 100.0)
    size: tuple[int, ...] = (64, 128, 256, 512, 1024)
    batch: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    peaks: tuple[int, ...] = (10, 100, 1000, 10_000)


QUICK = Sizes(
    maps=(2, 32, 32, 3),
    sides=(16, 64),
    many=50,
    kernels=(3, 11),
    densities=(0.5, 10.0),
    size=(16, 32),
    batch=(1, 2),
    peaks=(5, 20),
)


def compiled(function: Callable[..., Any], *specs: tf.TensorSpec) -> Any:
    """A baseline as a graph with the input signature that a served one would have."""
    return tf.function(function, input_signature=specs, autograph=False).get_concrete_function()


@functools.cache
def served(name: str) -> Any:
    """The graph of a signature of `peak_ops`, guard included."""
    return PeakOps().functions[name].get_concrete_function()


def run_of(function: Callable[..., Any], *tensors: Any) -> Run:
    """A call that has ended when it returns, on any device."""

    def run() -> object:
        results = function(*tensors)
        tf.test.experimental.sync_devices()
        return results

    return run


@functools.cache
def maps_of(shape: tuple[int, int, int, int]) -> tf.Tensor:
    """Drawn Gaussians with noise."""
    return tf.constant(draw_maps(*shape)[0])


def quantised(maps: tf.Tensor) -> tf.Tensor:
    """The same maps in 256 steps, 0 to 255: many maxima tie."""
    return tf.round(tf.clip_by_value(maps, 0.0, 1.0) * 255.0)


def draw_peaks(shape: tuple[int, int, int, int], count: int) -> tf.Tensor:
    """Rows at whole pixels anywhere in the maps, borders included: float32 [count, 4]."""
    random = np.random.default_rng(count)
    return tf.constant(random.integers(0, shape, (count, 4)).astype(np.float32))


def threshold_for(maps: tf.Tensor, percent: float) -> tf.Tensor:
    """The threshold that leaves that many percent of the pixels as candidates."""
    if percent >= 100:
        return tf.reduce_min(maps) - 1.0
    return tf.constant(np.float32(np.quantile(maps.numpy(), 1 - percent / 100)))


def local_direction(sizes: Sizes) -> Iterator[Trial]:
    """The default refinement beside resampling, and how little the image's size matters."""
    work, resampling = "refine_peaks_local_direction", "resampling"

    def against(shape: tuple[int, int, int, int], count: int) -> Mapping[str, Run | None]:
        inputs = (maps_of(shape), draw_peaks(shape, count), tf.constant(DELTA))
        other = compiled(baselines.resampled_local_direction, MAPS, ROWS, NUMBER)
        return {OURS: run_of(served(work), *inputs), resampling: run_of(other, *inputs)}

    for order, bound in ((BLOCKS, 8.0), (INTERLEAVED, 4.5)):
        yield Trial(
            work,
            f"{FEW_PEAKS} peaks",
            functools.partial(against, sizes.maps, FEW_PEAKS),
            order=order,
            goals=(Goal(resampling, OURS, bound, AT_LEAST),),
        )
    small, large = ((1, side, side, 1) for side in sizes.sides)

    def both() -> Mapping[str, Run | None]:
        return {
            size_of(shape): run_of(
                served(work), maps_of(shape), draw_peaks(shape, FEW_PEAKS), tf.constant(DELTA)
            )
            for shape in (small, large)
        }

    yield Trial(
        work,
        f"{FEW_PEAKS} peaks of one map",
        both,
        goals=(Goal(size_of(large), size_of(small), 1.3),),
    )
    given = f", {FEW_PEAKS} peaks"
    yield from _sweep(work, sizes, lambda shape: against(shape, FEW_PEAKS), given, axes=("size",))
    for count in sizes.peaks:
        make = functools.partial(against, sizes.maps, count)
        yield Trial(work, f"{count} peaks", make, axis="peaks", at=count)


def global_peaks(sizes: Sizes) -> Iterator[Trial]:
    """The joint argmax beside one read of the maps, and beside two argmaxes apart."""
    work, reading, separable = "find_global_peaks", "one read", "separable argmax"

    def against(maps: tf.Tensor) -> Mapping[str, Run | None]:
        return {
            OURS: run_of(served(work), maps),
            reading: run_of(compiled(baselines.read, MAPS), maps),
            separable: run_of(compiled(baselines.separable_global_peaks, MAPS), maps),
        }

    cases: dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], float]] = {
        "Gaussian maps": (tf.identity, 3.0),
        "uint8 maps": (quantised, 3.0),
        "constant maps": (tf.ones_like, 4.0),
    }
    for case, (change, bound) in cases.items():
        goals = [Goal(OURS, reading, bound)]
        if change is not tf.ones_like:
            goals.append(Goal(separable, OURS, 1.3, AT_LEAST))
        yield Trial(
            work,
            case,
            lambda change=change: against(change(maps_of(sizes.maps))),  # type: ignore[misc]
            goals=tuple(goals),
        )
    yield from _sweep(work, sizes, lambda shape: against(maps_of(shape)))


def local_peaks(sizes: Sizes) -> Iterator[Trial]:
    """Local peaks beside dilation, and beside SciPy and scikit-image where they are."""
    work, reading, dilation = "find_local_peaks", "one read", "dilation"

    def against(
        shape: tuple[int, int, int, int], percent: float, peers: bool
    ) -> Mapping[str, Run | None]:
        maps = maps_of(shape)
        threshold = threshold_for(maps, percent)
        contestants: dict[str, Run | None] = {
            OURS: run_of(served(work), maps, threshold),
            reading: run_of(compiled(baselines.read, MAPS), maps),
            dilation: run_of(
                compiled(baselines.dilated_local_peaks, MAPS, NUMBER), maps, threshold
            ),
        }
        if peers:
            for name, peer in (
                ("SciPy", baselines.scipy_local_peaks()),
                ("scikit-image", baselines.scikit_image_local_peaks()),
            ):
                contestants[name] = peer and functools.partial(peer, maps.numpy(), float(threshold))
        return contestants

    for percent in sizes.densities:
        few = percent == sizes.densities[0]
        goals = [Goal(dilation, OURS, 9.0 if few else 2.0 if percent == 10 else 1.0, AT_LEAST)]
        if few:
            goals.append(Goal(OURS, reading, 9.0))
        yield Trial(
            work,
            f"{percent:g}% candidates",
            functools.partial(against, sizes.maps, percent, few),
            axis="density",
            at=percent,
            goals=tuple(goals),
        )
    few_percent = sizes.densities[0]
    few_given = f", {few_percent:g}% candidates"
    yield from _sweep(work, sizes, lambda shape: against(shape, few_percent, False), few_given)


def smoothing(sizes: Sizes) -> Iterator[Trial]:
    """Smoothing beside one dense pass."""
    work, dense = "smooth_imgs", "dense pass"

    def against(shape: tuple[int, int, int, int], side: int) -> Mapping[str, Run | None]:
        inputs = (maps_of(shape), tf.constant(side, tf.int64), tf.constant(side / 4, tf.float32))
        other = compiled(baselines.dense_smoothing, MAPS, WHOLE, NUMBER)
        return {OURS: run_of(served(work), *inputs), dense: run_of(other, *inputs)}

    bounds = {3: 0.95, 5: 0.95, 11: 1.3, 21: 3.5}
    for side in sizes.kernels:
        yield Trial(
            work,
            f"kernel {side}x{side}",
            functools.partial(against, sizes.maps, side),
            goals=(Goal(dense, OURS, bounds[side], AT_LEAST),),
        )
    largest = sizes.kernels[-1]
    given = f", kernel {largest}x{largest}"
    yield from _sweep(work, sizes, lambda shape: against(shape, largest), given)


def gaussian(sizes: Sizes) -> Iterator[Trial]:
    """The Gaussian fit beside cutting the windows that it looks at."""
    work, gathering = "refine_peaks_gaussian", "cutting windows"

    def against(count: int) -> Mapping[str, Run | None]:
        inputs = (
            maps_of(sizes.maps),
            draw_peaks(sizes.maps, count),
            tf.constant(WINDOW, tf.int64),
        )
        return {
            OURS: run_of(served(work), *inputs),
            gathering: run_of(served("crop_centered_boxes"), *inputs),
            "integral": run_of(served("refine_peaks_integral"), *inputs),
        }

    yield Trial(
        work,
        f"window {WINDOW}, {sizes.many} peaks",
        functools.partial(against, sizes.many),
        goals=(Goal(OURS, gathering, 10.0),),
    )
    for count in sizes.peaks:
        make = functools.partial(against, count)
        yield Trial(work, f"{count} peaks", make, axis="peaks", at=count)


def keypoints(sizes: Sizes) -> Iterator[Trial]:
    """The whole signature beside its parts, and what batching and a cast add."""
    work, parts = "keypoints", "its parts"

    def against(shape: tuple[int, int, int, int], joined: bool = False) -> Mapping[str, Run | None]:
        maps, window = maps_of(shape), tf.constant(WINDOW, tf.int64)
        whole = Keypoints(KeypointOptions(window=WINDOW)).functions
        find, refine = served("find_global_peaks"), served("refine_peaks_gaussian")

        def one_after_another(imgs: tf.Tensor) -> Any:
            return refine(imgs, find(imgs)["peaks"], window)

        numbers = tf.cast(quantised(maps), tf.uint8)
        contestants: dict[str, Run | None] = {
            OURS: run_of(whole["serving_default"].get_concrete_function(), maps),
            parts: run_of(one_after_another, maps),
            "quantized": run_of(whole["quantized"].get_concrete_function(), numbers),
        }
        if joined:
            # Once only: the queue of a batcher outlives its model, and so does its size. A full
            # batch does not wait for mates.
            samples, height, width, channels = shape
            options = KeypointOptions(
                height=height, width=width, channels=channels, window=WINDOW, max_batch=samples
            )
            batched = Keypoints(options).functions["serving_default"]
            contestants["in a full batch"] = run_of(batched.get_concrete_function(), maps)
        return contestants

    yield Trial(
        work,
        "serving_default",
        functools.partial(against, sizes.maps, joined=True),
        goals=(Goal(OURS, parts, 1.3),),
    )
    yield from _sweep(work, sizes, against)


def _sweep(
    work: str,
    sizes: Sizes,
    contestants: Callable[[tuple[int, int, int, int]], Mapping[str, Run | None]],
    given: str = "",
    axes: tuple[str, ...] = SHAPES,
) -> Iterator[Trial]:
    """The same contestants over sizes of images, and then over batches."""
    side, channels = sizes.sides[0], sizes.maps[3]
    shapes = {
        "size": {at: (1, at, at, channels) for at in sizes.size},
        "batch": {at: (at, side, side, channels) for at in sizes.batch},
    }
    for axis in axes:
        for at, shape in shapes[axis].items():
            make = functools.partial(contestants, shape)
            yield Trial(work, size_of(shape) + given, make, axis=axis, at=at)


TRIALS: dict[str, Callable[[Sizes], Iterator[Trial]]] = {
    "refine_peaks_local_direction": local_direction,
    "find_global_peaks": global_peaks,
    "find_local_peaks": local_peaks,
    "smooth_imgs": smoothing,
    "refine_peaks_gaussian": gaussian,
    "keypoints": keypoints,
}
