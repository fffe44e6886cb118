"""Time as a value that is passed in: the real one here, a simulated one in tests; and a heap of deadlines."""

import asyncio
import time
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final, Generic, Protocol, TypeVar

Key = TypeVar("Key")
SPARE: Final = 64  # entries of a heap that keys no longer have, before it is rebuilt


class Clock(Protocol):
    """What anything that waits or dates something is given."""

    def now(self) -> float:
        """Wall-clock time, in seconds since 1970; it may jump."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; it never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after about `seconds`, perhaps a little early or late: look at the clock again."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Wall-clock time, in seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(seconds)


class Deadlines(Generic[Key]):
    """The next moment of each key, in any unit; keys must be comparable. Cost goes with what is due, not with all."""

    def __init__(self) -> None:
        self._moments: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []  # may hold moments that keys no longer have

    def __len__(self) -> int:
        return len(self._moments)

    def set(self, key: Key, moment: float | None) -> None:
        """Set when a key is due; None: never."""
        if moment is None:
            self._moments.pop(key, None)
        elif self._moments.get(key) != moment:
            self._moments[key] = moment
            heappush(self._heap, (moment, key))
        if len(self._heap) > 2 * len(self._moments) + SPARE:
            self._heap = [(moment, key) for key, moment in self._moments.items()]
            heapify(self._heap)

    def first(self) -> float | None:
        """Return the earliest moment."""
        while self._heap:
            moment, key = self._heap[0]
            if self._moments.get(key) == moment:
                return moment
            heappop(self._heap)
        return None

    def take_due(self, now: float) -> Iterator[Key]:
        """Yield and forget each key whose moment has come."""
        while (moment := self.first()) is not None and moment <= now:
            _, key = heappop(self._heap)
            del self._moments[key]
            yield key
