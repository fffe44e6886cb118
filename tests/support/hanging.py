"""Calls that do not return before a test is over."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any


@contextmanager
def hanging_call() -> Iterator[Callable[..., Any]]:
    """Yield a function that blocks anyone who calls it until the block ends."""
    over = Event()

    def hang(*_arguments: object, **_more: object) -> None:
        over.wait(600)

    try:
        yield hang
    finally:
        over.set()
