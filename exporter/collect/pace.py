"""When requests are sent evenly: a schedule that forgives a small delay and saves up nothing more."""

HEADROOM = 1.04
"""A little faster than the rate, so that a permit that is free is soon used: the permits keep the rate."""

BURST = 4
"""How many requests may catch up at once, after timers that fired late."""


class Pace:
    """A leaky bucket: each request fills it by one, and it drains evenly. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._level = 0.0
        self._level_at = 0.0

    def ready_at(self, requests_per_second: float) -> float:
        """When the next request may be sent."""
        return self._level_at + (self._level - (BURST - 1)) / (HEADROOM * requests_per_second)

    def take(self, now: float, requests_per_second: float) -> None:
        """Count a request that is sent now."""
        drained = HEADROOM * requests_per_second * (now - self._level_at)
        self._level = max(0.0, self._level - drained) + 1
        self._level_at = now

    def give_back(self) -> None:
        """Undo `take`: nothing was sent."""
        self._level -= 1
