"""When something is due next, for many things at once: cost goes with what is due, not with how many there are."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

Key = TypeVar("Key")
SPARE: int = 64


class Deadlines(Generic[Key]):
    """The next moment of each key, in any unit. Keys must be comparable."""

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
