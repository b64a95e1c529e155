"""What the pages show: their blocks, and the `peakserve` commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a language, whole."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


def commands(page: Path) -> Iterator[str]:
    """Every `peakserve` command, without its name and without what only the reader has."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|[ /])peakserve (?!embedded)(.*)", line)
            if found and not line.startswith("#"):
                yield found[1]
