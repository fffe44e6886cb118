"""Reads an app's whole list when someone asks for it, beside its collection, and reports every request."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from msgspec.structs import replace

from exporter.aliyun.errors import ApiError
from exporter.aliyun.parse_task import Interner
from exporter.aliyun.response import ListPage
from exporter.collector.collector import Collector, CollectorEvents
from exporter.collector.inventory import Inventory
from exporter.collector.rate_limiter import Priority
from exporter.collector.reading import AppRows, ReadingTurns, Window, WindowAnswer
from exporter.collector.requests import AccountRequests, AppRequests
from exporter.collector.status import Difference, RequestReport, SweepReport
from exporter.core.clock import Clock
from exporter.core.collection_state import Component, State
from exporter.rules.rule import AppKey
from exporter.service.monitor import Monitor
from exporter.web.view import SweepStart

LONGEST_SECONDS: Final = 300.0
PAUSE_SECONDS: Final = 60.0  # the least time between the end of one reading of an app and the next one's begin
MOST_IN_FLIGHT: Final = 2
SHARE: Final = 0.5  # of the rate at most, even while nothing else is sent
MOST_REQUESTS: Final = 1000  # this many are reported one by one; more are counted
MOST_REPORTS: Final = 20

_NOT_NEEDED: Final = "given up: it was asked for ahead, and the list had ended or moved"
_RELOADED: Final = "the configuration was loaded again meanwhile: ask once more"


class FreshSweeps:
    """One reading at a time, by a collector of its own: nothing that is published changes by it."""

    def __init__(self, monitor: Monitor, clock: Clock) -> None:
        self._monitor = monitor
        self._clock = clock
        self._sweeps: dict[AppKey, _FreshSweep | SweepReport] = {}
        """The newest of each app; of those that have ended only the report is kept."""
        self._ended_at: dict[AppKey, float] = {}
        self._running: asyncio.Task[None] | None = None

    def start(self, account: str, app_id: str) -> SweepStart:
        """Begin to read an app."""
        key = (account, app_id)
        collector = self._monitor.collector(key)
        if collector is None:
            return SweepStart.UNKNOWN
        if self._running is not None and not self._running.done():
            return SweepStart.BUSY
        now = self._clock.monotonic()
        self._ended_at = {app: at for app, at in self._ended_at.items() if now - at < PAUSE_SECONDS}
        if key in self._ended_at:
            return SweepStart.TOO_SOON
        sweep = _FreshSweep(self._monitor, collector, self._clock)
        self._sweeps.pop(key, None)
        self._sweeps = dict([*self._sweeps.items(), (key, sweep)][-MOST_REPORTS:])
        self._running = asyncio.create_task(self._run(key, sweep))
        return SweepStart.STARTED

    def report(self, account: str, app_id: str) -> SweepReport | None:
        """Return how the newest reading of an app goes or went; None: there is none."""
        key = (account, app_id)
        sweep = self._sweeps.get(key) if key in self._monitor.apps else None
        return sweep.report(State.PENDING, ended=False) if isinstance(sweep, _FreshSweep) else sweep

    async def close(self) -> None:
        """Cancel the running reading."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self, key: AppKey, sweep: "_FreshSweep") -> None:
        """Read, and keep the report alone: the tasks of a reading take as much memory as those of the app."""
        self._sweeps[key] = await sweep.run()
        self._ended_at[key] = self._clock.monotonic()


