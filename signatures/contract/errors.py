"""The errors that bad inputs and missing packages raise, and how their sentences are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# What stands between two values of an `Assert` and around each of them.
_OPEN, _CLOSE, _BETWEEN = "[", "]", "] ["


class InvalidInputError(ValueError):
    """An input that a signature refuses: one sentence with what was expected and what came.

    Eager functions, clients and servers say the same sentence, because all of them take it
    from the contract's rules.
    """


class MissingPackageError(ImportError):
    """Something that needs a package which an installation for clients only does not have."""


def missing_package(subject: str, error: ImportError) -> MissingPackageError | None:
    """A failed import as one sentence; `None` where a module of this project is what is missing.

    >>> print(missing_package("x", ModuleNotFoundError(name="tensorflow.python")))
    x needs the package tensorflow, which is not installed; pip install peakserve adds all it needs

    Args:
      subject: What was asked for.
      error: What Python said, or what this function made of it.
    """
    if isinstance(error, MissingPackageError):
        return error
    package = (error.name or "").partition(".")[0]
    if package in ("", "export", "signatures", "serving_config"):
        return None
    return MissingPackageError(
        f"{subject} needs the package {package}, which is not installed; pip install peakserve "
        "adds all it needs",
        name=package,
    )


def format_number(value: object) -> str:
    """Writes a number as the TensorFlow runtime writes it inside an assertion.

    Integers are written whole; a float is `%.6g` if that reads back as the same float32, else
    `%.9g`.

    >>> format_number(7), format_number(0.1), format_number(np.float32(16777217))
    ('7', '0.1', '16777216')
    >>> format_number(float("nan")), format_number(float("-inf")), format_number(1e6)
    ('nan', '-inf', '1e+06')
    """
    number = np.asarray(value)
    if number.dtype.kind in "iub":
        return str(int(number))
    with np.errstate(over="ignore"):
        as_float32 = np.float32(number)
        short = f"{float(as_float32):.6g}"
        if np.isnan(as_float32) or np.float32(short) == as_float32:
            return short
    return f"{float(as_float32):.9g}"


def sentence(parts: Sequence[object]) -> str:
    """Joins the parts of a refusal (texts and numbers) to one sentence.

    >>> sentence(["peaks: sample index outside imgs; row", 3, "got", 7.0, "samples", 2])
    'peaks: sample index outside imgs; row 3 got 7 samples 2'
    """
    return " ".join(part if isinstance(part, str) else format_number(part) for part in parts)


def sentence_of_assertion(text: str) -> str:
    """Turns the data list of a runtime assertion into the sentence it stands for.

    >>> sentence_of_assertion("[delta: must be finite; got] [nan]")
    'delta: must be finite; got nan'
    """
    return text.removeprefix(_OPEN).removesuffix(_CLOSE).replace(_BETWEEN, " ")
