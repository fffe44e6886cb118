"""The one gate through which every request to one account goes: the rate is kept in any second, and nearly all usable.

Requests are let in by priority, first come first served within one; some turns go to those that wait for long.
"""

import asyncio
import math
from bisect import bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from operator import itemgetter

from exporter.core.clock import Clock

HEADROOM = 1.04  # a little faster than the rate, so that a permit that is free is soon used: the permits keep the rate

BURST = 4  # how many requests may catch up together, after timers that fired late


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


FLOOR_REQUESTS_PER_SECOND = 1.0
HALVING_APART_SECONDS = 1.0
"""Answers that come within a second of a halving are about requests that were sent before it."""
QUIET_SECONDS = 5.0  # how long no answer must be throttled before the rate grows
GROWTH_PER_SECOND = 0.02  # of the configured rate


class ThrottledRate:
    """The effective rate as a function of time. Times are seconds of one monotonic clock."""

    def __init__(self, requests_per_second: float) -> None:
        self.configured = requests_per_second
        self.paused_until = -math.inf  # nothing is sent before: the service named a wait
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


WINDOW_SECONDS = 1.001
"""A millisecond longer than the documented second, for a service that counts in whole milliseconds."""

MAX_IN_FLIGHT = 32
LEAST_MARGIN = 0.1  # of the least round trip: what the way may become shorter by
SCATTER_MARGIN = 6.0
"""With evenly jittering ways the least of n samples is `6 x scatter / sqrt(n)` too high once in exp(18) times."""
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
        """By how much a permit is free sooner: never more than the way there and back surely takes."""
        self._forget(now - SAMPLES_KEPT_SECONDS)
        samples = len(self._samples)
        if samples < CREDIT_AFTER_SAMPLES:
            return 0.0
        least = self._minima[0][1]
        scatter = self._sum_seconds / samples - least
        return max(0.0, least - max(LEAST_MARGIN * least, SCATTER_MARGIN * scatter / math.sqrt(samples)))

    def _forget(self, before: float) -> None:
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
        """When the next request may be sent, at the whole part of a rate; infinity: once a running one has ended."""
        spare = max(1, math.floor(requests_per_second)) - self.in_flight
        if spare <= 0 or self.in_flight >= MAX_IN_FLIGHT:
            return math.inf
        latest = self.filled_at if len(self.ends) < spare else max(self.filled_at, self.ends[-spare])
        return latest + _window_seconds(requests_per_second)

    def fill(self, now: float) -> None:
        """Count all permits as used just now: who sent requests before is not known."""
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


_Queue = OrderedDict[asyncio.Future[float], float]
"""Who waits for a turn, and since when. The turn is the time at which it is let in; infinity sends it away."""

LONG_WAIT_SECONDS = 10.0
LONG_WAIT_TURNS = 4
"""One in this many turns is for the request that has waited longest, if over `LONG_WAIT_SECONDS` and not on demand."""


class LimiterReplaced(Exception):  # noqa: N818 - what happened, not a kind of error
    """Another limiter has taken the place of this one: ask that, or for who has none `heir`."""

    def __init__(self, heir: "Limiter") -> None:
        super().__init__()
        self.heir = heir


class NothingSent(Exception):  # noqa: N818 - what happened, not a kind of error
    """A holder of a permit decided not to send: the permit is given back."""


class Priority(IntEnum):
    """What a request is for; the lowest is let in first, unless another one waits for long."""

    UPDATE = 0
    LOOKUP = 1
    SWEEP = 2
    ON_DEMAND = 3

    @property
    def label(self) -> str:
        """The value of the label `priority`: a sweep on demand is a sweep."""
        return min(self, Priority.SWEEP).name.lower()


