"""Local peaks: every pixel above its eight neighbours, exactly.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from signatures.contract import PEAK_OPS, InvalidInputError
from signatures.contract.rules import SMALLEST_NORMAL
from signatures.gathering import gather_pixels
from signatures.guard import flush_subnormals, guarded

_STEPS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
_OUTSIDE = float("-inf")
# Candidates are looked for in the maxima of runs of that many pixels, one above the other.
_MOST_IN_RUN = 16
# Reading the pixels of such runs, and eight neighbours of a candidate, costs more for a pixel than
# the dense form, and more memory: above one pixel in that many the dense form takes over.
_PIXELS_PER_READ = 8
_PIXELS_PER_CANDIDATE = 64


def _shifted(values: tf.Tensor, outside: Any) -> list[tf.Tensor]:
    """The eight neighbours of every pixel, each [N, H, W, C]."""
    shape = tf.shape(values)
    height, width = shape[1], shape[2]
    padded = tf.pad(values, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=outside)
    return [padded[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in _STEPS]


def _candidates(imgs: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Which pixels are above the threshold: bool [N, H, W, C], one read of the maps.

    Subnormals count as 0 on both sides. The maps need no flushing for that: a subnormal pixel is
    above every negative threshold as 0 is, and below every positive one.
    """
    return tf.cond(
        tf.abs(threshold) < SMALLEST_NORMAL,
        lambda: imgs >= SMALLEST_NORMAL,
        lambda: imgs > threshold,
    )


def strict_mask(
    imgs: tf.Tensor, threshold: tf.Tensor, has_nan: tf.Tensor | None = None
) -> tf.Tensor:
    """Which pixels are above the threshold and all neighbours: bool [N, H, W, C].

    Args:
      imgs: float32 [N, H, W, C].
      threshold: float32 [].
      has_nan: bool [], whether the maps have a NaN; found out if left out.
    """
    if has_nan is None:
        # A NaN shows in the maximum.
        has_nan = tf.math.is_nan(tf.reduce_max(imgs))

    def without_nan() -> tf.Tensor:
        # A maximum may or may not hand on a NaN, depending on the device. Nothing is above
        # plus infinity either.
        return tf.where(tf.math.is_nan(imgs), tf.constant(float("inf")), imgs)

    def mask() -> tf.Tensor:
        values = tf.cond(has_nan, without_nan, lambda: imgs)
        # Candidates above 0 are above what counts as 0, flushed or not.
        values = tf.cond(
            threshold > -SMALLEST_NORMAL, lambda: values, lambda: flush_subnormals(values)
        )
        padded = tf.pad(values, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=_OUTSIDE)
        # The fewest tensors of the maps' size: rows above and below as maxima of three pixels.
        triples = tf.nn.max_pool2d(padded, [1, 3], 1, "VALID")
        result = _candidates(imgs, threshold) & (values > triples[:, :-2])
        result &= values > triples[:, 2:]
        result &= values > padded[:, 1:-1, :-2]
        return result & (values > padded[:, 1:-1, 2:])

    # A map of no width is not pooled.
    return tf.cond(tf.size(imgs, out_type=tf.int64) > 0, mask, lambda: tf.zeros_like(imgs, tf.bool))


