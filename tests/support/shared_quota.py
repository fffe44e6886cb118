"""Other limits of a simulated account: other ways of counting, and other users of it."""

from collections import deque
from typing import Literal

from exporter.simulator.service import RequestQuota

Window = Literal["fixed", "sliding", "bucket"]

_SECOND = 1.0


class SharedQuota(RequestQuota):
    """Admits at most `limit` requests per second; what is over it is refused and does not count.

    `sliding`: no window of one second, wherever it begins, has more than `limit`. `fixed`: each second of the clock
    on its own. `bucket`: `limit` tokens, refilled evenly. `others_per_second` requests of other users of the account
    arrive evenly spaced and compete for the same limit.
    """

    def __init__(self, limit: int, window: Window = "sliding", *, others_per_second: float = 0.0) -> None:
        super().__init__(limit)
        self.window: Window = window
        self.others_per_second = others_per_second
        self.others_refused = 0  # how many requests of others found nothing left
        self._admitted: deque[float] = deque()
        self._second = 0
        self._used_in_second = 0
        self._tokens = float(limit)
        self._filled_at: float | None = None
        self._next_other: float | None = None

    def admit(self, now: float) -> bool:
        """Whether a request that arrives at `now` is within the limit."""
        self._let_others_in(now)
        return self.take(now)

    def _let_others_in(self, now: float) -> None:
        """Count the requests of the account's other users since the last time."""
        if self.others_per_second <= 0:
            return
        if self._next_other is None:
            self._next_other = now
        gap = 1 / self.others_per_second
        # Requests older than a second are in no window.
        self._next_other += max(0, int((now - _SECOND - self._next_other) / gap)) * gap
        while self._next_other <= now:
            self.others_refused += not self.take(self._next_other)
            self._next_other += gap

    def take(self, at: float) -> bool:
        """Count one request at `at`, unless the limit is reached."""
        if self.window == "sliding":
            while self._admitted and self._admitted[0] <= at - _SECOND:
                self._admitted.popleft()
            if len(self._admitted) >= self.limit:
                return False
            self._admitted.append(at)
            return True
        if self.window == "fixed":
            if int(at) != self._second:
                self._second, self._used_in_second = int(at), 0
            if self._used_in_second >= self.limit:
                return False
            self._used_in_second += 1
            return True
        if self._filled_at is not None:
            self._tokens = min(self.limit, self._tokens + max(0.0, at - self._filled_at) * self.limit)
        self._filled_at = at
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
