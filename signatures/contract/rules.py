"""The rules of a guard: what is checked, in which words it is refused, and how to break it.

A rule is written once and computed twice: with NumPy (clients, cases) and with TensorFlow
(eager functions, the graph's guard). `Arithmetic` names the few operations in which the two
differ; everything else is the operators that arrays and tensors share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from signatures.contract.errors import format_number, sentence
from signatures.contract.tensors import round_up_to_odd

Values = Mapping[str, Any]
Inputs = dict[str, np.ndarray]

SMALLEST_NORMAL = 2.0**-126


class Arithmetic(Protocol):
    """The operations in which NumPy and TensorFlow differ."""

    def is_finite(self, value: Any) -> Any:
        """Elementwise: neither NaN nor infinite."""

    def floor(self, value: Any) -> Any:
        """Elementwise: the largest whole number not above."""

    def flush(self, value: Any) -> Any:
        """Elementwise: float32 with subnormals replaced by 0."""

    def as_float64(self, value: Any) -> Any:
        """The same numbers as float64."""

    def all(self, condition: Any) -> Any:
        """Whether every element is true, as a scalar."""

    def size(self, value: Any, axis: int) -> Any:
        """The size of one axis as an int64 scalar."""

    def first_false(self, condition: Any) -> Any:
        """The index of the first false element, or the length if there is none."""

    def pick(self, column: Any, index: Any) -> Any:
        """`column[index]`, or 0 where the index is the length."""


class NumpyArithmetic:
    """`Arithmetic` on NumPy arrays."""

    def is_finite(self, value: Any) -> Any:
        """See `Arithmetic`."""
        return np.isfinite(value)

    def floor(self, value: Any) -> Any:
        """See `Arithmetic`."""
        return np.floor(value)

    def flush(self, value: Any) -> Any:
        """See `Arithmetic`."""
        return np.where(np.abs(value) < SMALLEST_NORMAL, np.float32(0), value)

    def as_float64(self, value: Any) -> Any:
        """See `Arithmetic`."""
        return np.asarray(value, np.float64)

    def all(self, condition: Any) -> Any:
        """See `Arithmetic`."""
        return np.all(condition)

    def size(self, value: Any, axis: int) -> Any:
        """See `Arithmetic`."""
        return np.int64(value.shape[axis])

    def first_false(self, condition: Any) -> Any:
        """See `Arithmetic`."""
        return np.argmin(np.append(condition, False))

    def pick(self, column: Any, index: Any) -> Any:
        """See `Arithmetic`."""
        return np.append(column, column.dtype.type(0))[index]


class Rule(Protocol):
    """One check of a guard."""

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """A scalar boolean: whether the inputs keep the rule."""

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """Texts and scalar numbers that make up the refusal's sentence."""

    def describe(self) -> str:
        """The rule in words, for documentation."""

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """Names and inputs that break this rule first, made from inputs that keep all rules."""


@dataclass(frozen=True)
class Within:
    """A scalar lies in a closed interval, with `rounded_up` after rounding up to odd."""

    input: str
    low: int | float
    high: int | float
    rounded_up: bool = False

    def _value(self, values: Values) -> Any:
        value = values[self.input]
        return round_up_to_odd(value) if self.rounded_up else value

    @property
    def _is_integer(self) -> bool:
        return isinstance(self.low, int)

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """See `Rule`. NaN is outside every interval; float limits are compared as float32."""
        value = self._value(values)
        return (value >= self.low) & (value <= self.high)

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """See `Rule`."""
        limits = f"{format_number(self.low)}..{format_number(self.high)}"
        rounding = " after rounding up to odd" if self.rounded_up else ""
        value = values[self.input]
        shown = value if self._is_integer else arithmetic.flush(value)
        return [f"{self.input}: must be within {limits}{rounding}; got", shown]

    def describe(self) -> str:
        """See `Rule`."""
        rounding = " after rounding up to odd" if self.rounded_up else ""
        return (
            f"{self.input} within {format_number(self.low)}..{format_number(self.high)}{rounding}"
        )

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """See `Rule`."""
        if self._is_integer:
            outside: dict[str, Any] = {"below": self.low - 2, "above": int(self.high) + 2}
        else:
            outside = {"below": self.low / 2, "above": self.high * 2, "nan": np.nan}
        for where, value in outside.items():
            array = np.asarray(value, inputs[self.input].dtype)
            yield f"{self.input}_{where}", {**inputs, self.input: array}


