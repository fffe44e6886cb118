"""What a service refuses, a link to it that jitters, and the usual limiters for comparison."""

import asyncio
import random
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, get_args

from exporter.collector.rate_limiter import Priority
from exporter.core.clock import Clock
from tests.support.shared_quota import SharedQuota, Window


class Gate(Protocol):
    """What lets requests go: the limiter, or one that is compared with it."""

    def permit(self, priority: Priority) -> AbstractAsyncContextManager[float]:
        """Wait for a turn, held from sending to response."""


def refused(arrivals: Iterable[float], limit: int) -> dict[Window, int]:
    """Count what a service refuses, by how it counts; what it refuses does not use up the limit."""
    times = sorted(arrivals)
    quotas = {window: SharedQuota(limit, window) for window in get_args(Window)}
    return {window: sum(not quota.take(at) for at in times) for window, quota in quotas.items()}


def most_in_any_window(arrivals: Iterable[float], seconds: float = 1.0) -> int:
    """Return the largest number of arrivals within any half-open window of this many seconds."""
    times = sorted(arrivals)
    return max((bisect_left(times, start + seconds) - place for place, start in enumerate(times)), default=0)


@dataclass
class Link:
    """A way to the service and back, each with a least time, even jitter above it, and rare spikes."""

    seed: int
    least_seconds: float = 0.02  # each way
    jitter_seconds: float = 0.0  # each way
    spike_seconds: float = 0.0  # each way, on one request of a hundred
    arrivals: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - a simulation, not a secret

    async def request(self, clock: Clock) -> None:
        """Send one request, note when it reaches the service, and return with the response."""
        await clock.sleep(self.one_way_seconds())
        self.arrivals.append(clock.monotonic())
        await clock.sleep(self.one_way_seconds())

    def one_way_seconds(self) -> float:
        spike = self.spike_seconds * self._random.random() if self._random.random() < 0.01 else 0.0
        return self.least_seconds + self.jitter_seconds * self._random.random() + spike


async def saturate(gate: Gate, link: Link, *, clock: Clock, seconds: float, senders: int) -> None:
    """Let senders send one request after another, as fast as the gate lets them, for so long."""
    ends = clock.monotonic() + seconds

    async def send() -> None:
        while True:
            async with gate.permit(Priority.SWEEP):
                if clock.monotonic() >= ends:
                    return
                await link.request(clock)

    async with asyncio.TaskGroup() as group:
        for _ in range(senders):
            group.create_task(send())


class EvenSpacing:
    """Sends at even intervals, a little slower than the rate."""

    def __init__(self, requests_per_second: float, *, clock: Clock) -> None:
        self._interval_seconds = 1 / (0.98 * requests_per_second)
        self._clock = clock
        self._next = 0.0

    @asynccontextmanager
    async def permit(self, _priority: Priority) -> AsyncIterator[float]:
        asked = self._clock.monotonic()
        place = self._next = max(self._next + self._interval_seconds, asked)
        while (left := place - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
        yield self._clock.monotonic() - asked


class SendTimeLog:
    """Keeps the times of what it sent in the last second, and no more of them than the rate."""

    def __init__(self, requests_per_second: float, *, clock: Clock) -> None:
        self._limit = max(1, int(requests_per_second))
        self._window_seconds = 1 / min(1.0, requests_per_second)
        self._clock = clock
        self._sent: deque[float] = deque()

    @asynccontextmanager
    async def permit(self, _priority: Priority) -> AsyncIterator[float]:
        """Wait until one that was sent is a second old."""
        asked = self._clock.monotonic()
        while (now := self._clock.monotonic()) < (free := self._free_at()):
            await self._clock.sleep(free - now)
        if len(self._sent) == self._limit:
            self._sent.popleft()
        self._sent.append(now)
        yield now - asked

    def _free_at(self) -> float:
        return self._sent[0] + self._window_seconds if len(self._sent) == self._limit else 0.0
