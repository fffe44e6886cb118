"""Calls that do not return before a test is over."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any


@contextmanager
def hanging_call(seconds: float = 600) -> Iterator[Callable[..., Any]]:
    """Yield a function that blocks anyone who calls it until the block ends, or for that long."""
    over = Event()

    def hang(*_arguments: object, **_more: object) -> None:
        over.wait(seconds)

    try:
        yield hang
    finally:
        over.set()
