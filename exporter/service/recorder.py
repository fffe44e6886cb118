"""From readings and findings to batches for the database: one for each app and step of the event loop."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Final

from msgspec import Struct, field

from exporter.collector.collector import Collector
from exporter.collector.inventory import Change, Entry
from exporter.collector.past import MemoryPast, OpenSince, Past, PastViolation, RuleVersion, SavedApp
from exporter.config.model import Config, Storage
from exporter.core.clock import Clock
from exporter.core.push_auth import DEFAULTS
from exporter.rules.findings import AnyRule, FindingEvents, Resolution
from exporter.rules.rule import AppKey
from exporter.service.process import spare_imports
from exporter.storage.batch import Batch, NoticedChange, OpenNow, ViolationEvent
from exporter.storage.writer import Writer

LONGEST_LOAD_SECONDS: Final = 10.0
LONGEST_LAST_WRITE_SECONDS: Final = 10.0
"""How long a stop waits for the database at most."""
UPDATE_SECONDS: Final = 5.0
"""How often the time of the last update is written while nothing changes."""


class RecordedApp(Struct, frozen=True):
    """What is written about one app."""

    collector: Collector
    endpoint: str
    open_violations: Callable[[], Mapping[RuleVersion, OpenSince]]
    """Returns a copy."""


class _New(Struct):
    """What one step of the event loop brings of an app."""

    changes: list[NoticedChange] = field(default_factory=list)
    violations: list[ViolationEvent | OpenNow] = field(default_factory=list)
    is_whole: bool = False  # whether all tasks are to be written
    is_reconciled: bool = False  # whether exactly those violations are open that are open now


class _Record(Struct):
    """What is known of what was written about an app. Times are Unix times."""

    is_known: bool = False  # whether what the database holds is known
    written: tuple[float, float] = (0.0, 0.0)  # begin of the last sweep and update that were handed over
    restored_sweep: float | None = None  # begin of the restored sweep, until the changes since then are known
    earliest: float | None = None  # after this they happened
    messages: dict[tuple[RuleVersion, str], str] = field(default_factory=dict)
    """Of violations of a baseline that is not complete yet."""


class Recorder(FindingEvents):
    """Hands what is new to the database; without one it passes on findings alone.

    What comes in one step of the event loop, such as a reading with its changes and violations, is one batch, and so
    one transaction.

    Args:
        events: Receives the findings, too.
        app: Returns what is known of an app now; None: it is not configured any more.
        apps: Returns all apps.
        older: Called with what was stored of an app that began without it.
        failed: Called with an exception that is a bug.
        clock: For times.
        memory: Answers about the past without a database.
        lease_of: Returns the budget and term under which an account is collected; None: it is not shared.
    """

    def __init__(
        self,
        events: FindingEvents,
        *,
        app: Callable[[AppKey], RecordedApp | None],
        apps: Callable[[], Sequence[AppKey]],
        older: Callable[[SavedApp], object],
        failed: Callable[[Exception], object],
        clock: Clock,
        memory: MemoryPast,
        lease_of: Callable[[str], tuple[str, int] | None] = lambda _account: None,
    ) -> None:
        self._events = events
        self._app = app
        self._apps = apps
        self._older = older
        self._failed = failed
        self._clock = clock
        self._lease_of = lease_of
        self._settings: Storage | None = None
        self._push_auth = DEFAULTS
        self._new: dict[AppKey, _New] = defaultdict(_New)
        self._records: dict[AppKey, _Record] = defaultdict(_Record)
        self._is_restoring = False
        self.writer: Writer | None = None
        """None: there is no database."""
        self.past: Past = memory
        self._memory = memory
        self._ended = 0

    async def use(self, config: Config, *, loads: bool = True) -> list[SavedApp]:
        """Use another database, or none; return what it holds if it `loads`.

        Everything is written to one that replaces another.
        """
        settings, before = config.storage, self._settings
        self._settings, self._push_auth = settings, config.policy.push_auth_settings
        configured = {(account.name, app.id) for account in config.accounts for app in account.apps}
        if self.writer is not None and settings is not None and before is not None and settings.url == before.url:
            self.writer.retention_seconds, self.writer.configured = settings.retention_seconds, configured
            return []
        await self.close()
        if settings is None:
            return []
        from exporter.storage.database import Database  # noqa: PLC0415 - it takes memory, which not everyone needs
        from exporter.storage.stored_past import StoredPast  # noqa: PLC0415 - as above

        loop = asyncio.get_running_loop()
        self.writer = Writer(
            lambda: Database(settings.database_url()),
            self._clock,
            retention_seconds=settings.retention_seconds,
            configured=configured,
            incomplete=self.write_whole,
            older=lambda saved: loop.call_soon_threadsafe(self._take_older, saved),
            failed=self._failed,
        )
        spare_imports()
        self.past = StoredPast(settings.database_url)
        saved = await self.writer.start(LONGEST_LOAD_SECONDS, loads=loads)
        self.write_whole(None)
        return saved

    async def close(self) -> None:
        """Write what is left, and use no database any more."""
        self._hand_over()
        writer, self.writer = self.writer, None
        past, self.past = self.past, self._memory
        past.close()
        for record in self._records.values():
            record.is_known = False
        if writer is not None:
            await writer.close(LONGEST_LAST_WRITE_SECONDS)

    @contextmanager
    def restoring(self, saved: SavedApp) -> Iterator[None]:
        """Write nothing: what is collected now comes from the database."""
        self._is_restoring = True
        try:
            yield
        finally:
            self._is_restoring = False
        if saved.sweep is not None:
            record = self._records[saved.account, saved.app_id]
            record.is_known, record.restored_sweep, record.earliest = True, saved.sweep.began, saved.last_known

    def write_whole(self, key: AppKey | None) -> None:
        """Write all of an app, or of all apps, again; what was not read yet comes by itself."""
        for each in self._apps() if key is None else [key]:
            app = self._app(each)
            if app is not None and app.collector.status.sweep is not None:
                new = self._new_of(each)
                new.is_whole = new.is_reconciled = True

    def _take_older(self, saved: SavedApp) -> None:
        """Let an app be as old as was stored, and write again what was handed over with later times since."""
        self._older(saved)
        self.write_whole((saved.account, saved.app_id))

    def gone(self, saved: SavedApp, entries: Iterable[Entry]) -> None:
        """Note tasks that were removed after they were stored and before this process read the app."""
        if self.writer is not None:
            now = self._clock.now()
            self._new_of((saved.account, saved.app_id)).changes += [
                NoticedChange(Change(entry, None), now, min(now, saved.last_known)) for entry in entries
            ]

    def earliest(self, app: AppKey) -> float | None:
        """Return the time after which changes noticed now happened; None: since the update before."""
        return self._records[app].earliest

    def collected(
        self,
        collector: Collector,
        changes: Sequence[Change],
        *,
        baseline: bool,
        notes: Iterable[tuple[str, ...]] = repeat(()),
    ) -> None:
        """Take note of a reading, after the findings about it; `notes` are those of each change."""
        status = collector.status
        if self.writer is None or self._is_restoring or status.sweep is None:
            return
        key = (status.account, status.app_id)
        record = self._records[key]
        if baseline:
            self._new_of(key).is_whole, record.is_known = True, False
        elif changes:
            now = self._clock.now()
            self._new_of(key).changes += [
                NoticedChange(change, now, record.earliest, of_change)
                for change, of_change in zip(changes, notes, strict=False)
            ]
        if record.restored_sweep != status.sweep.began and not status.doubtful_tasks:
            record.restored_sweep = record.earliest = None
        sweep, update = record.written
        if status.sweep.began != sweep or abs((status.last_update_began or 0.0) - update) >= UPDATE_SECONDS:
            self._new_of(key)

    def baseline(self, app: AppKey, violations: int) -> None:
        """Let exactly those violations be open that are, by all rules."""
        self._events.baseline(app, violations)
        self.reconcile(app)

    def reconcile(self, app: AppKey) -> None:
        """Let exactly those violations be open in the database that are."""
        if self.writer is not None:
            self._new_of(app).is_reconciled = True

    def found(self, app: AppKey, rule: AnyRule, task_id: str | None, text: Callable[[], str]) -> None:
        """Keep the message of a violation until its baseline is complete."""
        if self.writer is not None:
            self._records[app].messages[rule.rule.version, task_id or ""] = text()

    def stopped(self, rule: AnyRule, why: str) -> None:
        """Pass it on."""
        self._events.stopped(rule, why)

    def opened(self, app: AppKey, rule: AnyRule, task_id: str | None, text: str) -> None:
        """Take note of a violation that opened."""
        self._events.opened(app, rule, task_id, text)
        if self.writer is not None:
            event = ViolationEvent(rule.rule.version, task_id or "", self._clock.now(), text)
            self._new_of(app).violations.append(event)

    def resolved(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, why: Resolution) -> None:
        """Take note of a violation that ended."""
        self._events.resolved(app, rule, task_id, since, why)
        now, version = self._clock.now(), rule.rule.version
        if self.writer is not None:
            self._new_of(app).violations.append(ViolationEvent(version, task_id or "", now, why=why.value))
        self._ended += 1
        self._memory.ended(
            PastViolation(self._ended, *app, task_id or "", version[0], version[1], "", since, now, why.value)
        )

    def _new_of(self, app: AppKey) -> _New:
        """Return what this step of the event loop brings of an app, which is handed over after it."""
        if not self._new:
            asyncio.get_running_loop().call_soon(self._hand_over)
        return self._new[app]

    def _hand_over(self) -> None:
        everything, self._new = self._new, defaultdict(_New)
        for key, new in everything.items():
            app, record = self._app(key), self._records[key]
            if self.writer is None or app is None or (sweep := app.collector.status.sweep) is None:
                continue
            inventory, last_update = app.collector.inventory, app.collector.status.last_update_began
            batch = Batch(*key, app.endpoint, sweep, last_update, since=self._clock.monotonic(), changes=new.changes)
            batch.lease, batch.push_auth, batch.violations = self._lease_of(key[0]), self._push_auth, new.violations
            if new.is_whole:
                batch.began = None if record.is_known else self._clock.now()
                record.is_known = True
                batch.all_tasks, batch.tasks = True, {entry.task_id: entry for entry in inventory}
            else:
                task_ids = (each.change.task_id for each in batch.changes)
                batch.tasks = {task_id: inventory.get(task_id) for task_id in task_ids}
            if new.is_reconciled:
                messages, record.messages = record.messages, {}
                batch.violations.append(OpenNow(app.open_violations(), self._clock.now(), messages))
            record.written = sweep.began, last_update or 0.0
            self.writer.write(batch)
