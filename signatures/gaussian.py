"""Gaussian refinement: the peak of a Gaussian of unknown height and width fitted to a window.

Least squares on the values themselves is the maximum-likelihood estimate under white noise, and
reaches the Cramer-Rao bound of the position. Written as a generalised linear model with a log
link (Nelder and Wedderburn, "Generalized Linear Models", 1972), each step is a 4 x 4 linear
system in `log A(x, y) = a + b x + c y + d (x^2 + y^2)`. Fitting the logarithm of the values
instead (Guo, "A simple algorithm for fitting a Gaussian function", 2011) only starts it: there
noise in the tails counts as much as the peak.

Legend: `N` samples, `H` height, `W` width, `C` channels, `P` peaks, `w` the odd window side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from signatures.contract import PEAK_OPS
from signatures.guard import guarded
from signatures.windowed import moved, offset_grid, windows

# Two steps reach the bound at noise 0.05; two more are for poor starts.
STEPS = 4
_START_FLOOR = 0.2  # of the largest value: what the first fit to logarithms looks at
_FLATTEST_START = -0.05  # per half window squared
_LARGEST_STEP = 1.0  # change of the logarithm anywhere in the window
_RIDGE = 1e-4  # of the mean diagonal; keeps a flat window's system solvable

# Rows and columns of the lower triangle of a system, row by row.
_TRIANGLE = np.tril_indices(4)


def _solve(matrix: list[list[tf.Tensor]], right: list[tf.Tensor]) -> list[tf.Tensor]:
    """Solves symmetric positive definite 4 x 4 systems, all rows at once, by Cholesky (LDL^T).

    Written out, since batched solvers work on one small matrix at a time.

    Args:
      matrix: Lower triangle, `matrix[i][j]` [P] for j <= i.
      right: [P] each.
    """
    size = len(right)
    lower: list[list[tf.Tensor]] = [[] for _ in range(size)]
    scaled: list[list[tf.Tensor]] = [[] for _ in range(size)]  # by the diagonal
    diagonal: list[tf.Tensor] = []
    for i in range(size):
        for j in range(i):
            value = matrix[i][j]
            for k in range(j):
                value -= scaled[i][k] * lower[j][k]
            scaled[i].append(value)
            lower[i].append(value / diagonal[j])
        value = matrix[i][i]
        for k in range(i):
            value -= scaled[i][k] * lower[i][k]
        diagonal.append(value)
    half: list[tf.Tensor] = []
    for i in range(size):
        value = right[i]
        for k in range(i):
            value -= lower[i][k] * half[k]
        half.append(value)
    solution: list[tf.Tensor] = [half[i] / diagonal[i] for i in range(size)]
    for i in reversed(range(size)):
        for k in range(i + 1, size):
            solution[i] -= lower[k][i] * solution[k]
    return solution


class _Window:
    """The four regressors over a window, and the sums that a step needs."""

    def __init__(self, window_length: tf.Tensor) -> None:
        # In float64: a window of noise alone carries the rounding of its sums far, and served
        # results would differ from eager ones by more than people can see in a picture.
        dy, dx, reach = (tf.cast(part, tf.float64) for part in offset_grid(window_length))
        self.reach = reach
        # In units of half the window all four regressors are of size one.
        unit = tf.maximum(reach, tf.ones([], tf.float64))
        y, x = dy / unit, dx / unit
        self.unit = unit
        self.regressors = tf.stack([tf.ones_like(x), x, y, x * x + y * y], axis=1)
        # int64: constants of int32 live in host memory, also beside a GPU.
        rows, cols = (tf.constant(places, tf.int64) for places in _TRIANGLE)
        self.products = tf.gather(self.regressors, rows, axis=1) * tf.gather(
            self.regressors, cols, axis=1
        )

    def step(self, weights: tf.Tensor, response: tf.Tensor, ridge: float) -> tf.Tensor:
        """Weighted least squares: float64 [P, 4].

        Args:
          weights: float64 [P, w*w].
          response: float64 [P, w*w], already weighted.
          ridge: Share of the mean diagonal that is added to it.
        """
        sums = tf.unstack(tf.matmul(weights, self.products), num=10, axis=1)
        matrix = [[sums[i * (i + 1) // 2 + j] for j in range(i + 1)] for i in range(4)]
        added = ridge * (matrix[0][0] + matrix[1][1] + matrix[2][2] + matrix[3][3]) / 4.0
        added = tf.maximum(added, 1e-12)
        for i in range(4):
            matrix[i][i] += added
        right = tf.unstack(tf.matmul(response, self.regressors), num=4, axis=1)
        return tf.stack(_solve(matrix, right), axis=1)

    def evaluate(self, parameters: tf.Tensor) -> tf.Tensor:
        """The logarithm of the model: float64 [P, w*w]."""
        return tf.matmul(parameters, self.regressors, transpose_b=True)


def _fit(values: tf.Tensor, inside: tf.Tensor, window_length: tf.Tensor) -> tf.Tensor:
    """`gaussian_offsets`, one operation after another."""
    window = _Window(window_length)
    usable = inside & tf.math.is_finite(values)
    numbers = tf.where(usable, values, tf.zeros([]))
    # Scaled by the largest value, so that squares neither overflow nor vanish.
    largest = tf.reduce_max(numbers, axis=1, keepdims=True)
    fits = largest[:, 0] >= 2.0**-126
    numbers = numbers / tf.where(fits[:, None], largest, tf.ones([]))
    numbers = tf.cast(tf.clip_by_value(numbers, -1.0, 1.0), tf.float64)
    mask = tf.cast(usable, tf.float64)
    one = tf.ones([], tf.float64)

    high = tf.cast(numbers > _START_FLOOR, tf.float64) * mask
    weights = high * numbers * numbers
    logarithm = tf.math.log(tf.where(high > 0, numbers, one))
    parameters = window.step(weights, weights * logarithm, ridge=1e-6)
    flattest = tf.minimum(parameters[:, 3:], _FLATTEST_START)
    parameters = tf.concat([parameters[:, :3], flattest], axis=1)

    for _ in range(STEPS):
        model = tf.exp(tf.clip_by_value(window.evaluate(parameters), -30.0, 2.0)) * mask
        change = window.step(model * model, model * (numbers - model), ridge=_RIDGE)
        largest_change = tf.reduce_max(tf.abs(window.evaluate(change)), axis=1, keepdims=True)
        change *= tf.minimum(one, _LARGEST_STEP / tf.maximum(largest_change, 1e-9))
        parameters += change

    curvature = parameters[:, 3]
    good = fits & tf.reduce_all(tf.math.is_finite(parameters), axis=1) & (curvature < 0)
    scale = window.unit / (-2.0 * tf.where(good, curvature, -one))
    offsets = tf.stack([parameters[:, 2] * scale, parameters[:, 1] * scale], axis=1)
    offsets = tf.cast(tf.clip_by_value(offsets, -window.reach, window.reach), tf.float32)
    return tf.where(good[:, None], offsets, tf.zeros([]))


# A fit is six hundred operations. Graphs call one function of them, traced once in a process: a
# `keypoints` model with a network would hold ten copies.
_fit_in_graphs = tf.function(
    _fit,
    input_signature=[
        tf.TensorSpec([None, None], tf.float32),
        tf.TensorSpec([None, None], tf.bool),
        tf.TensorSpec([], tf.int64),
    ],
    autograph=False,
)


def gaussian_offsets(values: tf.Tensor, inside: tf.Tensor, window_length: tf.Tensor) -> tf.Tensor:
    """The peak of the Gaussian fitted to each window.

    Args:
      values: float32 [P, w*w].
      inside: bool [P, w*w], pixels of the image.
      window_length: int64 [].

    Returns:
      float32 [P, 2] (dy, dx) in pixels, inside the window; 0 where the fit has no maximum.
    """
    fit = _fit if tf.executing_eagerly() else _fit_in_graphs
    return fit(values, inside, window_length)


@guarded(PEAK_OPS.signature("refine_peaks_gaussian"))
def refine_peaks_gaussian(imgs: Any, peaks: Any, window_length: Any) -> tf.Tensor:
    """Moves every peak to the maximum of `A exp(-r^2 / 2 s^2)` fitted to its window.

    Height, width and position are unknown; the least-squares fit reaches the Cramer-Rao bound
    `noise * sqrt(2 / pi)` pixels per axis at height 1 where the window spans about two standard
    deviations either way. The rounded pixel (halves away from zero) plus the fitted offset,
    which never leaves the window and is 0 where the fit has no maximum. Pixels that are not
    finite or outside the image are left out. Rows whose row or col is NaN or infinite come back
    as they are.

    Args:
      imgs: [N, H, W, C] confidence maps, any real dtype; computed in float32.
      peaks: [P, 4] rows `[sample, row, col, channel]` in pixels; any real dtype.
      window_length: [] integer, side of the window in pixels, best the smallest odd number
        above four standard deviations; even lengths are rounded up.

    Returns:
      float32 [P, 4], rows `[sample, row, col, channel]`, inside their windows.

    Raises:
      InvalidInputError: Wrong shapes or dtypes; a window or a total of P*w*w out of bounds; a
        sample or channel index that is not a whole number in range.

    >>> import numpy as np
    >>> y, x = np.mgrid[:9, :9]
    >>> imgs = np.exp(-((x - 4.3) ** 2 + (y - 3.8) ** 2) / 4.5)[None, :, :, None]
    >>> refine_peaks_gaussian(imgs, [[0, 4, 4, 0]], 7).numpy().round(3).tolist()
    [[0.0, 3.799999952316284, 4.300000190734863, 0.0]]
    """
    values, inside = windows(imgs, peaks, window_length)
    return moved(peaks, gaussian_offsets(values, inside, window_length))