class Limiter:
    """Lets requests to one account go, so that they never exceed a rate above 0 in any window of one second.

    Of a rate that is not whole the whole part counts; one below 1 allows one request in `1 / rate` seconds.
    """

    def __init__(self, requests_per_second: float, *, clock: Clock) -> None:
        self._clock = clock
        self._rate = ThrottledRate(_checked(requests_per_second))
        self._pace = Pace()
        self._permits = Permits()
        self._lent_until = math.inf
        self._rate_after = 0.0
        self._queues: dict[Priority, _Queue] = {priority: OrderedDict() for priority in Priority}
        self._turns = 0  # how many were given
        self._timer: asyncio.TimerHandle | None = None
        self._heirs: list[Limiter] = []
        self._is_replaced = False

    @property
    def effective_requests_per_second(self) -> float:
        """The rate that holds now: the configured one, or less after throttling or the end of a lease."""
        now = self._clock.monotonic()
        return self._rate_at(now) or self._rate.at(now)

    @property
    def granted_requests_per_second(self) -> float:
        """The same, but 0 while nothing is let in, since another exporter holds the budget."""
        return self._rate_at(self._clock.monotonic())

    def waiting(self, priority: Priority) -> int:
        """How many requests of this priority wait to be let in."""
        return len(self._queues[priority])

    @asynccontextmanager
    async def permit(self, priority: Priority) -> AsyncIterator[float]:
        """Wait for a turn, and hold it from the sending of one request until its response; yields how long it waited.

        A block that raises, or is cancelled, counts as a request that may have arrived until then; one that raises
        NothingSent, or is cancelled while it waits, costs nothing. Raises LimiterReplaced: nothing was sent.
        """
        if self._is_replaced:
            raise LimiterReplaced(self._heirs[0])
        asked = self._clock.monotonic()
        while await self._turn(priority) < self._lent_until <= self._clock.monotonic():
            self._undo_turn()  # The process stood still after it was let in.
        sent = self._clock.monotonic()
        try:
            yield sent - asked
        except NothingSent:
            self._undo_turn()
            raise
        except BaseException:
            self.ended(None)
            raise
        self.ended(self._clock.monotonic() - sent)

    def throttled(self, wait_seconds: float | None) -> None:
        """Take in that the service throttled a request, and how long it asks to wait; halves the rate for a while."""
        self._rate.throttled(self._clock.monotonic(), wait_seconds)

    def set_rate(self, requests_per_second: float) -> None:
        """Change the configured rate, above 0; recent requests still count, and so does recent throttling."""
        self._rate.configured = _checked(requests_per_second)
        self._admit()

    def lend(self, until: float, then: float, *, extend: bool = True) -> None:
        """Allow the configured rate until a monotonic time, then at most another; without `extend` never for longer."""
        if extend or until < self._lent_until:
            self._lent_until, self._rate_after = until, then
        self._admit()

    def wait_a_window(self) -> None:
        """Send nothing for a second: the previous process may have used the budget until its end."""
        self._permits.fill(self._clock.monotonic())

    def hand_over(self, heir: "Limiter") -> None:
        """Let another one count and respect what this one does; `send_away` must follow the last heir."""
        heir.take_over(self._permits, self._rate)
        heir.lend(self._lent_until, self._rate_after, extend=False)
        self._heirs.append(heir)

    def take_over(self, permits: Permits, rate: ThrottledRate) -> None:
        """Count what another limiter counts too, and be as careful."""
        self._permits.inherit(permits)
        self._rate.inherit(rate, self._clock.monotonic())

    def send_away(self) -> None:
        """Grant no more permits; waiting requests go to the heirs."""
        self._is_replaced = True
        if self._timer is not None:
            self._timer.cancel()
        for queue in self._queues.values():
            for turn in queue:
                if not turn.done():
                    turn.set_result(math.inf)
            queue.clear()

    def ended(self, round_trip_seconds: float | None) -> None:
        """Count a request as ended, here and in the heirs."""
        now = self._clock.monotonic()
        self._permits.end(now, self._rate_at(now) or self._rate.at(now), round_trip_seconds)
        if any(self._queues.values()):
            # Later: the sender may be about to report that it was throttled.
            asyncio.get_running_loop().call_soon(self._admit)
        for heir in self._heirs:
            heir.ended(round_trip_seconds)

    def give_back(self) -> None:
        """Undo a permit, here and in the heirs: nothing was sent."""
        self._permits.give_back()
        self._admit()
        for heir in self._heirs:
            heir.give_back()

    def _undo_turn(self) -> None:
        self._pace.give_back()
        self.give_back()

    def _rate_at(self, now: float) -> float:
        return self._rate.at(now) if now < self._lent_until else min(self._rate.at(now), self._rate_after)

    async def _turn(self, priority: Priority) -> float:
        """Queue up and return when it is our turn: the monotonic time at which it was let in."""
        turn: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        queue = self._queues[priority]
        queue[turn] = self._clock.monotonic()
        self._admit()
        try:
            let_in = await turn
        except BaseException:
            if not turn.done() or turn.cancelled():
                queue.pop(turn, None)
            elif turn.result() < math.inf:
                self._undo_turn()
            raise
        if self._is_replaced:
            if let_in < math.inf:
                self._undo_turn()
            raise LimiterReplaced(self._heirs[0])
        return let_in

    def _admit(self) -> None:
        """Let in all whose turn it is and set a timer for the next; as timers err, the clock decides each time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.monotonic()
        rate = self._rate_at(now)
        while rate and (queue := self._next_queue(now)) is not None:
            ready_at = max(self._rate.paused_until, self._pace.ready_at(rate), self._permits.ready_at(rate))
            if ready_at > now:
                if ready_at < math.inf:
                    self._timer = asyncio.get_running_loop().call_later(ready_at - now, self._admit)
                return
            turn, _ = queue.popitem(last=False)
            if not turn.cancelled():
                self._permits.take()
                self._pace.take(now, rate)
                self._turns += 1
                turn.set_result(now)

    def _next_queue(self, now: float) -> _Queue | None:
        queues = [queue for queue in self._queues.values() if queue]
        collecting = [queue for queue in queues if queue is not self._queues[Priority.ON_DEMAND]]
        if collecting and self._turns % LONG_WAIT_TURNS == 0:
            since, longest = min(((next(iter(queue.values())), queue) for queue in collecting), key=itemgetter(0))
            if now - since > LONG_WAIT_SECONDS:
                return longest
        return queues[0] if queues else None


def _checked(requests_per_second: float) -> float:
    if not requests_per_second > 0:
        raise ValueError(f"requests_per_second must be above 0, not {requests_per_second}")
    return requests_per_second
