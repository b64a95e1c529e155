"""The error of this package, and what says that an extra is not installed."""

from __future__ import annotations

import importlib
from typing import Any

from signatures.contract import MissingPackageError

# By the name that it is imported by, a package's name in an index and the extra that brings it.
_EXTRA_OF = {
    "av": ("av", "video"),
    "PIL": ("pillow", "video"),
    "sleap_io": ("sleap-io", "slp"),
}


class PredictionError(RuntimeError):
    """Frames that cannot be read, sent, or written, in one sentence."""


def import_extra(module: str, subject: str) -> Any:
    """Imports a module of an optional package.

    Args:
      module: Its full name, such as `"PIL.Image"`.
      subject: What needs it.

    Raises:
      MissingPackageError: It is not installed; the sentence names the line that installs it.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        name, extra = _EXTRA_OF[package]
        raise MissingPackageError(
            f"{subject} needs the package {name}, which is not installed; "
            f"pip install 'peakserve[{extra}]'",
            name=package,
        ) from error
