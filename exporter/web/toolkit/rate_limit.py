"""How many requests are let in: a bucket of tokens that fills evenly."""

from collections.abc import Callable

from msgspec import Struct


class Rate(Struct, frozen=True):
    """How often requests may come."""

    interval_seconds: float
    """One request each; 0 or less: as many as come."""
    burst: int
    """How many at once after a rest; 0 or less: none ever."""


class TokenBucket:
    """Lets requests in at a rate; full at first.

    Args:
        rate: How often.
        monotonic: The seconds of a clock that only goes forward.
    """

    def __init__(self, rate: Rate, monotonic: Callable[[], float]) -> None:
        self.rate = rate
        self._monotonic = monotonic
        self._tokens = float(rate.burst)
        self._filled_at = monotonic()

    def admits(self) -> bool:
        """Whether another request may come in now; if so, it has its token."""
        if self.rate.interval_seconds <= 0:
            return True
        now = self._monotonic()
        self._tokens = min(self.rate.burst, self._tokens + (now - self._filled_at) / self.rate.interval_seconds)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
