"""Where the command `peakserve` begins: also without the packages that it needs."""

from __future__ import annotations

import sys

from export.exit_codes import INTERRUPTED, INTERRUPTED_LINE
from signatures.contract import MissingPackageError, missing_package


def main() -> None:
    """Runs the command line; a package that is not installed is one sentence.

    An installation for clients only has neither the command line's packages nor TensorFlow.
    """
    try:
        from export.cli import main as command_line

        # Usage and shell completion know it by one name, also in a checkout.
        command_line(prog_name="peakserve")
    except (ModuleNotFoundError, MissingPackageError) as error:
        told = missing_package("this command", error)
        if told is None or "--debug" in sys.argv:
            raise
        sys.exit(f"Error: {told}")
    except KeyboardInterrupt:
        # Before a command runs.
        print(INTERRUPTED_LINE, file=sys.stderr)
        sys.exit(INTERRUPTED)
