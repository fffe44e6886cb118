"""Running the command line in this process: its parsed options, and the logging put back afterwards."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import structlog

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


@contextmanager
def logging_restored() -> Iterator[None]:
    """Let the block configure logging; afterwards all is as it was."""
    root, credentials = logging.getLogger(), logging.getLogger("credentials")
    handlers, level, filters = root.handlers[:], root.level, credentials.filters[:]
    try:
        yield
    finally:
        root.handlers[:], credentials.filters[:] = handlers, filters
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
