"""When each app is read: a timer for its updates and one for its sweeps; turns never stack."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any, Final

from exporter.collector.collector import Collector
from exporter.collector.status import Kind
from exporter.core.clock import Clock

LONGEST_FIRST_WAIT_SECONDS: Final = 1.0  # the first sweeps begin within this time of the start, one after the other
LONGEST_INTERVAL_SECONDS: Final = 365 * 86_400.0
"""Where the budget is tiny an interval can be stretched beyond all dates, and the next turn is shown as one."""
GOLDEN_RATIO: Final = (math.sqrt(5) - 1) / 2
"""Its successive multiples, modulo 1, spread any number of apps evenly over an interval."""


class Skip(StrEnum):
    """Why a turn was left out."""

    STILL_RUNNING = "still_running"
    BUDGET = "budget"
    BACKOFF = "backoff"


class Turns:
    """The turns of one kind of one app."""

    def __init__(self, collector: Collector, kind: Kind, due_at: float) -> None:
        self.collector = collector
        self.kind = kind
        self.due_at = due_at  # when the next one is due, in monotonic seconds
        self.timer: asyncio.TimerHandle | None = None
        self.attempt: asyncio.Task[None] | None = None  # while it runs
        self._waits_seconds = 0.0  # the interval by which the next one was scheduled; 0 before the first

    def advance(self, now: float) -> None:
        """Schedule the turn after the one that is due; those that were missed are left out, and the phase is kept."""
        self._waits_seconds = self._interval_seconds
        missed = max(0, math.floor((now - self.due_at) / self._waits_seconds))
        self.due_at += (missed + 1) * self._waits_seconds

    def shorten(self, now: float) -> bool:
        """Bring the next turn forward if it was scheduled while the interval was stretched; return whether it was."""
        stretched_seconds = self._waits_seconds - self._interval_seconds
        if stretched_seconds <= 0:
            return False
        self._waits_seconds -= stretched_seconds
        self.due_at = max(now, self.due_at - stretched_seconds)
        return True

    @property
    def _interval_seconds(self) -> float:
        status = self.collector.status
        interval_seconds = status.interval_seconds if self.kind is Kind.UPDATE else status.sweep_interval_seconds
        return min(interval_seconds, LONGEST_INTERVAL_SECONDS)


class Schedule:
    """The turns of all collectors; `failed` is called with exceptions of its own, `skipped` counts sweeps left out."""

    def __init__(
        self,
        *,
        attempt: Callable[[Collector, Kind], Coroutine[Any, Any, None]],
        failed: Callable[[BaseException], object],
        clock: Clock,
        skipped: Callable[[str, str, Skip], None],
    ) -> None:
        self._attempt = attempt
        self._failed = failed
        self._clock = clock
        self._skipped = skipped
        self._turns: dict[tuple[Collector, Kind], Turns] = {}
        self._added = 0
        self._is_running = False

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._is_running = True
        for turns in self._turns.values():
            self._set_timer(turns)

    def stop(self) -> None:
        """End: no turn begins any more, and those that run are cancelled."""
        self._is_running = False
        for turns in self._turns.values():
            _cancel(turns)

    def add(self, collector: Collector) -> None:
        """Read an app from now on, its first sweep immediately."""
        self._added += 1
        phase = self._added * GOLDEN_RATIO % 1.0
        interval_seconds = collector.status.interval_seconds
        first_wait = phase * min(LONGEST_FIRST_WAIT_SECONDS, interval_seconds)
        for kind, wait in ((Kind.UPDATE, phase * interval_seconds), (Kind.SWEEP, first_wait)):
            due_at = self._clock.monotonic() + min(wait, LONGEST_INTERVAL_SECONDS)
            turns = self._turns[collector, kind] = Turns(collector, kind, due_at)
            self._set_timer(turns)

    def next_turn(self, collector: Collector, kind: Kind) -> float | None:
        """Return when the next turn of a kind is due, in wall-clock seconds; None: none is scheduled."""
        turns = self._turns.get((collector, kind))
        return None if turns is None else self._clock.now() + turns.due_at - self._clock.monotonic()

    def remove(self, collector: Collector) -> None:
        """Stop reading an app; a running turn is cancelled."""
        for kind in Kind:
            _cancel(self._turns.pop((collector, kind)))

    def heed_intervals(self) -> None:
        """Bring forward the turns that were scheduled while their interval was stretched."""
        for turns in self._turns.values():
            if turns.shorten(self._clock.monotonic()):
                self._set_timer(turns)

    def _set_timer(self, turns: Turns) -> None:
        if turns.timer is not None:
            turns.timer.cancel()
        if self._is_running:
            wait_seconds = max(0.0, turns.due_at - self._clock.monotonic())
            turns.timer = asyncio.get_running_loop().call_later(wait_seconds, self._look, turns)

    def _look(self, turns: Turns) -> None:
        """Take a turn if it is due, which timers that err may leave open, and wait for the next."""
        now = self._clock.monotonic()
        if now >= turns.due_at:
            turns.advance(now)
            try:
                self._take(turns, now)
            except Exception as error:  # noqa: BLE001 - the next turns come all the same
                self._failed(error)
        self._set_timer(turns)

    def _take(self, turns: Turns, now: float) -> None:
        collector, kind = turns.collector, turns.kind
        if turns.attempt is not None:
            self._skip(turns, Skip.STILL_RUNNING)
        elif collector.pause_ends_at(kind) > now:
            self._skip(turns, Skip.BACKOFF)
        elif collector.crowded(kind):
            self._skip(turns, Skip.BUDGET)
        else:
            name = f"{kind} of {collector.account}/{collector.app.id}"
            turns.attempt = asyncio.create_task(self._attempt(collector, kind), name=name)
            turns.attempt.add_done_callback(lambda attempt: self._ended(turns, attempt))

    def _ended(self, turns: Turns, attempt: asyncio.Task[None]) -> None:
        turns.attempt = None
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            self._failed(error)
        self._hasten_sweep(turns.collector)

    def _skip(self, turns: Turns, reason: Skip) -> None:
        """Count a sweep that was due and did not start; that an update did not shows in the data's age."""
        if turns.kind is Kind.SWEEP:
            self._skipped(turns.collector.account, turns.collector.app.id, reason)
        if reason is not Skip.BUDGET:  # where that does not suffice, another turn helps nobody
            self._hasten_sweep(turns.collector)

    def _hasten_sweep(self, collector: Collector) -> None:
        """Let a sweep that is wanted run before its turn, though not before a pause is over."""
        sweeps = self._turns.get((collector, Kind.SWEEP))
        if sweeps is None or sweeps.attempt is not None or not collector.wants_sweep:
            return
        sooner = max(self._clock.monotonic(), collector.pause_ends_at(Kind.SWEEP))
        if sooner < sweeps.due_at:
            sweeps.due_at = sooner
            self._set_timer(sweeps)


def _cancel(turns: Turns) -> None:
    if turns.timer is not None:
        turns.timer.cancel()
    if turns.attempt is not None:
        turns.attempt.cancel()
