"""How a command ends, for scripts. `click` itself ends wrong usage with 2."""

from __future__ import annotations

DONE = 0
# A negative finding, such as answers that differ, or an error in one sentence.
FAILED = 1
# What a shell says of a command that Ctrl-C ended.
INTERRUPTED = 130
INTERRUPTED_LINE = "interrupted"
