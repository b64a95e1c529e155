"""`python -m serving_config.embedded`: runs the embedded host."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence

from serving_config.embedded.memory import keep_less_memory
from serving_config.embedded.options import parse_options
from serving_config.programs import ENVIRONMENT, tensorflow_version
from serving_config.quiet import import_tensorflow
from signatures.contract import missing_package


def own_version() -> str:
    """The installed package's version; a checkout that is not installed has none."""
    try:
        return importlib.metadata.version("peakserve")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def main(arguments: Sequence[str]) -> int:
    """Parses the flags and runs the host.

    Args:
      arguments: The command line without the program.

    Returns:
      The exit code.
    """
    options = parse_options(arguments)
    if options.version:
        print(f"peakserve embedded host, TensorFlow {tensorflow_version()}")
        return 0
    print(
        f"peakserve {own_version()} embedded host (not the stock tensorflow_model_server), "
        f"TensorFlow {tensorflow_version()}",
        flush=True,
    )
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    keep_less_memory()
    try:
        import_tensorflow()
        from serving_config.embedded.host import run
    except ModuleNotFoundError as error:
        told = missing_package("the embedded host", error)
        if told is None:
            raise
        print(f"Error: {told}", file=sys.stderr, flush=True)
        return 1
    return run(options)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # Threads that are still inside TensorFlow must not hold up the end of the process.
    os._exit(code)
