"""Keeps one app's picture up to date, by updates and sweeps.

An update reads the front of the list and brings in what was created or changed. A sweep reads all of it and finds
what is gone. Only what was read without a hole changes the picture, in one synchronous step, and the status is
replaced whole: a reader never sees half of either.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import structlog

from exporter.aliyun.errors import ApiError
from exporter.clock import Clock
from exporter.collect.intervals import Backoff, Intervals
from exporter.collect.inventory import Change, Inventory
from exporter.collect.limiter import Priority
from exporter.collect.listing import MAX_UPDATE_WINDOWS, Fresh, IncompleteReadingError, ListReader, Reading, Rows
from exporter.collect.requests import AppRequests
from exporter.collect.standing import Kind, Standing
from exporter.collect.state_file import SavedApp
from exporter.collect.status import Status, Sweep
from exporter.collect.together import gather_or_cancel
from exporter.collect.windows import LARGEST_PAGE
from exporter.config.model import App
from exporter.state import State

LAG_SECONDS: Final = 1.0
"""How far a replica behind the service may lag: nothing is judged gone by what it may not know yet."""

FEWEST_LOOK_UPS: Final = 8
"""So many tasks that a sweep did not see are always looked up, however short the list is."""


class CollectorEvents(Protocol):
    """Who is told when something about an app is new."""

    def collected(self, changes: Sequence[Change], *, baseline: bool) -> None:
        """Changes were applied or the status was replaced.

        Args:
            changes: in any order.
            baseline: these are the first tasks that are known, not changes of a known picture.
        """

    def swept(self) -> None:
        """A sweep was accepted; its changes have been told."""


class Collector:
    """Collects one app. `status` and `inventory` are consistent whenever the event loop lets one look."""

    def __init__(
        self,
        *,
        account: str,
        app: App,
        requests: AppRequests,
        rows: Rows,
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
        self.wants_sweep = False
        """Whether a sweep should run before its turn."""
        self._requests = requests
        self._rows = rows
        self._intervals = intervals
        self._clock = clock
        self._events = events
        self._reader = ListReader(rows, monotonic=clock.monotonic, max_tasks=max_tasks, largest_page=largest_page)
        self._log = structlog.get_logger(account=account, app_id=app.id)
        self._standing = Standing(account, app)
        self._backoff = {kind: Backoff() for kind in Kind}
        self._seen_in_front: set[str] = set()
        """What updates saw since the running sweep began: it exists, wherever the sweep looked for it."""
        self._unseen_once: frozenset[str] = frozenset()
        """What the last accepted sweep did not see and had no look-up left for."""
        self._says_unmoved = False
        self.status = self._standing.status(intervals, at=clock.monotonic())

    @property
    def attempted(self) -> bool:
        """Whether an attempt has finished, well or not."""
        return self._standing.attempted

    def pause_ends_at(self, kind: Kind) -> float:
        """Until when attempts of a kind pause after failures, in monotonic seconds."""
        return self._backoff[kind].ends_at()

    def crowded(self, kind: Kind) -> bool:
        """Whether more requests wait for the budget than can be sent before this app's next turn of a kind."""
        if kind is Kind.UPDATE:
            return self._requests.queue_seconds(Priority.UPDATE) > self._intervals.interval_seconds
        return self._requests.queue_seconds(Priority.SWEEP) > self._intervals.sweep_interval_seconds

    def set_intervals(self, intervals: Intervals) -> None:
        """Take on other effective intervals."""
        self._intervals = intervals
        self.look_at_clock()

    def configure(self, app: App, *, max_tasks: int) -> None:
        """Take on another description of the same app, and another limit, which counts from the next reading on."""
        self.app = app
        self._reader.max_tasks = max_tasks
        self._standing.describe(app)
        self.look_at_clock()

    def look_at_clock(self) -> None:
        """Withdraw what has become too old."""
        if self._standing.status(self._intervals, at=self._clock.monotonic()) != self.status:
            self._tell([])

    def restore(self, saved: SavedApp) -> bool:
        """Begin with what an earlier process accepted, at its true age, as the baseline of changes.

        Returns:
            False, and nothing has changed, where it is older than data may be, or comes from the future.
        """
        age_seconds = self._clock.now() - saved.sweep.began
        if not -LAG_SECONDS <= age_seconds <= self._intervals.stale_after_seconds:
            self._log.info(
                "saved tasks are not used: they are too old or from the future", age_seconds=round(age_seconds)
            )
            return False
        self._standing.restored(
            saved.sweep,
            last_update_began=saved.last_update_began,
            began_at=self._clock.monotonic() - age_seconds,
        )
        self._tell(self.inventory.restore(saved.entries()), baseline=True)
        self._log.info("beginning with saved tasks", tasks=len(self.inventory), age_seconds=round(age_seconds))
        return True

    def broke(self, part: str, reason: str) -> None:
        """Note that a part of the exporter failed by itself while it worked on this app."""
        if part in self._backoff:
            self._backoff[Kind(part)].failed(self._clock.monotonic())
        self.wants_sweep |= part == Kind.SWEEP
        self._standing.broke(part, reason)
        self._tell([])

    def mended(self, part: str) -> None:
        """Note that a part that failed by itself works again."""
        self._standing.mended(part)
        self._tell([])

    async def update(self) -> None:
        """Bring in what was created or changed. There is nothing to update before a first sweep."""
        if self._standing.has_sweep:
            await self._attempt(Kind.UPDATE, self._update)

    async def sweep(self) -> None:
        """Read the whole list and take it for the truth."""
        self.wants_sweep, self.sweeping = False, True
        try:
            await self._attempt(Kind.SWEEP, self._sweep)
        finally:
            self.sweeping = False

    async def _attempt(self, kind: Kind, make: Callable[[], Awaitable[None]]) -> None:
        """Make an attempt and note how it went; its failures end here."""
        self._standing.began(now=self._clock.now())
        try:
            await make()
        except ApiError as error:
            self._failed(kind, error.state, error.reason)
        except IncompleteReadingError:
            self._failed(kind, State.PARTIAL, "the list changes faster than it can be read within the budget")
        else:
            self._backoff[kind].succeeded()

    def _failed(self, kind: Kind, outcome: State, reason: str) -> None:
        self._backoff[kind].failed(self._clock.monotonic())
        # To read to the limit again and again would take what others of the account need.
        self.wants_sweep |= kind is Kind.SWEEP and outcome is not State.LIMIT_EXCEEDED
        self._standing.failed(kind, outcome, reason)
        self._tell([])

    async def _update(self) -> None:
        began = self._clock.now()
        reading = await self._reader.read_front(self._requests.window(Priority.UPDATE), self.inventory.task_id_of)
        self._seen_in_front |= reading.seen
        self.wants_sweep |= not (reading.complete or reading.anchored)
        changes = self._apply(reading, gone=[])
        # While a sweep runs, what is gone is for it alone to judge: it may still bring rows that are older.
        if reading.complete and not self.sweeping and (unseen := self._unseen(reading.seen, reading)):
            self._tell(changes)
            self.wants_sweep |= len(unseen) > FEWEST_LOOK_UPS
            changes = self._apply(reading, await self._look_up(unseen[:FEWEST_LOOK_UPS], reading))
        self._standing.updated(began=began)
        self._tell(changes)

    async def _sweep(self) -> None:
        began, sent_before = self._clock.now(), self._requests.sent
        baseline = not self._standing.has_sweep
        self._seen_in_front.clear()
        reading = await self._reader.read_all(
            self._requests.window(Priority.SWEEP),
            self.inventory.task_id_of,
            expected_tasks=len(self.inventory),
        )
        if reading.windows > 1:
            await self._read_front_again(reading)
        found_in_front = len(self._seen_in_front - reading.seen)
        not_in_front = reading.fresh_below_front - self._seen_in_front
        verdict = await self._judge(reading)
        changes = self._apply(reading, verdict.gone)
        unmoved = [
            change for change in changes if change.before and change.after and change.after.task_id in not_in_front
        ]
        self._unseen_once = verdict.unseen_once
        self.wants_sweep |= bool(verdict.unseen_once)
        sweep = Sweep(
            began=began,
            duration_seconds=self._clock.monotonic() - reading.began,
            requests=self._requests.sent - sent_before,
            repaired_tasks=found_in_front + verdict.found_by_task_id,
            duplicate_rows=reading.duplicate_rows,
            rows_without_task_id=reading.rows_without_task_id,
            unmoved_changes=len(unmoved),
        )
        self._standing.swept(sweep, self._intervals, began_at=reading.began)
        self._tell(changes, baseline=baseline)
        self._events.swept()

    async def _read_front_again(self, reading: Reading) -> None:
        """Complete a reading with what jumped to the front while it ran, as even a replica that lags knows it."""
        while (early := reading.ended + LAG_SECONDS - self._clock.monotonic()) > 0:
            await self._clock.sleep(early)
        first_rows: Mapping[int, str] = {}
        if not self._standing.has_sweep:
            first_rows = {fresh.task.row_digest: task_id for task_id, fresh in reading.fresh.items()}
        front = await self._reader.read_front(
            self._requests.window(Priority.UPDATE),
            lambda digest: first_rows.get(digest) or self.inventory.task_id_of(digest),
            at_most_windows=max(MAX_UPDATE_WINDOWS, reading.windows),
        )
        if not (front.complete or front.anchored):
            raise IncompleteReadingError
        reading.fresh.update(front.fresh)
        self._seen_in_front |= front.seen

    async def _judge(self, reading: Reading) -> "_Verdict":
        """Tell which of the tasks that neither a sweep nor an update saw are gone."""
        unseen = self._unseen(reading.seen | self._seen_in_front, reading)
        gone = [task_id for task_id in unseen if task_id in self._unseen_once]
        doubtful = [task_id for task_id in unseen if task_id not in self._unseen_once]
        if len(doubtful) > max(FEWEST_LOOK_UPS, reading.windows):
            # Another sweep costs less than so many look-ups.
            return _Verdict(gone, unseen_once=frozenset(doubtful))
        gone_by_task_id = await self._look_up(doubtful, reading)
        return _Verdict(gone + gone_by_task_id, found_by_task_id=len(doubtful) - len(gone_by_task_id))

    def _unseen(self, seen: set[str], reading: Reading) -> list[str]:
        return self.inventory.unseen(seen, settled_before=reading.began - LAG_SECONDS)

    async def _look_up(self, task_ids: list[str], reading: Reading) -> list[str]:
        """Return which of the tasks are gone; what the others look like now is added to the reading."""
        answers = await gather_or_cancel(self._requests.look_up(task_id) for task_id in task_ids)
        gone = []
        for task_id, answer in zip(task_ids, answers, strict=True):
            tasks = [task for row in answer.page.rows if (task := self._rows.read(row)) and task.task_id == task_id]
            if len(tasks) < len(answer.page.rows):
                raise ApiError(
                    State.INVALID_RESPONSE,
                    "a look-up by TaskId was answered with another task: what answers is not the documented service",
                )
            if tasks:
                reading.fresh[task_id] = Fresh(tasks[0], answer.sent_at)
            else:
                gone.append(task_id)
        return gone

    def _apply(self, reading: Reading, gone: Sequence[str]) -> list[Change]:
        return [
            *self.inventory.accept(reading.fresh.values(), now=self._clock.now()),
            *self.inventory.remove(gone, settled_before=reading.began, at=self._clock.monotonic()),
        ]

    def _tell(self, changes: list[Change], *, baseline: bool = False) -> None:
        """Replace the status, say what has turned, and pass on what is new."""
        before, self.status = (
            self.status,
            self._standing.status(self._intervals, at=self._clock.monotonic()),
        )
        self._log_turn(before, self.status)
        self._events.collected(changes, baseline=baseline)

    def _log_turn(self, before: Status, now: Status) -> None:
        """Log when good turns bad, and when it is good again; nothing in between."""
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


class _Verdict(NamedTuple):
    """What became of the tasks that a sweep did not see."""

    gone: list[str]
    found_by_task_id: int = 0
    unseen_once: frozenset[str] = frozenset()