class _FreshSweep:
    def __init__(self, monitor: Monitor, published: Collector, clock: Clock) -> None:
        self._published = published
        self._supervisor = monitor.supervisor
        self._clock = clock
        self._requests = RecordedRequests(
            monitor.accesses[published.account].requests,
            published.app.id,
            is_current=lambda: monitor.collector(published.key) is published,
            clock=clock,
        )
        self._collector = Collector(
            account=published.account,
            app=published.app,
            requests=self._requests,
            rows=AppRows(published.app.id, Interner(), ReadingTurns(clock.monotonic)),
            max_tasks=monitor.config.collection.max_tasks_per_app,
            intervals=published.intervals,
            clock=clock,
            events=CollectorEvents(),
        )
        self._began = clock.now()
        self._began_at = clock.monotonic()

    async def run(self) -> SweepReport:
        """Read the list; failures are in the report."""
        state, reason = State.TIMEOUT, f"not read within {LONGEST_SECONDS:.0f} s: the budget is too small, or in use"
        try:
            with structlog.contextvars.bound_contextvars(collected="on demand"):
                async with asyncio.timeout(LONGEST_SECONDS):
                    await self._collector.sweep()
                state, reason = self._collector.status.state, self._collector.status.reason
        except TimeoutError:
            pass  # The report says so.
        except Exception as error:  # noqa: BLE001 - whatever it was: the reading ends, and its report says so
            app = self._collector.key
            state, reason = State.INTERNAL_ERROR, self._supervisor.failed(Component.COLLECT_NOW, error, app)
        else:
            self._supervisor.works(Component.COLLECT_NOW, self._collector.key)
        return self.report(state, "" if state is State.OK else reason)

    def report(self, state: State, reason: str = "", *, ended: bool = True) -> SweepReport:
        """Return how it went, or goes."""
        found = self._collector.inventory if state is State.OK else None
        return SweepReport(
            account=self._collector.account,
            app_id=self._collector.app.id,
            began=self._began,
            seconds=self._clock.monotonic() - self._began_at,
            requests=self._requests.reports(ended=ended),
            requests_sent=self._requests.sent,
            ended=ended,
            state=state,
            reason=reason,
            tasks=None if found is None else len(found),
            sweep=None if found is None else self._collector.status.sweep,
            difference=None if found is None else _difference(found, self._published.inventory),
        )


class RecordedRequests(AppRequests):
    """Requests about one app while `is_current`, few at a time and of the lowest priority, reported one by one."""

    def __init__(self, account: AccountRequests, app_id: str, *, is_current: Callable[[], bool], clock: Clock) -> None:
        super().__init__(account, app_id)
        self.recorded: list[RequestReport] = []
        self._is_current = is_current
        self._clock = clock
        self._began_at = clock.monotonic()
        self._in_flight = asyncio.Semaphore(MOST_IN_FLIGHT)

    def reports(self, *, ended: bool) -> tuple[RequestReport, ...]:
        """Return all that were sent; when the reading has `ended`, nobody waits for those under way."""
        seconds = self._clock.monotonic() - self._began_at
        return tuple(
            replace(each, duration_seconds=seconds - each.sent_after_seconds, reason=_NOT_NEEDED)
            if ended and each.duration_seconds is None
            else each
            for each in self.recorded
        )

    async def _send(self, priority: Priority, wanted: Window | str) -> WindowAnswer:  # noqa: ARG002 - the lowest
        await self._in_flight.acquire()
        try:
            return await super()._send(Priority.ON_DEMAND, wanted)
        finally:
            pause_seconds = MOST_IN_FLIGHT / (SHARE * self._account.limiter.effective_requests_per_second)
            asyncio.get_running_loop().call_later(pause_seconds, self._in_flight.release)

    def _attempt(self, wanted: Window | str) -> Callable[[], Awaitable[ListPage]]:
        send = super()._attempt(wanted)
        asked_for = f"task {wanted}" if isinstance(wanted, str) else _words(wanted)
        attempts = 0
        wanted_at = self._clock.monotonic()

        async def attempt() -> ListPage:
            nonlocal attempts, wanted_at
            if not self._is_current():
                raise ApiError(State.PENDING, _RELOADED)
            attempts += 1
            sent_at = self._clock.monotonic()
            place = len(self.recorded)
            report = RequestReport(
                number=place + 1,
                asked_for=asked_for,
                attempt=attempts,
                sent_after_seconds=sent_at - self._began_at,
                waited_seconds=sent_at - wanted_at,
                duration_seconds=None,
                rows=None,
                state=None,
            )
            if place < MOST_REQUESTS:
                self.recorded.append(report)
            rows, state, reason = None, None, ""
            try:
                page = await send()
                rows, state = len(page.rows), State.OK
            except ApiError as error:
                state, reason = error.state, error.reason
                raise
            finally:
                wanted_at = self._clock.monotonic()
                if place < MOST_REQUESTS:
                    duration_seconds = wanted_at - sent_at
                    self.recorded[place] = replace(
                        report, duration_seconds=duration_seconds, rows=rows, state=state, reason=reason
                    )
            return page

        return attempt


def _words(window: Window) -> str:
    return f"page {window.page_no} of {window.page_size} rows: {window.start + 1} to {window.end}"


def _difference(read: Inventory, known: Inventory) -> Difference:
    only_read = changed = 0
    for entry in read:
        other = known.get(entry.task_id)
        if other is None:
            only_read += 1
        elif entry.row_digest != other.row_digest and not entry.same_content(other):
            changed += 1
    return Difference(only_read=only_read, only_known=len(known) - (len(read) - only_read), changed=changed)
