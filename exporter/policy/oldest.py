"""The least of many times that come and go."""

import heapq
from typing import Final

SLACK: Final = 64


class Oldest:
    """Knows the oldest of some times, each of which may stand for many things, without looking at all of them."""

    def __init__(self) -> None:
        self._counts: dict[float, int] = {}
        self._heap: list[float] = []
        """Every time that is counted, and some that are not any more."""

    def add(self, at: float) -> None:
        """Count one more thing of a time."""
        if at not in self._counts:
            self._counts[at] = 0
            heapq.heappush(self._heap, at)
        self._counts[at] += 1

    def remove(self, at: float) -> None:
        """Count one thing less of a time that was added."""
        self._counts[at] -= 1
        if self._counts[at] == 0:
            del self._counts[at]
            if len(self._heap) > SLACK + 2 * len(self._counts):
                self._heap = sorted(self._counts)

    @property
    def value(self) -> float | None:
        """The oldest time; None: there is none."""
        while self._heap and self._heap[0] not in self._counts:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None
