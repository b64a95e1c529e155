"""What the command `adapt` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from export.adapters.facts import FACTS_FILE, NetworkFacts, export_command
from export.adapters.saving import check_new
from export.writing import print_json


def write_and_tell(out: Path, write: Callable[[], NetworkFacts], *, as_json: bool) -> None:
    """Writes a network and prints how to export it, as text or as JSON.

    Args:
      out: The folder.
      write: Writes into it.
      as_json: As one document.

    Raises:
      AdapterError: The folder is not empty, or the network cannot be adapted.
    """
    check_new(out)
    facts = write()
    command = export_command(facts, out)
    if as_json:
        print_json(
            {
                "framework": facts.framework,
                "role": facts.role,
                "network": str(out),
                "options": dict(facts.options),
                "notes": list(facts.notes),
                "export": command,
            }
        )
        return
    click.echo(f"network: {out} ({facts.framework}, {facts.role})")
    for note in facts.notes:
        click.echo(f"note: {note}")
    click.echo(f"export it; the options are in {out / FACTS_FILE} too, and read from there:")
    click.echo(command)
