"""TensorFlow's import: faster, and without what it writes past every log level."""

from __future__ import annotations

import gc
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_KERAS = "keras.src"


def import_tensorflow() -> None:
    """Imports TensorFlow with standard error held back, and shown if the import fails.

    TensorFlow 2.21 writes notes about oneDNN and CUDA before its logging is set up, whatever
    `TF_CPP_MIN_LOG_LEVEL` says. They come from C++, so that the file descriptor is redirected.
    For programs, not for libraries: other threads' standard error is held back as well.

    None of what an import makes is garbage; searching it takes 0.2 s of 1.9. And Keras, which
    TensorFlow imports for its optimizers, is left to those who load a network with it: that takes
    0.2 s of 2.7, and 0.9 s of 3.3 where matplotlib is installed, which Keras imports.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    was_enabled = gc.isenabled()
    gc.disable()
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            with _without_keras():
                import tensorflow  # noqa: F401

            # Advice of its Python side, such as on retracing, is for developers.
            for name in ("tensorflow", "absl"):
                logging.getLogger(name).setLevel(logging.ERROR)
        except Exception:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            if was_enabled:
                gc.enable()
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def _without_keras() -> Iterator[None]:
    """Imports of Keras fail inside, which TensorFlow's own import takes for an absence."""
    if _KERAS in sys.modules:
        yield
        return
    # What Python documents for it: the name of a module that cannot be imported.
    sys.modules[_KERAS] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_KERAS]
