"""The doctor: what would go wrong when a model server hosts a SavedModel, found before it does.

A model is read as bytes and never run. `model` reads the directory, `flat` writes out the graph
of a signature with every function in its place, `kernels` and `placement` tell where each node
runs on a GPU machine, `crossings` counts the copies between host and device, and the `rules_*`
look for one kind of fault each. Importing this package is cheap; `diagnosis` imports TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.doctor.diagnosis import Diagnosis, diagnose, examine

__all__ = ["BATCHING", "SERVER_VERSION", "Diagnosis", "diagnose", "examine"]

# The newest stock server that models of this project were tried on.
SERVER_VERSION = "2.20"
# Who joins requests.
BATCHING = ("server", "in-graph")


def __getattr__(name: str) -> Any:
    """Imports on first use (PEP 562), so that the command line does not pay for TensorFlow."""
    if name in __all__:
        from export.doctor import diagnosis

        return getattr(diagnosis, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
