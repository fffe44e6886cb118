"""How many requests may reach the service within one second, whatever the network does to them.

A request reaches the service somewhere between its sending and its response. So a permit is held until the
response and a whole window longer: then no window of the service's clock can see more requests than there are
permits. Part of that time is given back as a credit, because no request arrives in less than the way there
takes, and no response in less than the way back: the least round trip that was seen, less a margin.
"""

import math
from bisect import bisect_right, insort
from collections import deque

WINDOW_SECONDS = 1.001
"""A millisecond longer than the documented second, for a service that counts in whole milliseconds."""

MAX_IN_FLIGHT = 32
LEAST_MARGIN = 0.1
"""Of the least round trip: what the way may become shorter by."""
SCATTER_MARGIN = 4.0
"""Where both ways jitter evenly, the least of n samples is less than `4 x scatter / sqrt(n)` above the true least with
a probability of 1 - exp(-8)."""
CREDIT_AFTER_SAMPLES = 150
SAMPLES_KEPT_SECONDS = 60.0


class RoundTrips:
    """The round trips of the last minute, and how far their least can be trusted."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque()
        self._sum_seconds = 0.0
        self._minima: deque[tuple[float, float]] = deque()

    def add(self, now: float, seconds: float) -> None:
        """Take in the round trip of a request that was answered."""
        self._samples.append((now, seconds))
        self._sum_seconds += seconds
        while self._minima and self._minima[-1][1] >= seconds:
            self._minima.pop()
        self._minima.append((now, seconds))

    def credit_seconds(self, now: float) -> float:
        """By how much a permit is free sooner: never more than the way there and back surely takes.

        The least of n samples lies above the true least, the more so the wider they scatter and the fewer they are.
        """
        self._forget(now - SAMPLES_KEPT_SECONDS)
        samples = len(self._samples)
        if samples < CREDIT_AFTER_SAMPLES:
            return 0.0
        least = self._minima[0][1]
        scatter = self._sum_seconds / samples - least
        return max(0.0, least - max(LEAST_MARGIN * least, SCATTER_MARGIN * scatter / math.sqrt(samples)))

    def _forget(self, before: float) -> None:
        """Drop the samples that are too old to tell how the network is now."""
        while self._samples and self._samples[0][0] < before:
            self._sum_seconds -= self._samples.popleft()[1]
        while self._minima and self._minima[0][0] < before:
            self._minima.popleft()


class Permits:
    """Counts the requests that the service may have in its window. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.ends: list[float] = []
        self.filled_at = -math.inf
        self._round_trips = RoundTrips()

    def ready_at(self, requests_per_second: float) -> float:
        """When the next request may be sent; infinity: not before one that is under way has ended.

        A rate between two whole numbers counts as the lower, since no window can hold a part of a request. Below
        one request a second the window is longer instead.
        """
        spare = max(1, math.floor(requests_per_second)) - self.in_flight
        if spare <= 0 or self.in_flight >= MAX_IN_FLIGHT:
            return math.inf
        latest = self.filled_at if len(self.ends) < spare else max(self.filled_at, self.ends[-spare])
        return latest + _window_seconds(requests_per_second)

    def fill(self, now: float) -> None:
        """Count all permits as used just now: whoever sent requests before is not known."""
        self.filled_at = now

    def inherit(self, other: "Permits") -> None:
        """Count what another one counts too; the ends of its requests that are in flight have to be reported here."""
        self.in_flight += other.in_flight
        self.ends = sorted(self.ends + other.ends)
        self.filled_at = max(self.filled_at, other.filled_at)

    def take(self) -> None:
        """Count a request that is about to be sent."""
        self.in_flight += 1

    def give_back(self) -> None:
        """Undo `take`: nothing was sent."""
        self.in_flight -= 1

    def end(self, now: float, requests_per_second: float, round_trip_seconds: float | None) -> None:
        """Count a request as ended: answered after `round_trip_seconds`, or (None) failed or cancelled."""
        self.in_flight -= 1
        end = now
        if round_trip_seconds is not None:
            self._round_trips.add(now, round_trip_seconds)
            end -= self._round_trips.credit_seconds(now)
        del self.ends[: bisect_right(self.ends, now - _window_seconds(requests_per_second))]
        insort(self.ends, end)


def _window_seconds(requests_per_second: float) -> float:
    """The time within which one second's requests may arrive, or a single one where that is less than one."""
    return WINDOW_SECONDS / min(1.0, requests_per_second)
