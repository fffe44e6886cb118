"""What concerns the process: event loop, signals, and systemd by the protocols of sd_notify(3) and sd_listen_fds(3)."""

import asyncio
import ctypes
import faulthandler
import gc
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import uvloop

from exporter.config.mistakes import UsageError
from exporter.core.clock import Clock

T = TypeVar("T")

SWITCH_SECONDS: Final = 0.0005
"""How long the event loop waits for a thread that computes, such as the database's writer; Python's default is 5 ms."""


STANDARD_ERROR: Final = 2


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end on a fast event loop; a crash of a library writes where it was."""
    faulthandler.enable(STANDARD_ERROR)
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
    """Let glibc return large blocks when they are freed: it would keep hundreds of MiB after large responses."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
        set_option(_M_ARENA_MAX, 2)


END_AFTER_SECONDS: Final = 120.0
"""How long the event loop may be stuck. A process that was frozen for longer ends when it continues."""
LAG_SECONDS: Final = 60.0  # how long a delay of the event loop is remembered


class Heartbeat:
    """Beats about once a second; anyone may look how long ago that was, from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.monotonic()
        self._lags: deque[tuple[float, float]] = deque()  # times of beats and how late they were

    async def beat(self, seconds: float) -> float:
        """Wait; return how late the loop came back at most in the last 60 seconds, in seconds."""
        began = self._clock.monotonic()
        await self._clock.sleep(seconds)
        self._last = self._clock.monotonic()
        lag_seconds = max(0.0, self._last - began - seconds)
        self._lags.append((self._last, lag_seconds))
        while self._lags[0][0] <= self._last - LAG_SECONDS:
            self._lags.popleft()
        return max(lag for _, lag in self._lags)

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last beat."""
        return self._clock.monotonic() - self._last


class Watchdog:
    """Ends the process with a traceback of all threads once it has not been fed for long, from a thread of C."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def feed(self) -> None:
        """Begin to wait again."""
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=STANDARD_ERROR)

    def stop(self) -> None:
        """Wait no longer."""
        faulthandler.cancel_dump_traceback_later()


_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handled(*, stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Reload at SIGHUP, stop at SIGTERM and SIGINT; a second one of these ends the process immediately, also PID 1."""
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


FIRST_DESCRIPTOR: Final = 3
_ABSTRACT: Final = "@"


class ServiceManager:
    """Reports the state to the service manager, if the environment names one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith(_ABSTRACT):
            self._address = "\0" + self._address[1:]
        self.watchdog_seconds = _watchdog_seconds(environ)
        """Within so long it wants to hear that the process is alive; None: it does not watch."""
        self._is_stopping = False

    def ready(self) -> None:
        """Say that requests are answered, unless the process ends."""
        if not self._is_stopping:
            self._send("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is loaded again; `ready` ends that."""
        if not self._is_stopping:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the process ends, once."""
        if not self._is_stopping:
            self._is_stopping = True
            self._send("STOPPING=1")

    def alive(self) -> None:
        """Say that the process does what it should, where anyone watches."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifying:
                notifying.setblocking(False)
                notifying.connect(self._address)
                notifying.send(message.encode())
        except OSError:
            # A manager that does not listen must not stop the work; its own timeouts report it.
            return


def inherited_sockets(environ: MutableMapping[str, str], *, first: int = FIRST_DESCRIPTOR) -> Sequence[socket.socket]:
    """Return the sockets that the service manager opened; raises UsageError if there are none."""
    if environ.pop("LISTEN_PID", "") != str(os.getpid()):
        raise UsageError("no sockets were handed over: expected to be started by a systemd socket unit")
    number = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not number.isdigit() or int(number) == 0:
        raise UsageError(f"no sockets were handed over: LISTEN_FDS is {number!r}")
    return [_listening(descriptor) for descriptor in range(first, first + int(number))]


def _listening(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    try:
        inherited = socket.socket(fileno=descriptor)
        listens = inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise UsageError(f"the descriptor {descriptor} that was handed over is no socket") from error
    if inherited.type != socket.SOCK_STREAM or not listens:
        inherited.close()
        raise UsageError(
            f"the socket {descriptor} that was handed over does not listen for streams:"
            " use ListenStream= with Accept=no"
        )
    return inherited


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    pid, microseconds = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or pid not in {"", str(os.getpid())}:
        return None
    return int(microseconds) / 1_000_000
