"""Running what lets others run in between, step by step."""

import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def finished(coroutine: Coroutine[Any, None, Result]) -> Result:
    """Return what comes of a coroutine that waits for nothing but `asyncio.sleep(0)`."""
    return timed(coroutine)[0]


def timed(
    coroutine: Coroutine[Any, None, Result], between: Callable[[], object] = lambda: None
) -> tuple[Result, list[float]]:
    """Return the same, and how many seconds of CPU each step took that nobody else could run in.

    `between` is called after each step but the last.
    """
    took: list[float] = []
    while True:
        began = time.thread_time()
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value, [*took, time.thread_time() - began]
        took.append(time.thread_time() - began)
        between()
