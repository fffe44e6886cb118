"""What the program understands of a command line, without running the command."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from exporter.cli import PROGRAM, cli


def parsed(words: Sequence[str]) -> dict[str, Any]:
    """Return the command's parameters; raises click.UsageError for a line that it refuses."""
    context = cli.make_context(PROGRAM, list(words))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    return context.params


def flags(command: click.Command = cli) -> Iterator[str]:
    """Yield every flag of a command and of those within it."""
    yield "--help"
    for parameter in command.params:
        yield from parameter.opts
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from flags(inner)