def first_mask(imgs: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """As `strict_mask`, but a plateau has one peak, its first pixel in row-major order.

    A plateau is a set of equal pixels that are connected through their eight neighbours, none
    of which has a larger neighbour (or a NaN).
    """
    values = flush_subnormals(imgs)
    above = values > flush_subnormals(threshold)
    top, tied = above, tf.zeros_like(above)
    for neighbour in _shifted(values, _OUTSIDE):
        top &= values >= neighbour
        tied |= tf.equal(values, neighbour)
    tied &= top

    # Eagerly, `map_fn` would have AutoGraph rewrite what is written in tensors: 0.3 s, once.
    @tf.autograph.experimental.do_not_convert
    def of_sample(sample: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        sample_values, sample_top = sample
        return _is_first_of_plateau(sample_values[None], sample_top[None])[0]

    # Plateaus are told apart by 64-bit labels of every pixel, which take thirty times the
    # memory of the maps: one sample at a time.
    return tf.cond(
        tf.reduce_any(tied),
        lambda: (
            top
            & tf.map_fn(
                of_sample, (values, top), fn_output_signature=tf.bool, parallel_iterations=1
            )
        ),
        lambda: top,
    )


def _is_first_of_plateau(values: tf.Tensor, top: tf.Tensor) -> tf.Tensor:
    """Which pixels of `top` are the first of a plateau all of whose pixels are in `top`.

    Neighbours in `top` are equal, so that plateaus are the connected components of `top`. Each
    pixel points to one of smaller index, and pointers are hooked and shortened together (FastSV:
    Zhang, Azad, Hu 2020): rounds grow with the logarithm of the longest path, whatever its shape.
    """
    shape = tf.shape(values, out_type=tf.int64)
    count = tf.reduce_prod(shape)
    index = tf.reshape(tf.range(count, dtype=tf.int64), shape)
    # Slot `count` is the outside, and every pixel that is not in `top`.
    flat = tf.reshape(tf.where(top, index, count), [-1])
    spoilt = tf.zeros_like(top)
    for neighbour, is_top in zip(_shifted(values, _OUTSIDE), _shifted(top, False), strict=True):
        spoilt |= top & tf.equal(values, neighbour) & ~is_top

    def shortened(parents: tf.Tensor) -> tf.Tensor:
        grandparents = tf.gather(tf.concat([parents, count[None]], axis=0), parents)
        # In float64, which is exact here: padding integers has no kernel on a GPU.
        least = exact = tf.cast(tf.reshape(grandparents, shape), tf.float64)
        for neighbour in _shifted(exact, tf.cast(count, tf.float64)):
            least = tf.minimum(least, neighbour)
        smallest = tf.reshape(tf.where(top, tf.cast(least, tf.int64), count), [-1])
        # A pixel's parent learns of a smaller neighbour, and so does the pixel itself.
        table = tf.concat([parents, count[None]], axis=0)
        hooked = tf.tensor_scatter_nd_min(table, parents[:, None], smallest)[:-1]
        return tf.minimum(hooked, smallest)

    def changed(parents: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(tf.not_equal(parents, before))

    labels, _ = tf.while_loop(
        changed,
        lambda parents, _: (shortened(parents), parents),
        (shortened(flat), flat),
        parallel_iterations=1,
    )
    labels = tf.reshape(labels, shape)
    bad = tf.math.unsorted_segment_max(
        tf.cast(tf.reshape(spoilt, [-1]), tf.int32), tf.reshape(labels, [-1]), count + 1
    )
    return tf.equal(labels, index) & (tf.gather(bad, labels) <= 0)


def _runs(imgs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The maps cut into runs of pixels above one another.

    Rows of all samples are one below the other here, since peaks do not matter yet. Maxima of
    whole rows would take twice as long: their pixels are too short a stretch of memory.

    Returns:
      `maxima` float32 [blocks, W*C] of each run, NaN where one is in it, and `steps` int64
      [length], from the flat index of a run's first pixel to that of each.
    """
    sizes = tf.shape(imgs, out_type=tf.int64)
    rows, row = sizes[0] * sizes[1], sizes[2] * sizes[3]
    # The largest power of two that divides the rows.
    length = tf.clip_by_value(tf.bitwise.bitwise_and(rows, -rows), 1, _MOST_IN_RUN)
    blocks = rows // length
    maxima = tf.reduce_max(tf.reshape(imgs, tf.stack([blocks, length, row])), axis=1)
    return maxima, tf.range(length, dtype=tf.int64) * row


def _places(flat: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Flat indices int64 [P] of pixels to `[sample, row, col, channel]` int64 [P, 4]."""
    # Nothing is divided by a size of 0: then there are no pixels.
    sizes = tf.maximum(sizes, 1)
    columns = []
    for axis in (3, 2, 1):
        rest = flat // sizes[axis]
        columns.append(flat - rest * sizes[axis])
        flat = rest
    return tf.stack([flat, *reversed(columns)], axis=1)


def _strict_body(imgs: tf.Tensor, threshold: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    sizes = tf.shape(imgs, out_type=tf.int64)
    size = tf.size(imgs, out_type=tf.int64)
    maxima, steps = _runs(imgs)
    has_nan = tf.math.is_nan(maxima)
    # A NaN may hide a candidate of its run.
    promising = _candidates(maxima, threshold) | has_nan
    flat = tf.reshape(imgs, [-1])
    none = tf.zeros([0], tf.int64)

    def candidates() -> tf.Tensor:
        block, place = tf.unstack(tf.where(promising), num=2, axis=1)
        pixels_of_block = tf.size(steps, out_type=tf.int64) * sizes[2] * sizes[3]
        pixels = (block * pixels_of_block + place)[:, None] + steps
        return tf.boolean_mask(pixels, _candidates(tf.gather(flat, pixels), threshold))

    def at_few(indices: tf.Tensor) -> tf.Tensor:
        samples, rows, cols, channels = tf.unstack(
            _places(indices, sizes)[:, :, None], num=4, axis=1
        )
        around = tf.constant([(0, 0), *_STEPS], tf.int64)
        values = flush_subnormals(
            gather_pixels(
                imgs, samples, rows + around[:, 0], cols + around[:, 1], channels, outside=_OUTSIDE
            )
        )
        peaks = tf.boolean_mask(indices, tf.reduce_all(values[:, :1] > values[:, 1:], axis=1))
        # Runs are not in row-major order.
        return _places(tf.sort(peaks), sizes)

    # Counted in float32: sums of integers have no kernel on a GPU.
    reads = tf.cast(tf.reduce_sum(tf.cast(promising, tf.float32)), tf.int64) * tf.size(
        steps, out_type=tf.int64
    )
    few_reads = reads * _PIXELS_PER_READ <= size
    indices = tf.cond(few_reads, candidates, lambda: none)
    few = few_reads & (tf.size(indices, out_type=tf.int64) * _PIXELS_PER_CANDIDATE <= size)
    places = tf.cond(
        few,
        lambda: at_few(indices),
        lambda: tf.where(strict_mask(imgs, threshold, tf.reduce_any(has_nan))),
    )
    return tf.cast(places, tf.float32), tf.gather_nd(imgs, places)


def _first_body(imgs: tf.Tensor, threshold: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    places = tf.where(first_mask(imgs, threshold))
    return tf.cast(places, tf.float32), tf.gather_nd(imgs, places)


@guarded(PEAK_OPS.signature("find_local_peaks_first"))
def find_local_peaks_first(imgs: Any, threshold: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """`find_local_peaks` with the plateau rule `first`; the form that is served."""
    return _first_body(imgs, threshold)


@guarded(PEAK_OPS.signature("find_local_peaks"))
def find_local_peaks_strict(imgs: Any, threshold: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """`find_local_peaks` with the plateau rule `strict`; the form that is served."""
    return _strict_body(imgs, threshold)


def find_local_peaks(
    imgs: Any, threshold: Any, plateau: str = "strict"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Every pixel above the threshold and greater than its eight neighbours.

    Outside the image counts as minus infinity. NaN is no peak, and a pixel beside a NaN is not
    greater than it. Values are compared with subnormals counted as 0.

    Args:
      imgs: [N, H, W, C] confidence maps, any real dtype; computed in float32.
      threshold: [] finite; peaks are greater than it.
      plateau: `"strict"`: of equal neighbours none is a peak, so that a saturated or quantised
        map loses its maximum. `"first"`: connected equal pixels, none of which has a greater
        neighbour, give one peak, the first in row-major order.

    Returns:
      `peaks` float32 [P, 4], rows `[sample, row, col, channel]` in pixels, in row-major order,
      and `values` float32 [P], as stored in the maps.

    Raises:
      InvalidInputError: Wrong shapes or dtypes; a threshold that is not finite; an unknown
        plateau rule.

    >>> import numpy as np
    >>> imgs = np.reshape([0.0, 3.0, 3.0, 0.0, 1.0], (1, 1, 5, 1))
    >>> find_local_peaks(imgs, 0.5)[0].numpy().tolist()
    [[0.0, 0.0, 4.0, 0.0]]
    >>> find_local_peaks(imgs, 0.5, plateau="first")[1].numpy().tolist()
    [3.0, 1.0]
    """
    if plateau == "first":
        return find_local_peaks_first(imgs, threshold)
    if plateau != "strict":
        raise InvalidInputError(f"plateau: expected 'strict' or 'first', got {plateau!r}")
    return find_local_peaks_strict(imgs, threshold)
