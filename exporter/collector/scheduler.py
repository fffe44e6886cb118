"""When each app is read: a job for its updates and one for its sweeps, by APScheduler; turns never stack."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from exporter.collector.collector import Collector
from exporter.collector.status import Kind
from exporter.core.clock import Clock

CLOCK_JUMP_SECONDS: Final = 2.0
LONGEST_FIRST_WAIT_SECONDS: Final = 1.0  # the first sweeps begin within this time of the start, one after the other
ROUNDING_SECONDS: Final = 0.001
"""Turns are scheduled in whole microseconds: one that follows a pause must not come before its end."""
LONGEST_INTERVAL_SECONDS: Final = 365 * 86_400.0
"""Where the budget is tiny an interval can be stretched beyond all dates, by which APScheduler would stop for good."""
GOLDEN_RATIO: Final = (math.sqrt(5) - 1) / 2
"""Its successive multiples, modulo 1, spread any number of apps evenly over an interval."""


class Skip(StrEnum):
    """Why a turn was left out."""

    STILL_RUNNING = "still_running"
    BUDGET = "budget"
    BACKOFF = "backoff"


class Every(BaseTrigger):  # type: ignore[misc] # APScheduler ships no types
    """Turns at an interval that may change; after a jump of the clock missed ones are left out, the phase is kept."""

    def __init__(self, interval_seconds: Callable[[], float]) -> None:
        self._interval_seconds = interval_seconds
        self._last_turn: datetime | None = None

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the next turn after `now`."""
        if previous_fire_time is None:
            return now
        interval = self._interval_seconds()
        missed = max(0, math.floor((now - previous_fire_time).total_seconds() / interval))
        self._last_turn = previous_fire_time + timedelta(seconds=missed * interval)
        return previous_fire_time + timedelta(seconds=(missed + 1) * interval)

    def due(self) -> datetime | None:
        """Return when the next turn is due by the interval that holds now; None before the first."""
        if self._last_turn is None:
            return None
        return self._last_turn + timedelta(seconds=self._interval_seconds())

    def clock_jumped(self, next_turn: datetime) -> None:
        """Count from one interval before the next turn, by a wall clock that jumped."""
        self._last_turn = next_turn - timedelta(seconds=self._interval_seconds())


