"""Keeps the tasks of one app up to date: updates read the front of its list, sweeps all of it."""

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Final

import structlog

from exporter.aliyun.errors import ApiError
from exporter.collector.absences import Absences, is_large_loss
from exporter.collector.inventory import Change, Entry, Inventory
from exporter.collector.list_reader import ListReader, SweepReader, WholeReading
from exporter.collector.past import SavedApp
from exporter.collector.rate_limiter import Priority
from exporter.collector.reading import (
    LARGEST_PAGE,
    REPLICA_LAG_SECONDS,
    ROWS_IN_ORDER,
    AppRows,
    IncompleteReadingError,
    Reading,
)
from exporter.collector.requests import AppRequests
from exporter.collector.status import Backoff, Intervals, Kind, Status, StatusTracker, Sweep
from exporter.config.model import App
from exporter.core.clock import Clock
from exporter.core.collection_state import State

MANY_ABSENT: Final = 8
"""More tasks than this that an update does not see are left to a sweep, which may prove that they are gone."""

LOOKUP_SECONDS: Final = {Kind.UPDATE: 5.0, Kind.SWEEP: 20.0}
"""For how long, at most, tasks are looked up after an attempt; after an update no longer than its interval."""


class CollectorEvents:
    """Receives collector events; discards them unless a subclass does something."""

    def collected(self, changes: Sequence[Change], *, baseline: bool) -> None:
        """Changes were applied, as `baseline` the first tasks that are known, or the status was replaced."""

    def swept(self) -> None:
        """A sweep was accepted; its changes have been reported."""


