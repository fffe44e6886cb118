"""An event loop on virtual time: hours of waiting pass in seconds, in the same order on every run.

`run(coroutine)` runs it; inside, `asyncio.sleep`, timeouts, task groups and `VirtualClock` all follow the loop's
time, which starts at 0 and jumps to the next timer as soon as nothing else is ready. There are no sockets and no
threads on it: what needs them is not deterministic.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import wraps
from threading import Event
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, Unpack

from exporter.core.threads import Worker

P = ParamSpec("P")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

DAY_SECONDS = 86_400.0
SHORTEST_WAIT_WITH_ERROR_SECONDS = 1e-6
WALL_CLOCK_START = 1_700_000_000.0


class Deadlock(RuntimeError):  # noqa: N818 - what happened, not a kind of error to handle
    """Every task waits for something that can't happen any more, or goes on forever."""


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """A loop whose time is that of the timer that it runs.

    Args:
        timer_error: gives for each timer by how many seconds it fires late (or, below 0, early; never by more
            than half of its wait, and not at all when that is under a microsecond, so that time passes).
        at_most_seconds: virtual time after which the loop gives up with `Deadlock`.
    """

    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, *, timer_error: Callable[[], float] | None = None, at_most_seconds: float = DAY_SECONDS) -> None:
        super().__init__()
        self._now = 0.0
        self._timer_error = timer_error
        self._at_most_seconds = at_most_seconds
        self._selector = self

    def time(self) -> float:
        return self._now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer; it errs as `timer_error` says."""
        if self._timer_error is not None and when - self._now > SHORTEST_WAIT_WITH_ERROR_SECONDS:
            when = max((self._now + when) / 2, when + self._timer_error())
        return super().call_at(when, callback, *args, context=context)

    def select(self, timeout: float | None) -> list[object]:
        """Stand in for the selector: instead of waiting for `timeout`, let the time pass."""
        if timeout is None:
            waiting = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self)))
            raise Deadlock(f"nothing is ready and no timer is set; tasks that wait: {waiting or 'none'}")
        if timeout > 0:
            self._now = max(self._now, self._scheduled[0].when())
            if self._now > self._at_most_seconds:
                raise Deadlock(f"not done after {self._at_most_seconds:g} s of virtual time")
        return []

    def _process_events(self, event_list: list[object]) -> None:
        """Do nothing: there are no sockets to hear from."""

    def _write_to_self(self) -> None:
        """Do nothing: nobody waits in a selector to be woken."""


class VirtualClock:
    """`exporter.core.clock.Clock` on the running loop's time.

    Args:
        start: the wall-clock time at which the loop begins, in seconds since 1970.
    """

    def __init__(self, start: float = WALL_CLOCK_START) -> None:
        self._start = start

    def now(self) -> float:
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def set_back(self, seconds: float) -> None:
        """Let the wall clock jump back by so much (below 0: forward), as one that is set right does."""
        self._start -= seconds


class SetClock:
    """A clock that stands still until a test sets `seconds`, or something sleeps.

    Args:
        start: The wall-clock time at 0 seconds.
        seconds: Where it begins.
    """

    def __init__(self, start: float = 1_800_000_000.0, seconds: float = 0.0) -> None:
        self.start = start
        self.seconds = seconds

    def now(self) -> float:
        return self.start + self.seconds

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def run(
    coroutine: Coroutine[Any, Any, T],
    *,
    timer_error: Callable[[], float] | None = None,
    at_most_seconds: float = DAY_SECONDS,
) -> T:
    """Run a coroutine on a new loop of virtual time and return its result.

    Raises:
        Deadlock: nothing can happen any more, or `at_most_seconds` of virtual time have passed.
    """

    def new_loop() -> asyncio.AbstractEventLoop:
        return VirtualTimeLoop(timer_error=timer_error, at_most_seconds=at_most_seconds)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(coroutine)


def on_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Let a test be run by a new loop of virtual time."""

    @wraps(test)
    def run_test(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return run_test


async def at_once(_worker: Worker, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Stand in for `Worker.run`: virtual time does not wait for threads."""
    await asyncio.sleep(0)
    return function(*args, **kwargs)


def leap(seconds: float) -> None:
    """Put the running loop's time ahead, on real time too: timers that are due by then fire."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds  # type: ignore[method-assign]


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
