"""The command `completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "peakserve"
VARIABLE = "_PEAKSERVE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and files in a shell.

    Have the shell read it when it starts: bash and zsh with
    'eval "$(peakserve completion bash)"' in ~/.bashrc or ~/.zshrc, fish with
    'peakserve completion fish | source' in config.fish.
    """
    kind = get_completion_class(shell)
    assert kind is not None, shell
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