class Collector:
    """Collects one app. `status` and `inventory` are consistent whenever the event loop lets one look."""

    def __init__(
        self,
        *,
        account: str,
        app: App,
        requests: AppRequests,
        rows: AppRows,
        max_tasks: int,
        intervals: Intervals,
        clock: Clock,
        events: CollectorEvents,
        largest_page: int = LARGEST_PAGE,
    ) -> None:
        self.account = account
        self.app = app
        self.inventory = Inventory()
        self.sweeping = False
        self.wants_sweep = False  # whether a sweep should run before its turn
        self._requests = requests
        self.intervals = intervals
        self._clock = clock
        self._events = events
        self._reader = ListReader(rows, monotonic=clock.monotonic, max_tasks=max_tasks, largest_page=largest_page)
        self._sweep_reader = SweepReader(self._reader, requests, self.inventory, clock)
        self._absences = Absences(requests, rows, self.inventory, clock)
        self._log = structlog.get_logger(account=account, app_id=app.id)
        self._tracker = StatusTracker(account, app)
        self._backoff = {kind: Backoff() for kind in Kind}
        self._seen_in_front: set[str] = set()
        """What updates saw since the running sweep began: it exists, wherever the sweep looked for it."""
        self._order: Sequence[int] = ()  # digests of the rows of the last accepted sweep, by their position
        self._reading_list = False
        """Whether a sweep's pages are being read: it may still bring rows that are older than what updates see."""
        self._began_at: dict[str, float] = {}  # when each running attempt began, in monotonic seconds
        self._says_unmoved = False
        self._stored: Sequence[Entry] = ()  # see `check_stored`
        self._stored_gone: Callable[[Sequence[Entry]], object] = lambda _entries: None
        self.status = self._status_now()

    @property
    def key(self) -> tuple[str, str]:
        """Account and AppId."""
        return self.account, self.app.id

    @property
    def attempted(self) -> bool:
        """Whether an attempt has finished, well or not."""
        return self._tracker.attempted

    def pause_ends_at(self, kind: Kind) -> float:
        """Until when attempts of a kind pause after failures, in monotonic seconds."""
        return self._backoff[kind].ends_at

    def crowded(self, kind: Kind) -> bool:
        """Whether more requests wait for the budget than can be sent before this app's next turn of a kind."""
        if kind is Kind.UPDATE:
            return self._requests.queue_seconds(Priority.UPDATE) > self.intervals.interval_seconds
        return self._requests.queue_seconds(Priority.SWEEP) > self.intervals.sweep_interval_seconds

    def set_intervals(self, intervals: Intervals) -> None:
        """Take on other effective intervals."""
        self.intervals = intervals
        self.look_at_clock()

    def configure(self, app: App, *, max_tasks: int) -> None:
        """Take on another description of the same app, and another limit, which counts from the next reading on."""
        self.app = self._tracker.app = app
        self._reader.max_tasks = max_tasks
        self.look_at_clock()

    def look_at_clock(self) -> None:
        """Withdraw what has become too old."""
        if self._status_now() != self.status:
            self._tell([])

    def restore(self, saved: SavedApp) -> bool:
        """Begin with what an earlier process accepted, as baseline; False: it can't be read, or is from the future."""
        age_seconds = 0.0 if saved.sweep is None else self._clock.now() - saved.sweep.began
        if saved.sweep is None or age_seconds < -REPLICA_LAG_SECONDS:
            reason = "another version wrote them, or only some" if saved.sweep is None else "they are from the future"
            self._log.info("saved tasks are not used", reason=reason)
            self.inventory.remember_first_seen(saved.first_seen)
            return False
        self._tracker.restored(
            saved.sweep, last_update_began=saved.last_update_began, began_at=self._clock.monotonic() - age_seconds
        )
        self._tell(self.inventory.restore(saved.entries), baseline=True)
        self._log.info("beginning with saved tasks", tasks=len(self.inventory), age_seconds=round(age_seconds))
        return True

    def check_stored(self, unseen: Sequence[Entry], *, gone: Callable[[Sequence[Entry]], object]) -> None:
        """Look up some tasks that an earlier process accepted and this one never saw, after the next attempt.

        `gone` is called with all of them, unless a lookup finds one: then the list is cut, and no removal is proven.
        """
        self._stored, self._stored_gone = unseen, gone

    def broke(self, part: str, reason: str) -> None:
        """Note that a part of the exporter failed by itself while it worked on this app."""
        if part in self._backoff:
            self._backoff[Kind(part)].failed(self._clock.monotonic())
        self.wants_sweep |= part == Kind.SWEEP
        self._tracker.broke(part, reason)
        self._tell([])

    def recovered(self, part: str) -> None:
        """Note that a part that failed by itself works again."""
        self._tracker.recovered(part)
        self._tell([])

    async def update(self) -> None:
        """Bring in what was created or changed. There is nothing to update before a first sweep."""
        if self._tracker.has_sweep and await self._attempt(Kind.UPDATE, self._update):
            await self._settle(Kind.UPDATE)

    async def sweep(self) -> None:
        """Read the whole list and accept it, then settle what it did not show."""
        self.wants_sweep, self.sweeping = False, True
        began_at = self._clock.monotonic()
        try:
            if await self._attempt(Kind.SWEEP, self._sweep):
                # Lookups leave the next sweep its turn, and half of the time before the data becomes too old: it may
                # take much longer, where the service throttles them. Yet they may take as long as the sweep did.
                took = self._clock.monotonic() - began_at
                spare = self.intervals.stale_after_seconds - self.intervals.sweep_interval_seconds
                await self._settle(Kind.SWEEP, within_seconds=max(spare / 2 - took, took))
        finally:
            self.sweeping = self._reading_list = False

    async def _attempt(self, kind: Kind, make: Callable[[], Awaitable[str]]) -> bool:
        """Make an attempt, which returns why it is incomplete, if so; note its outcome, return if it brought any."""
        self._tracker.began(now=self._clock.now())
        self._began_at[kind] = self._clock.monotonic()
        try:
            incomplete = await make()
        except ApiError as error:
            self._failed(kind, error.state, error.reason)
            return False
        except IncompleteReadingError as error:
            self._failed(kind, State.PARTIAL, str(error))
            return False
        finally:
            del self._began_at[kind]
        if incomplete:
            self._failed(kind, State.PARTIAL, incomplete)
        else:
            self._backoff[kind].succeeded()
        return True

    def _failed(self, kind: Kind, outcome: State, reason: str) -> None:
        self._backoff[kind].failed(self._clock.monotonic())
        # To read to a limit, or a cut, again and again would take what others of the account need.
        limited = outcome is State.LIMIT_EXCEEDED or self._absences.is_cut
        self.wants_sweep |= kind is Kind.SWEEP and not limited
        self._tracker.failed(kind, outcome, reason)
        self._tell([])

    async def _update(self) -> str:
        began = self._clock.now()
        reading = await self._read_front()
        if is_large_loss(len(self._unseen_in(reading)), len(self.inventory)):
            reading = await self._read_front()  # once more: a single page that is short says little
        self._absences.read(reading)
        self.wants_sweep |= not (reading.complete or reading.anchored)
        known, unseen = len(self.inventory), self._unseen_in(reading)
        incomplete = self._absences.why_cut(reading.length)
        may_show_others = is_large_loss(len(unseen), known) and not incomplete
        changes = [] if may_show_others else self._accept(reading)
        if unseen and (may_show_others or not self._reading_list):
            self._absences.unseen(unseen, since=reading.began)
            self._tell(changes)
            if incomplete:
                return incomplete
            # A sweep under way says what became of them; what it showed before it was deleted, the next update misses.
            self.wants_sweep |= len(unseen) > MANY_ABSENT and Kind.SWEEP not in self._began_at
            await self._absences.check_loss(unseen, known=known, seen=len(reading.seen))
            # Removals are left to a sweep that reads: it may still bring rows that are older.
            changes = [] if self._reading_list else self._absences.take_confirmed()
        if may_show_others:
            changes += self._accept(reading)
        self._tracker.updated(began=began)
        self._tell(changes)
        return ""

    async def _read_front(self) -> Reading:
        reading = await self._reader.read_front(self._requests.window(Priority.UPDATE), self.inventory.task_id_of)
        self._seen_in_front |= reading.seen
        return reading

    def _unseen_in(self, reading: Reading) -> list[str]:
        return self._unseen(reading.seen, reading.began) if reading.complete else []

    async def _sweep(self) -> str:
        began, sent_before = self._clock.now(), self._requests.sent
        baseline = not self._tracker.has_sweep
        self._seen_in_front.clear()
        self._reading_list = True
        whole = await self._sweep_reader.read(self._seen_in_front)
        self._reading_list = False
        seen = whole.seen | self._seen_in_front
        found_in_front = len(seen) - len(whole.seen)
        unseen = self._unseen(seen, whole.began)
        self._absences.seen(seen)
        self._absences.swept(
            unseen,
            since=whole.began,
            proves_absence=whole.proves_absence,
            above_the_end=self._above_the_end(whole, unseen),
        )
        if not whole.agrees:
            self._tell([] if baseline else self._accept(whole))
            return (
                f"tasks of equal update times change places between requests, so pages show some twice and others not "
                f"(list of {whole.length or 'unknown'} rows, {len(whole.seen)} tasks seen): changes are applied, "
                "removals are looked up one by one; ask the vendor for a stable order"
            )
        if incomplete := await self._absences.check_loss(
            unseen,
            known=len(self.inventory),
            seen=len(seen) + whole.rows_without_task_id,
            length=whole.length,
            overlapped=whole.overlapped,
        ):
            self._tell(self._absences.take_confirmed())
            return incomplete
        not_in_front = whole.fresh_below_front - self._seen_in_front
        changes = self._accept(whole)
        self.inventory.starts_known = True
        unmoved = [
            change for change in changes if change.before and change.after and change.after.task_id in not_in_front
        ]
        changes += self._absences.take_confirmed()
        sweep = Sweep(
            began=began,
            duration_seconds=self._clock.monotonic() - whole.began,
            requests=self._requests.sent - sent_before,
            repaired_tasks=found_in_front,
            duplicate_rows=whole.duplicate_rows,
            rows_without_task_id=whole.rows_without_task_id,
            unmoved_changes=len(unmoved),
        )
        self._order = whole.digests
        self._tracker.swept(sweep, self.intervals, began_at=whole.began)
        self._tell(changes, baseline=baseline)
        self._events.swept()
        return ""

    def _above_the_end(self, whole: WholeReading, unseen: Sequence[str]) -> set[str]:
        """Return those tasks that are above the last row of the list, if they exist.

        That is known where the last rows follow one another as in the last accepted sweep: what was above still is.
        """
        if not unseen:
            return set()
        places = {digest: place for place, digest in enumerate(self._order)}
        last = [places.get(digest, -1) for digest in whole.digests[-ROWS_IN_ORDER:]]
        if len(last) < ROWS_IN_ORDER or last[0] < 0 or last != sorted(set(last)):
            return set()
        entries = ((task_id, self.inventory.get(task_id)) for task_id in unseen)
        return {task_id for task_id, entry in entries if entry and 0 <= places.get(entry.row_digest, -1) < last[0]}

    def _unseen(self, seen: set[str], began: float) -> list[str]:
        """Return the tasks that were not seen, but for those that a replica may not know yet."""
        return self.inventory.unseen(seen, settled_before=began - REPLICA_LAG_SECONDS)

    async def _settle(self, kind: Kind, *, within_seconds: float = inf) -> None:
        seconds = LOOKUP_SECONDS[kind]
        if kind is Kind.UPDATE:
            seconds = min(seconds, self.intervals.interval_seconds)
        lookups = f"lookups after {kind}"
        self._began_at[lookups] = began = self._clock.monotonic()
        try:
            await self._absences.settle(
                seconds=seconds,
                within_seconds=within_seconds,
                doubts=kind is Kind.SWEEP or not self.sweeping,
                changed=self._settled,
            )
        finally:
            del self._began_at[lookups]
        if self._stored:
            await self._settle_stored(min(seconds, began + within_seconds - self._clock.monotonic()))
        if self._status_now() != self.status:
            self._tell([])

    async def _settle_stored(self, seconds: float) -> None:
        stored, self._stored = self._stored, ()  # another attempt may settle at the same time
        unseen = [entry for entry in stored if self.inventory.get(entry.task_id) is None]
        answers = await self._absences.look_up_some([entry.task_id for entry in unseen], seconds=seconds)
        if answers is None:
            self._stored = stored
        elif found := [answer.row for answer in answers if answer.row is not None]:
            self.inventory.remember_first_seen({entry.task_id: entry.first_seen for entry in unseen})
            self._tell(self.inventory.accept(found, now=self._clock.now()))
        else:
            self._stored_gone(unseen)

    def _settled(self, changes: list[Change], repaired_tasks: int) -> None:
        self._tracker.repaired(repaired_tasks)
        if changes or repaired_tasks:
            self._tell(changes)

    def _accept(self, reading: Reading) -> list[Change]:
        changes = self.inventory.accept(reading.fresh.values(), now=self._clock.now())
        self._absences.refused(self.inventory.take_refused())
        self.inventory.forget_superseded(before=min(self._began_at.values(), default=self._clock.monotonic()))
        return changes

    def _status_now(self) -> Status:
        return self._tracker.status(
            self.intervals,
            at=self._clock.monotonic(),
            doubtful_tasks=self._absences.doubtful_tasks,
            lookups=self._absences.lookup_state,
        )

    def _tell(self, changes: list[Change], *, baseline: bool = False) -> None:
        before, self.status = self.status, self._status_now()
        self._log_turn(before, self.status)
        self._events.collected(changes, baseline=baseline)

    def _log_turn(self, before: Status, now: Status) -> None:
        if now.state is not before.state:
            if now.state is State.OK:
                self._log.info("collection is complete", tasks=len(self.inventory), after=before.state)
            else:
                self._log.warning("collection fails", state=now.state, reason=now.reason)
        if now.sweep and now.sweep.unmoved_changes and not self._says_unmoved:
            self._says_unmoved = True
            self._log.warning("the service does not move changed tasks to the front: changes show with the sweep")
        if before.data_available and not now.data_available:
            self._log.warning(
                "data is withdrawn: it has become too old",
                stale_after_seconds=now.stale_after_seconds,
                state=now.state,
                reason=now.reason,
            )
