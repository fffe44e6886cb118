"""Tables and text for people: foreign strings can't write escape sequences to their terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from exporter.config.mistakes import Mistake
from exporter.core import log
from exporter.metrics.self_metrics import SelfMetrics

NOTHING_TO_READ: Final = "nothing to read: the configuration names no app\n"
PIPE_WIDTH = 240  # columns for a reader that is no terminal: nothing is cut off, and most rows fit in one line


def console(stream: TextIO | None = None) -> Console:
    """Return a console on a stream, standard output by default."""
    stream = stream or sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()) -> Table:
    """Return a table whose lines break between words, never within an id; columns in `numbers` are set to the right."""
    result = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    cells = [["-" if value is None else printable(str(value)) for value in row] for row in rows]
    for place, column in enumerate(columns):
        longest = max(cell_len(word) for text in (column, *(row[place] for row in cells)) for word in text.split(" "))
        result.add_column(column, justify="right" if column in numbers else "left", min_width=longest)
    for row in cells:
        result.add_row(*map(Text, row))
    return result


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def log_errors_only() -> SelfMetrics:
    """Let a command that prints its result log errors alone; return the metrics that count them."""
    metrics = SelfMetrics()
    log.configure("error", "logfmt", sys.stderr, metrics.message_logged)
    return metrics


def warn(warnings: Iterable[Mistake]) -> None:
    """Write a line to standard error for each thing in a configuration that is probably not meant."""
    for warning in warnings:
        sys.stderr.write(f"{warning.position}: warning: {printable(warning.text)}\n")


def printable(text: str) -> str:
    """Return text with everything escaped that a terminal would act upon."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