@dataclass(frozen=True)
class Odd:
    """A scalar integer is odd."""

    input: str

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """See `Rule`."""
        return values[self.input] % 2 == 1

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """See `Rule`."""
        value = values[self.input]
        return [f"{self.input}: must be odd; got", value, "next odd", round_up_to_odd(value)]

    def describe(self) -> str:
        """See `Rule`."""
        return f"{self.input} odd"

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """See `Rule`."""
        yield f"{self.input}_even", {**inputs, self.input: inputs[self.input] + 1}


@dataclass(frozen=True)
class Finite:
    """A scalar is neither NaN nor infinite."""

    input: str

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """See `Rule`."""
        return arithmetic.is_finite(values[self.input])

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """See `Rule`."""
        return [f"{self.input}: must be finite; got", values[self.input]]

    def describe(self) -> str:
        """See `Rule`."""
        return f"{self.input} finite"

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """See `Rule`."""
        for name, value in {"nan": np.nan, "inf": np.inf, "minus_inf": -np.inf}.items():
            array = np.asarray(value, inputs[self.input].dtype)
            yield f"{self.input}_{name}", {**inputs, self.input: array}


@dataclass(frozen=True)
class WholeNumbers:
    """A column of a row-form input holds finite whole numbers."""

    input: str
    column: int
    label: str

    def _rows(self, values: Values, arithmetic: Arithmetic) -> tuple[Any, Any]:
        # Whether a subnormal equals 0 depends on the thread's and device's flushing: here it does.
        column = arithmetic.flush(values[self.input][:, self.column])
        return column, arithmetic.is_finite(column) & (arithmetic.floor(column) - column == 0)

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """See `Rule`."""
        _, good = self._rows(values, arithmetic)
        return arithmetic.all(good)

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """See `Rule`."""
        column, good = self._rows(values, arithmetic)
        row = arithmetic.first_false(good)
        text = f"{self.input}: {self.label} index must be a whole number; row"
        return [text, row, "got", arithmetic.pick(column, row)]

    def describe(self) -> str:
        """See `Rule`."""
        return f"{self.input} column {self.column} ({self.label}) whole numbers"

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """See `Rule`."""
        for name, value in {"fraction": 0.5, "nan": np.nan, "inf": np.inf}.items():
            yield (
                f"{self.label}_{name}",
                _with_last_row(inputs, self.input, self.column, value),
            )


@dataclass(frozen=True)
class IndexInto:
    """A column of a row-form input holds indices into an axis of another input."""

    input: str
    column: int
    label: str
    target: str
    axis: int
    axis_name: str

    def _rows(self, values: Values, arithmetic: Arithmetic) -> tuple[Any, Any, Any]:
        column = arithmetic.flush(values[self.input][:, self.column])
        size = arithmetic.size(values[self.target], self.axis)
        # In float64 every float32 and every axis size is exact.
        index = arithmetic.as_float64(column)
        return column, size, (index >= 0) & (index < arithmetic.as_float64(size))

    def holds(self, values: Values, arithmetic: Arithmetic) -> Any:
        """See `Rule`."""
        _, _, good = self._rows(values, arithmetic)
        return arithmetic.all(good)

    def parts(self, values: Values, arithmetic: Arithmetic) -> list[Any]:
        """See `Rule`."""
        column, size, good = self._rows(values, arithmetic)
        row = arithmetic.first_false(good)
        text = f"{self.input}: {self.label} index outside {self.target}; row"
        return [text, row, "got", arithmetic.pick(column, row), self.axis_name, size]

    def describe(self) -> str:
        """See `Rule`."""
        column = f"{self.input} column {self.column} ({self.label})"
        return f"{column} within the {self.axis_name} of {self.target}"

    def violations(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """See `Rule`."""
        size = inputs[self.target].shape[self.axis]
        for name, value in {"negative": -1, "past_the_end": size}.items():
            yield (
                f"{self.label}_{name}",
                _with_last_row(inputs, self.input, self.column, value),
            )


def _with_last_row(inputs: Inputs, name: str, column: int, value: float) -> Inputs:
    """A copy of the inputs with one number in the last row replaced."""
    rows = inputs[name].copy()
    rows[-1, column] = value
    return {**inputs, name: rows}


def first_refusal(rules: tuple[Rule, ...], values: Values) -> str | None:
    """The sentence of the first rule that the NumPy inputs break, or `None`.

    >>> first_refusal((Odd("kernel_size"),), {"kernel_size": np.int64(4)})
    'kernel_size: must be odd; got 4 next odd 5'
    """
    arithmetic = NumpyArithmetic()
    with np.errstate(over="ignore", invalid="ignore"):
        for rule in rules:
            if not rule.holds(values, arithmetic):
                return sentence(rule.parts(values, arithmetic))
    return None