class Schedule:
    """The turns of all collectors; `failed` is called with exceptions of its own, `skipped` counts sweeps left out."""

    def __init__(
        self,
        *,
        attempt: Callable[[Collector, Kind], Awaitable[None]],
        failed: Callable[[BaseException], object],
        clock: Clock,
        skipped: Callable[[str, str, Skip], None],
    ) -> None:
        self._attempt = attempt
        self._clock = clock
        self._skipped = skipped
        logger = logging.getLogger("exporter.schedule")
        logger.setLevel(logging.ERROR)  # below that it logs every turn that is left out
        logging.getLogger("apscheduler.executors.default").setLevel(logging.CRITICAL)  # and there every turn twice
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            logger=logger,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._left_out, EVENT_JOB_MAX_INSTANCES)
        self._scheduler.add_listener(lambda event: failed(event.exception), EVENT_JOB_ERROR)
        self._jobs: dict[tuple[Collector, Kind], Job] = {}
        self._turns: dict[tuple[Collector, Kind], asyncio.Task[None]] = {}
        self._added = 0
        self._wall_ahead_seconds = clock.now() - clock.monotonic()

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """End: no turn begins any more, and those that run are cancelled."""
        self._scheduler.shutdown(wait=False)

    def add(self, collector: Collector) -> None:
        """Read an app from now on, its first sweep immediately."""
        self._added += 1
        phase = self._added * GOLDEN_RATIO % 1.0
        first_wait = phase * min(LONGEST_FIRST_WAIT_SECONDS, collector.status.interval_seconds)
        for kind, wait in ((Kind.UPDATE, phase * collector.status.interval_seconds), (Kind.SWEEP, first_wait)):
            self._jobs[collector, kind] = self._scheduler.add_job(
                self._turn,
                Every(partial(_interval_seconds, collector, kind)),
                args=(collector, kind),
                name=f"{kind} of {collector.account}/{collector.app.id}",
                next_run_time=self._time_in(wait),
            )

    def next_turn(self, collector: Collector, kind: Kind) -> float | None:
        """Return when the next turn of a kind is due, in wall-clock seconds; None: none is scheduled."""
        job = self._jobs.get((collector, kind))
        return None if job is None or job.next_run_time is None else job.next_run_time.timestamp()

    def remove(self, collector: Collector) -> None:
        """Stop reading an app; a running turn is cancelled."""
        for kind in Kind:
            if turn := self._turns.get((collector, kind)):
                turn.cancel()
            self._jobs.pop((collector, kind)).remove()

    def look_at_clock(self) -> None:
        """Reset the turns when the wall clock has jumped or intervals have shrunk; to be called about every second."""
        wall_ahead_seconds = self._clock.now() - self._clock.monotonic()
        jump_seconds = wall_ahead_seconds - self._wall_ahead_seconds
        self._wall_ahead_seconds = wall_ahead_seconds
        if not self._scheduler.running:
            return
        if abs(jump_seconds) > CLOCK_JUMP_SECONDS:
            for (collector, kind), job in self._jobs.items():
                # Turns that were scheduled after the jump stay where they are.
                ahead_seconds = (job.next_run_time.timestamp() - self._clock.now()) % _interval_seconds(collector, kind)
                job.modify(next_run_time=self._time_in(ahead_seconds))
                job.trigger.clock_jumped(job.next_run_time)
        else:
            self._heed_shorter_intervals()

    def _heed_shorter_intervals(self) -> None:
        """Bring forward the turns that were scheduled while their interval was stretched."""
        for job in self._jobs.values():
            due = job.trigger.due()
            if due is not None and due + timedelta(seconds=ROUNDING_SECONDS) < job.next_run_time:
                job.modify(next_run_time=max(due, self._time_in(0.0)))

    async def _turn(self, collector: Collector, kind: Kind) -> None:
        if collector.pause_ends_at(kind) > self._clock.monotonic():
            self._skip(collector, kind, Skip.BACKOFF)
        elif collector.crowded(kind):
            self._skip(collector, kind, Skip.BUDGET)
            return  # a wanted sweep would find the same at once
        elif turn := asyncio.current_task():
            self._turns[collector, kind] = turn
            try:
                # `remove` and `stop` cancel it, which APScheduler would log as a job that failed.
                with suppress(asyncio.CancelledError):
                    await self._attempt(collector, kind)
            finally:
                del self._turns[collector, kind]
        # Later: as long as a sweep's turn has not ended, APScheduler starts no other.
        asyncio.get_running_loop().call_soon(self._hasten_sweep, collector)

    def _hasten_sweep(self, collector: Collector) -> None:
        """Let a sweep that is wanted run before its turn, though not before a pause is over."""
        job = self._jobs.get((collector, Kind.SWEEP))
        if job is None or collector.sweeping or not collector.wants_sweep or not self._scheduler.running:
            return
        pause = collector.pause_ends_at(Kind.SWEEP) - self._clock.monotonic()
        sooner = self._time_in(max(0.0, pause + ROUNDING_SECONDS))
        if sooner < job.next_run_time:
            job.modify(next_run_time=sooner)

    def _left_out(self, event: JobSubmissionEvent) -> None:
        job = self._scheduler.get_job(event.job_id)
        if job is not None:
            collector, kind = job.args
            self._skip(collector, kind, Skip.STILL_RUNNING)

    def _skip(self, collector: Collector, kind: Kind, reason: Skip) -> None:
        """Count a sweep that was due and did not start; that an update did not shows in the data's age."""
        if kind is Kind.SWEEP:
            self._skipped(collector.account, collector.app.id, reason)

    def _time_in(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC) + timedelta(
            seconds=min(seconds, LONGEST_INTERVAL_SECONDS)
        )


def _interval_seconds(collector: Collector, kind: Kind) -> float:
    status = collector.status
    interval_seconds = status.interval_seconds if kind is Kind.UPDATE else status.sweep_interval_seconds
    return min(interval_seconds, LONGEST_INTERVAL_SECONDS)
