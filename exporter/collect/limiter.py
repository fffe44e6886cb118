"""The one gate through which every request to one account goes.

No window of one second at the service sees more requests than the rate (`permits` says why), and nearly all of
the rate can be used. Whoever waits is let in by priority, first come first served within one.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum

from exporter.clock import Clock
from exporter.collect.pace import Pace
from exporter.collect.permits import Permits
from exporter.collect.throttling import ThrottledRate

_Queue = OrderedDict[asyncio.Future[bool], None]
"""Who waits for a turn: True lets in, False sends away."""


class LimiterReplaced(Exception):  # noqa: N818 - what happened, not a kind of error
    """Another limiter has taken the place of this one: ask that, or for who has none `heir`."""

    def __init__(self, heir: "Limiter") -> None:
        super().__init__()
        self.heir = heir


class Priority(IntEnum):
    """What a request is for; the lowest is let in first."""

    UPDATE = 0
    LOOKUP = 1
    SWEEP = 2


class Limiter:
    """Lets requests to one account go, so that they never exceed a rate in any window of one second.

    A rate that is not whole allows its whole part in any second; one below 1 allows one request in `1 / rate`
    seconds.

    Args:
        requests_per_second: this process's share of what the service allows.
        clock: only its monotonic time is read; timers are the running loop's.

    Raises:
        ValueError: the rate is not above 0.
    """

    def __init__(self, requests_per_second: float, *, clock: Clock) -> None:
        self._clock = clock
        self._rate = ThrottledRate(_checked(requests_per_second))
        self._pace = Pace()
        self._permits = Permits()
        self._queues: dict[Priority, _Queue] = {priority: OrderedDict() for priority in Priority}
        self._timer: asyncio.TimerHandle | None = None
        self._heirs: list[Limiter] = []
        self._is_replaced = False

    @property
    def effective_requests_per_second(self) -> float:
        """The rate that holds now: the configured one, or less after throttling."""
        return self._rate.at(self._clock.monotonic())

    def waiting(self, priority: Priority) -> int:
        """How many requests of this priority wait to be let in."""
        return len(self._queues[priority])

    @asynccontextmanager
    async def permit(self, priority: Priority) -> AsyncIterator[float]:
        """Wait for a turn; hold it from the sending of one request until its response is there.

        A block that ends with an exception, or is cancelled, counts as a request that may have arrived at any
        moment until then. One that is cancelled while it waits has cost nothing.

        Yields:
            How many seconds it waited.

        Raises:
            LimiterReplaced: Nothing was sent, and nothing will be through this limiter any more.
        """
        if self._is_replaced:
            raise LimiterReplaced(self._heirs[0])
        asked = self._clock.monotonic()
        await self._turn(priority)
        sent = self._clock.monotonic()
        round_trip_seconds = None
        try:
            yield sent - asked
            round_trip_seconds = self._clock.monotonic() - sent
        finally:
            self.ended(round_trip_seconds)

    def throttled(self, wait_seconds: float | None) -> None:
        """Take in that the service throttled a request.

        The rate halves, at most once for answers that come together, and grows back after a quiet time.

        Args:
            wait_seconds: how long the service asks to wait, None where it does not say; nothing is sent before.
        """
        self._rate.throttled(self._clock.monotonic(), wait_seconds)

    def set_rate(self, requests_per_second: float) -> None:
        """Change the configured rate; recent requests still count, and so does recent throttling.

        Raises:
            ValueError: the rate is not above 0.
        """
        self._rate.configured = _checked(requests_per_second)
        self._admit()

    def wait_a_window(self) -> None:
        """Send nothing for a second: whoever sent requests before, such as the process before this, is not known."""
        self._permits.fill(self._clock.monotonic())

    def hand_over(self, heir: "Limiter") -> None:
        """Let another one count all requests of the last second and those in flight, and heed the throttling so far.

        There can be several heirs; `send_away` must follow.
        """
        heir.take_over(self._permits, self._rate)
        self._heirs.append(heir)

    def take_over(self, permits: Permits, rate: ThrottledRate) -> None:
        """Count what another limiter counts too, and be as careful."""
        self._permits.inherit(permits)
        self._rate.inherit(rate, self._clock.monotonic())

    def send_away(self) -> None:
        """Let nobody go any more; whoever waits is sent to the heirs."""
        self._is_replaced = True
        if self._timer is not None:
            self._timer.cancel()
        while (queue := self._first_queue()) is not None:
            turn, _ = queue.popitem(last=False)
            if not turn.done():
                turn.set_result(False)

    def ended(self, round_trip_seconds: float | None) -> None:
        """Count a request as ended, here and in the heirs."""
        now = self._clock.monotonic()
        self._permits.end(now, self._rate.at(now), round_trip_seconds)
        if self._first_queue() is not None:
            # Not at once: whoever sent this may be about to tell that it was throttled.
            asyncio.get_running_loop().call_soon(self._admit)
        for heir in self._heirs:
            heir.ended(round_trip_seconds)

    def give_back(self) -> None:
        """Undo a permit, here and in the heirs: nothing was sent."""
        self._permits.give_back()
        self._admit()
        for heir in self._heirs:
            heir.give_back()

    async def _turn(self, priority: Priority) -> None:
        """Queue up and return when it is our turn."""
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        queue = self._queues[priority]
        queue[turn] = None
        self._admit()
        try:
            is_let_in = await turn
        except BaseException:
            if not turn.done() or turn.cancelled():
                queue.pop(turn, None)
            elif turn.result():
                self._pace.give_back()
                self.give_back()
            raise
        if self._is_replaced:
            if is_let_in:
                self._pace.give_back()
                self.give_back()
            raise LimiterReplaced(self._heirs[0])

    def _admit(self) -> None:
        """Let in all whose turn it is and set a timer for the next; as timers err, the clock decides each time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.monotonic()
        rate = self._rate.at(now)
        while (queue := self._first_queue()) is not None:
            ready_at = max(self._rate.paused_until, self._pace.ready_at(rate), self._permits.ready_at(rate))
            if ready_at > now:
                if ready_at < math.inf:
                    self._timer = asyncio.get_running_loop().call_later(ready_at - now, self._admit)
                return
            turn, _ = queue.popitem(last=False)
            if not turn.cancelled():
                self._permits.take()
                self._pace.take(now, rate)
                turn.set_result(True)

    def _first_queue(self) -> _Queue | None:
        """Return the queue of the highest priority in which someone waits."""
        return next((queue for queue in self._queues.values() if queue), None)


def _checked(requests_per_second: float) -> float:
    """Refuse a rate at which nothing would ever be sent."""
    if not requests_per_second > 0:
        raise ValueError(f"requests_per_second must be above 0, not {requests_per_second}")
    return requests_per_second
