"""How often an app is read: the effective intervals, and the pause after failures."""

from typing import Final

from msgspec import Struct

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 10.0


class Intervals(Struct, frozen=True):
    """Effective values for one app, in seconds: the configured ones, stretched where the budget does not suffice."""

    interval_seconds: float
    sweep_interval_seconds: float
    stale_after_seconds: float
    stretch_ratio: float


class Backoff:
    """Pauses that double with each failure in a row and end with the first success."""

    def __init__(self) -> None:
        self._failures = 0
        self._ends_at = float("-inf")

    def failed(self, at: float) -> None:
        """Note a failure at a monotonic time."""
        self._ends_at = at + min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._failures)
        self._failures = min(self._failures + 1, 16)

    def succeeded(self) -> None:
        """Note a success."""
        self._failures = 0
        self._ends_at = float("-inf")

    def ends_at(self) -> float:
        """Until when nothing should be tried, in monotonic seconds; a time long ago where there is no pause."""
        return self._ends_at
