"""The usual limiters, which count requests as they are sent: what the limiter is compared with."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exporter.collector.rate_limiter import Priority
from exporter.core.clock import Clock


class EvenSpacing:
    """Sends at even intervals, a little slower than the rate."""

    def __init__(self, requests_per_second: float, *, clock: Clock) -> None:
        self._interval_seconds = 1 / (0.98 * requests_per_second)
        self._clock = clock
        self._next = 0.0

    @asynccontextmanager
    async def permit(self, _priority: Priority) -> AsyncIterator[float]:
        """Wait for the next place in the row."""
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
        """Return when the next may be sent."""
        return self._sent[0] + self._window_seconds if len(self._sent) == self._limit else 0.0
