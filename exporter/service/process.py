"""Measures the delay of the event loop, and ends a process whose loop is stuck."""

import asyncio
import ctypes
import faulthandler
import gc
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import uvloop

from exporter.aliyun.transport import use_fast_zlib
from exporter.core.clock import Clock

T = TypeVar("T")

SWITCH_SECONDS: Final = 0.0005
"""How long the event loop waits for a thread that computes, such as the database's writer; Python's default is 5 ms."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end on a fast event loop."""
    use_fast_zlib()
    _keep_little_freed_memory()
    spare_imports()
    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


def spare_imports() -> None:
    """Spare the garbage collector what was imported, which stays: it would look through it while a scrape waits."""
    gc.collect()
    gc.freeze()


_M_MMAP_THRESHOLD: Final = -3  # of malloc.h, as the next one
_M_ARENA_MAX: Final = -8
_LARGE_BLOCK_BYTES: Final = 128 * 1024


def _keep_little_freed_memory() -> None:
    """Let glibc return large blocks when they are freed, and keep few heaps; does nothing without glibc.

    Otherwise it keeps blocks of up to 32 MiB, hundreds of MiB after large responses, since small ones lie between.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
        set_option(_M_ARENA_MAX, 2)


END_AFTER_SECONDS: Final = 120.0
"""How long the event loop may be stuck. A process that was frozen for longer ends when it continues."""
STANDARD_ERROR: Final = 2
LAG_SECONDS: Final = 60.0
"""How long a delay of the event loop is remembered."""


class Heartbeat:
    """Beats about once a second; anyone may look how long ago that was, from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.monotonic()
        self._lags: deque[tuple[float, float]] = deque()
        """Times of beats and how late they were, each less late than those before it."""

    async def beat(self, seconds: float) -> float:
        """Wait; return how late the loop came back at most in the last 60 seconds, in seconds."""
        began = self._clock.monotonic()
        await self._clock.sleep(seconds)
        self._last = self._clock.monotonic()
        lag_seconds = max(0.0, self._last - began - seconds)
        while self._lags and self._lags[-1][1] <= lag_seconds:
            self._lags.pop()
        self._lags.append((self._last, lag_seconds))
        while self._lags[0][0] <= self._last - LAG_SECONDS:
            self._lags.popleft()
        return self._lags[0][1]

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last beat."""
        return self._clock.monotonic() - self._last


class Watchdog:
    """Ends the process with a traceback of all threads once it has not been fed for long.

    It is a thread of C that needs neither the event loop nor Python's lock, so that nothing can hold it up. There is
    one for each process.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def feed(self) -> None:
        """Begin to wait again."""
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=STANDARD_ERROR)

    def stop(self) -> None:
        """Wait no longer."""
        faulthandler.cancel_dump_traceback_later()


class NullWatchdog(Watchdog):
    """Never ends anything."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def feed(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handled(*, stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Handle signals of this process while the context lasts.

    Args:
        stop: Called at the first SIGTERM or SIGINT. A second one ends the process immediately, also PID 1, for which
            the kernel drops signals without a handler.
        reload: Called at each SIGHUP.
    """
    loop = asyncio.get_running_loop()

    def stop_once() -> None:
        stop()
        for number in _STOPPING:
            loop.remove_signal_handler(number)
            if os.getpid() == 1:
                signal.signal(number, lambda number, _: os._exit(128 + number))

    for number in _STOPPING:
        loop.add_signal_handler(number, stop_once)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for number in (*_STOPPING, signal.SIGHUP):
            loop.remove_signal_handler(number)
