"""How fast we may be while the service throttles us: others of the same account need their share.

The rate halves at once and grows back in small, equal steps (additive increase, multiplicative decrease):
users of one account who all do so end at equal shares, without knowing of each other.
"""

import math

FLOOR_REQUESTS_PER_SECOND = 1.0
HALVING_APART_SECONDS = 1.0
"""Answers that come within a second of a halving are about requests that were sent before it."""
QUIET_SECONDS = 5.0
"""How long no answer must be throttled before the rate grows."""
GROWTH_PER_SECOND = 0.02
"""Of the configured rate."""


class ThrottledRate:
    """The effective rate as a function of time. Times are seconds of one monotonic clock."""

    def __init__(self, requests_per_second: float) -> None:
        self.configured = requests_per_second
        self.paused_until = -math.inf
        """Nothing is sent before: the service named a wait."""
        self._share = 1.0
        self._throttled_at = -math.inf
        self.halved_at = -math.inf

    def at(self, now: float) -> float:
        """Return the effective rate in requests a second."""
        return self._at_least_the_floor(self.configured * self.share_at(now))

    def throttled(self, now: float, wait_seconds: float | None) -> None:
        """Take in a throttled answer and the wait that it names."""
        share = self.share_at(now)
        if now >= max(self.halved_at + HALVING_APART_SECONDS, self.paused_until):
            share = self._at_least_the_floor(self.at(now) / 2) / self.configured
            self.halved_at = now
        self._share, self._throttled_at = share, now
        if wait_seconds is not None:
            self.paused_until = max(self.paused_until, now + wait_seconds)

    def inherit(self, other: "ThrottledRate", now: float) -> None:
        """Be as careful as another one that is replaced."""
        share = min(self.share_at(now), other.share_at(now))
        if share < 1.0:
            self._share, self._throttled_at = share, now
        self.halved_at = max(self.halved_at, other.halved_at)
        self.paused_until = max(self.paused_until, other.paused_until)

    def _at_least_the_floor(self, requests_per_second: float) -> float:
        """Raise a rate to the lowest that is worth having, which may be all that is configured."""
        return max(requests_per_second, min(FLOOR_REQUESTS_PER_SECOND, self.configured))

    def share_at(self, now: float) -> float:
        """Return the part of the configured rate that is left."""
        quiet_since = max(self._throttled_at, self.paused_until) + QUIET_SECONDS
        return min(1.0, self._share + GROWTH_PER_SECOND * max(0.0, now - quiet_since))
