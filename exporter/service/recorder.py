"""From readings and findings to batches for the database."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import repeat, starmap
from math import inf
from typing import Final

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from exporter.collector.collector import Collector
from exporter.collector.inventory import Change, Entry, Inventory
from exporter.collector.past import History, OpenSince, Past, PastViolation, RuleVersion, SavedApp
from exporter.config.model import Config, Storage
from exporter.core.clock import Clock
from exporter.core.push_auth import DEFAULTS
from exporter.rules.findings import AnyRule, FindingEvents, Resolution
from exporter.rules.rule import AppKey
from exporter.service.process import spare_imports
from exporter.storage.writer import Batch, KeepRunning, NoticedChange, ViolationEvent, Waiting, Writer

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


class _Record(Struct):
    """What is known of what was written about an app. Times are Unix times."""

    app: RecordedApp | None = None  # while something of it waits
    is_known: bool = False  # whether what the database holds is known
    written: tuple[float, float] = (0.0, 0.0)  # begin of the last sweep and update that were handed over
    restored_sweep: float | None = None  # begin of the restored sweep, until the changes since then are known
    earliest: float | None = None  # after this they happened
    messages: dict[tuple[RuleVersion, str], str] = field(default_factory=dict)
    """Of violations of a baseline that is not complete yet."""


class Recorder(FindingEvents):
    """Hands what is new to the database; without one it passes on findings alone.

    What comes in one step of the event loop, such as a reading with its changes and violations, is written in one
    transaction.

    Args:
        events: Receives the findings, too.
        app: Returns what is known of an app now; None: it is not configured any more. `apps` returns all.
        older: Called with what was stored of an app that began without it, and its tasks, which are as old now.
        failed: Called with an exception that is a bug.
        lease_of: Returns the budget and term under which an account is collected; None: it is not shared.
    """

    def __init__(
        self,
        events: FindingEvents,
        *,
        app: Callable[[AppKey], RecordedApp | None],
        apps: Callable[[], Sequence[AppKey]],
        older: Callable[[SavedApp, Sequence[Change]], object],
        failed: Callable[[Exception], object],
        keep_running: KeepRunning,
        clock: Clock,
        lease_of: Callable[[str], tuple[str, int] | None] = lambda _account: None,
    ) -> None:
        self._events = events
        self._app = app
        self._apps = apps
        self._older = older
        self._failed = failed
        self._keep_running = keep_running
        self._clock = clock
        self._lease_of = lease_of
        self._settings: Storage | None = None
        self._push_auth = DEFAULTS
        self._lease_seconds = inf  # without `sharing`
        self._records: dict[AppKey, _Record] = defaultdict(_Record)
        self._is_restoring = False
        self.writer: Writer | None = None
        """None: there is no database."""
        self.history = History(clock)  # answers about the past without a database
        self.past: Past = self.history
        self._ended = 0

    async def use(self, config: Config, *, loads: bool = True) -> list[SavedApp]:
        """Use another database, or none, and write everything to it; return what it holds if it `loads`."""
        settings, before = config.storage, self._settings
        self._settings, self._push_auth = settings, config.policy.push_auth_settings
        self._lease_seconds = config.sharing.lease_seconds if config.sharing else inf
        configured = {(account.name, app.id) for account in config.accounts for app in account.apps}
        if self.writer is not None and settings is not None and before is not None and settings.url == before.url:
            self.writer.retention_seconds, self.writer.configured = settings.retention_seconds, configured
            return []
        await self.close()
        if settings is None:
            return []
        is_imported = "exporter.storage.database" in sys.modules
        from exporter.storage.database import Database  # noqa: PLC0415 - it takes memory, which not everyone needs
        from exporter.storage.stored_past import StoredPast  # noqa: PLC0415 - as above

        if not is_imported:
            spare_imports()
        self.writer = Writer(
            lambda: Database(settings.database_url(), lease_seconds=self._lease_seconds),
            self._clock,
            retention_seconds=settings.retention_seconds,
            configured=configured,
            batch_of=self._batch_of,
            lost=self._write_everything,
            failed=self._failed,
        )
        self.past = StoredPast(settings.database_url)
        saved = await self.writer.load(LONGEST_LOAD_SECONDS) if loads else []
        self.writer.start(self._keep_running)
        for key in self._apps():
            self._write_everything(key)
        return saved

    async def close(self) -> None:
        """Write what is left, and use no database any more."""
        writer, self.writer = self.writer, None
        self.past = self.history
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

    def _write_everything(self, key: AppKey) -> None:
        """Write all that was read of an app; if it was not read yet, it comes by itself."""
        app = self._app(key)
        if self.writer is not None and app is not None and app.collector.status.sweep is not None:
            self._write_tasks(key)
            self.reconcile(key)

    def _write_tasks(self, app: AppKey) -> None:
        record, waiting = self._records[app], self._add(app)
        waiting.all_tasks = True
        if not record.is_known:
            waiting.began, record.is_known = self._clock.now(), True

    def gone(self, saved: SavedApp, entries: Iterable[Entry]) -> None:
        """Note tasks that were removed after they were stored and before this process read the app."""
        if self.writer is not None:
            now = self._clock.now()
            removals = (NoticedChange(Change(entry, None), now, min(now, saved.last_known)) for entry in entries)
            self._add((saved.account, saved.app_id), removals)

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
            record.is_known = False
            self._write_tasks(key)
        elif changes:
            now = self._clock.now()
            noticed = zip(changes, repeat(now), repeat(record.earliest), notes, strict=False)
            self._add(key, starmap(NoticedChange, noticed))
        if record.restored_sweep != status.sweep.began and not status.doubtful_tasks:
            record.restored_sweep = record.earliest = None
        sweep, update = record.written
        if status.sweep.began != sweep or abs((status.last_update_began or 0.0) - update) >= UPDATE_SECONDS:
            self._add(key)

    def baseline(self, app: AppKey, violations: int) -> None:
        """Let exactly those violations be open that are, by all rules."""
        self._events.baseline(app, violations)
        self.reconcile(app)

    def reconcile(self, app: AppKey) -> None:
        """Let exactly those violations be open in the database that are."""
        if self.writer is not None:
            self._add(app).all_violations = True

    def found(self, app: AppKey, rule: AnyRule, task_id: str | None, text: Callable[[], str]) -> None:
        """Keep the message of a violation until its baseline is complete."""
        if self.writer is not None:
            self._records[app].messages[rule.rule.version, task_id or ""] = text()

    def stopped(self, rule: AnyRule, why: str) -> None:
        """Pass it on."""
        self._events.stopped(rule, why)

    def opened(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, text: str) -> None:
        """Take note of a violation that opened."""
        self._events.opened(app, rule, task_id, since, text)
        if self.writer is not None:
            self._add(app, violations=[ViolationEvent(rule.rule.version, task_id or "", since, text)])

    def resolved(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, why: Resolution) -> None:
        """Take note of a violation that ended."""
        self._events.resolved(app, rule, task_id, since, why)
        now, version = self._clock.now(), rule.rule.version
        if self.writer is not None:
            self._add(app, violations=[ViolationEvent(version, task_id or "", now, why=why.value)])
        self._ended += 1
        self.history.ended(
            PastViolation(self._ended, *app, task_id or "", version[0], version[1], "", since, now, why.value)
        )

    def _add(
        self, app: AppKey, changes: Iterable[NoticedChange] = (), violations: Iterable[ViolationEvent] = ()
    ) -> Waiting:
        assert self.writer is not None  # noqa: S101 - else nothing is recorded
        record = self._records[app]
        record.app = self._app(app) or record.app
        return self.writer.add(app, self._lease_of(app[0]), changes, violations)

    def _batch_of(self, new: Waiting, stored: SavedApp | None) -> Batch | None:
        """Return what is written of an app, as it is now or was when it was removed; None: it was not read yet."""
        key = (new.account, new.app_id)
        record = self._records[key]
        app, record.app = record.app, None
        if app is None or (sweep := app.collector.status.sweep) is None:
            return None
        if stored is not None and new.began is not None and stored.endpoint == app.endpoint:
            self._compare(new, new.began, stored, app.collector)  # what comes of it is in this batch
        inventory, last_update = app.collector.inventory, app.collector.status.last_update_began
        record.written = sweep.began, last_update or 0.0
        known = frozenset(entry.task_id for entry in inventory) if new.all_tasks else frozenset[str]()
        new.task_ids.update(known)
        batch = Batch(
            **asdict(new),
            endpoint=app.endpoint,
            sweep=sweep,
            last_update=last_update,
            made=self._clock.now(),
            tasks={task_id: inventory.get(task_id) for task_id in new.take_task_ids()},
            known=known,
            push_auth=self._push_auth,
        )
        if new.all_violations:
            batch.open_violations = partial(_events, app.open_violations(), record.messages)
            record.messages = {}
        record.app = app if new.task_ids else None
        return batch

    def _compare(self, new: Waiting, began: float, stored: SavedApp, collector: Collector) -> None:
        """Compare what is stored of an app with its first reading by this process, and let it be as old as is stored.

        What changed from what is stored to the first reading comes first: it happened between the two. Tasks that the
        first reading did not show may be gone, or its list was cut: see `Collector.check_stored`.
        """
        # As a task was before its first change, it was read first.
        first_read: dict[str, Entry | None] = {entry.task_id: entry for entry in collector.inventory}
        first_read |= {each.change.task_id: each.change.before for each in reversed(new.changes)}
        known = Inventory()
        known.restore(stored.entries)
        known.remember_first_seen(stored.first_seen)
        changes = known.accept(filter(None, first_read.values()), now=began)
        created_again = [task_id for task_id, entry in first_read.items() if entry is None]
        changes += known.remove(created_again, settled_before=inf, at=began)
        unseen = [entry for entry in stored.entries if entry.task_id not in first_read]
        collector.check_stored(unseen, gone=partial(self.gone, stored))
        opened = {each.key for each in new.violations if each.why is None}
        still_open = {
            version: {task_id: since for task_id, since in tasks.items() if (version, task_id) not in opened}
            for version, tasks in stored.violations.items()
        }
        self._older(replace(stored, violations=still_open), collector.inventory.age(known))
        if stored.sweep is not None:
            earliest = min(began, stored.last_known)
            new.changes[:0] = [NoticedChange(change, began, earliest) for change in changes]


def _events(
    violations: Mapping[RuleVersion, OpenSince], messages: Mapping[tuple[RuleVersion, str], str]
) -> Iterator[ViolationEvent]:
    for version, tasks in violations.items():
        for task_id, since in tasks.items():
            yield ViolationEvent(version, task_id, since, messages.get((version, task_id), ""))
