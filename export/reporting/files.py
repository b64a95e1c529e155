"""Where reports go: one option, two forms, told apart by the file's ending."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

JSON, PAGE = ".json", ".html"
ENDINGS = (PAGE, JSON)
# By the name that it is imported by, the package's own name.
_OF_PAGES = {"jinja2": "Jinja2", "matplotlib": "matplotlib"}


class ReportError(RuntimeError):
    """A report that cannot be made or written, in one sentence."""


def is_page(path: Path) -> bool:
    """Whether a report is an HTML page."""
    return path.suffix.lower() == PAGE


def require_pages(path: Path | None) -> None:
    """Refuses a page that could not be made, before the work that it reports.

    Args:
      path: The report's file, if there is one.

    Raises:
      ReportError: What makes pages is not installed.
    """
    if path is None or not is_page(path):
        return
    missing = []
    for module, package in _OF_PAGES.items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(package)
    if missing:
        raise ReportError(
            f"--report {path}: a page needs Jinja2 and matplotlib, got no "
            f"{' and no '.join(missing)}; pip install 'peakserve[report]', or name a file that "
            "ends in .json"
        )


def write_report(path: Path, content: dict[str, Any], page: Callable[[], str]) -> None:
    """Writes plain data as JSON, or the page that is made of it.

    Args:
      path: The file; its ending says which.
      content: Plain data without NaN and infinities, which JSON does not have.
      page: Makes the page.

    Raises:
      ReportError: The file cannot be written.
    """
    text = page() if is_page(path) else json.dumps(content, indent=2, allow_nan=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportError(
            f"cannot write {path}: {error.strerror or error}; name another file with --report"
        ) from error
