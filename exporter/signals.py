"""What the signals of an operator mean to the daemon."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def heeded(*, stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Heed signals of this process while the context lasts.

    Args:
        stop: Called at the first SIGTERM or SIGINT. A second one ends the process at once, as if nobody heeded it.
        reload: Called at each SIGHUP.
    """
    loop = asyncio.get_running_loop()

    def stop_once() -> None:
        stop()
        for number in _STOPPING:
            loop.remove_signal_handler(number)

    for number in _STOPPING:
        loop.add_signal_handler(number, stop_once)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for number in (*_STOPPING, signal.SIGHUP):
            loop.remove_signal_handler(number)
