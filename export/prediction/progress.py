"""The progress of a prediction, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Shown(Protocol):
    """What is shown."""

    def advance(self, frames: int) -> None:
        """So many more frames are done."""

    def tell(self, line: str) -> None:
        """Prints a line above the bar."""


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} frames/s")


class _Bar:
    def __init__(self, progress: Progress, count: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task("frames", total=count)

    def advance(self, frames: int) -> None:
        self._progress.advance(self._task, frames)

    def tell(self, line: str) -> None:
        self._progress.console.print(line, markup=False, soft_wrap=True)


class _Lines:
    def advance(self, frames: int) -> None:
        pass

    def tell(self, line: str) -> None:
        click.echo(line, err=True)


@contextmanager
def shown(count: int | None, *, prints_rows: bool) -> Iterator[Shown]:
    """Shows a bar with frames per second and the time left on standard error.

    Args:
      count: How many frames there are, `None` if that is not known.
      prints_rows: Whether rows are printed to standard output; on the same terminal, a bar would
        run through them.
    """
    if not sys.stderr.isatty() or (prints_rows and sys.stdout.isatty()):
        yield _Lines()
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
    ) as progress:
        yield _Bar(progress, count)
