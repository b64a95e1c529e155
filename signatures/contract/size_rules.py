"""Rules about sizes: what a small request may ask for, and what an empty one may announce."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from signatures.contract.rules import Arithmetic, Inputs, Values
from signatures.contract.tensors import round_up_to_odd

# Of a tensor without elements, which costs its sender nothing whatever its other sizes are.
LARGEST_EMPTY = 2**20

_AXES = ("samples", "height", "width", "channels")


@dataclass(frozen=True)
class AtMostElements:
    """The crops (rows times window squared) stay below a number of elements.

    `most_rows` are all that a request may have; fewer of them may never reach the limit.
    """

    output: str
    rows: str
    window: str
    widest: int
    limit: int
    most_rows: int

    def _count(self, values: Values, arithmetic: Arithmetic) -> tuple[Any, Any, Any]:
        rows = arithmetic.size(values[self.rows], 0)
        window = round_up_to_odd(values[self.window])
        return rows, window, rows * window * window

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """See `Rule`. Where the product wraps, the window's own rule fails first."""
        _, _, elements = self._count(values, arithmetic)
        return elements <= self.limit

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """See `Rule`."""
        rows, window, elements = self._count(values, arithmetic)
        text = f"{self.output}: more than {self.limit} elements, send fewer {self.rows} at a time;"
        return [f"{text} {self.rows}", rows, "window", window, "elements", elements]

    def describe(self) -> str:
        """See `Rule`."""
        return f"{self.output} at most {self.limit} elements"

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """See `Rule`."""
        # The widest window needs the fewest rows.
        count = self.limit // self.widest**2 + 1
        if count > self.most_rows:
            return
        rows = np.repeat(inputs[self.rows][:1], count, axis=0)
        window = np.asarray(self.widest, inputs[self.window].dtype)
        yield f"{self.output}_too_many", {**inputs, self.rows: rows, self.window: window}


@dataclass(frozen=True)
class AtMostPixels:
    """Each image of a row of images has at least one pixel, and at most a number of them."""

    input: str
    limit: int

    def _pixels(self, values: Values, arithmetic: Arithmetic) -> Any:
        images = values[self.input]
        return arithmetic.size(images, 1) * arithmetic.size(images, 2)

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """See `Rule`."""
        # Of empty tensors any size can be announced: in float64 a product never wraps.
        images = values[self.input]
        pixels = arithmetic.as_float64(arithmetic.size(images, 1)) * arithmetic.as_float64(
            arithmetic.size(images, 2)
        )
        return (pixels >= 1) & (pixels <= self.limit)

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """See `Rule`."""
        pixels = self._pixels(values, arithmetic)
        return [f"{self.input}: must have 1..{self.limit} pixels each; got", pixels]

    def describe(self) -> str:
        """See `Rule`."""
        return f"{self.input} of 1..{self.limit} pixels each"

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """See `Rule`."""
        images = inputs[self.input]
        yield f"{self.input}_without_pixels", {**inputs, self.input: images[:, :0]}
        wide = np.resize(images[:1, :1, :1], (1, 1, self.limit + 1, images.shape[3]))
        yield f"{self.input}_too_large", {**inputs, self.input: wide}


@dataclass(frozen=True)
class AtMostSamples:
    """A request has at most a number of samples: small ones cost more to answer than to send.

    `word` is what they are called, such as `"rows"`.
    """

    input: str
    limit: int
    word: str = "samples"

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """See `Rule`."""
        return arithmetic.size(values[self.input], 0) <= self.limit

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """See `Rule`."""
        text = f"{self.input}: more than {self.limit} {self.word}, send fewer at a time; got"
        return [text, arithmetic.size(values[self.input], 0)]

    def describe(self) -> str:
        """See `Rule`."""
        return f"{self.input} at most {self.limit} {self.word}"

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """See `Rule`."""
        one = inputs[self.input][:1]
        # Of images of one pixel, where they may be that small.
        one = one[:, :1, :1] if self.word == "samples" and one.ndim > 1 else one
        samples = np.repeat(one, self.limit + 1, axis=0)
        yield f"{self.input}_too_many_{self.word}", {**inputs, self.input: samples}


def _sizes(maps: Any, arithmetic: Arithmetic) -> list[Any]:
    """The sizes of [N, H, W, C]."""
    return [arithmetic.size(maps, axis) for axis in range(4)]


def _with_sizes(text: str, sizes: list[Any]) -> list[Any]:
    """A sentence that ends in the sizes and their names."""
    first, *others = [part for pair in zip(_AXES, sizes, strict=True) for part in pair]
    return [f"{text} {first}", *others]


@dataclass(frozen=True)
class AtMostNumbers:
    """Maps [N, H, W, C] hold at most a number of elements.

    They need not have been sent: a message may say one value and a shape that it fills.
    """

    input: str
    limit: int

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """See `Rule`. In float64, where no product wraps."""
        sizes = [arithmetic.as_float64(size) for size in _sizes(values[self.input], arithmetic)]
        samples, height, width, channels = sizes
        return samples * height * width * channels <= self.limit

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """See `Rule`."""
        text = f"{self.input}: more than {self.limit} elements, send fewer at a time;"
        return _with_sizes(text, _sizes(values[self.input], arithmetic))

    def describe(self) -> str:
        """See `Rule`."""
        return f"{self.input} at most {self.limit} elements"

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """See `Rule`. One value stands for all: the array takes no memory."""
        maps = inputs[self.input]
        size = int(np.prod(maps.shape[1:]))
        many = np.broadcast_to(maps[:1, :1, :1, :1], (self.limit // size + 1, *maps.shape[1:]))
        yield f"{self.input}_too_many_elements", {**inputs, self.input: many}


@dataclass(frozen=True)
class PlausibleWhenEmpty:
    """Images without pixels do not announce sizes that work would follow: [N, H, W, C].

    An empty tensor of any size is a few bytes on the wire, but ranges over its axes and rows for
    its samples and channels are as long as it says.
    """

    input: str
    limit: int = LARGEST_EMPTY

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """See `Rule`. In float64, where no product wraps."""
        sizes = [arithmetic.as_float64(size) for size in _sizes(values[self.input], arithmetic)]
        samples, height, width, channels = sizes
        rows = samples * channels * (height + arithmetic.as_float64(height == 0))
        small = rows <= self.limit
        for size in sizes:
            small &= size <= self.limit
        return (samples * height * width * channels >= 1) | small

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """See `Rule`."""
        text = f"{self.input}: nothing in it, and sizes beyond {self.limit};"
        return _with_sizes(text, _sizes(values[self.input], arithmetic))

    def describe(self) -> str:
        """See `Rule`."""
        return f"{self.input} of sizes up to {self.limit} where there is nothing in it"

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """See `Rule`."""
        shape = inputs[self.input].shape
        dtype = inputs[self.input].dtype
        for name, empty in {
            "rows": (self.limit, 2, 0, shape[3]),
            "height": (0, self.limit + 1, shape[2], shape[3]),
        }.items():
            yield f"{self.input}_empty_{name}", {**inputs, self.input: np.zeros(empty, dtype)}
