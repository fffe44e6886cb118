"""Puts the logging of the process back, after the program has taken it over."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


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
