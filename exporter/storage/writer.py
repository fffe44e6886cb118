"""What waits for the database, and writes it in a thread of its own."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Container, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog
from msgspec import Struct, field

from exporter.collector.inventory import Change, Entry
from exporter.collector.past import RuleVersion, SavedApp
from exporter.collector.status import Sweep
from exporter.core.clock import Clock
from exporter.core.push_auth import DEFAULTS, PushAuthSettings
from exporter.core.threads import Worker

if TYPE_CHECKING:
    from exporter.storage.database import Database

MOST_WAITING: Final = 100_000
"""Changes, and events of violations, that wait for the database, for each app; the oldest beyond are lost."""
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 10.0
MAINTAIN_SECONDS: Final = 60.0  # how often old changes are looked for, and the size
REMOVED_SECONDS: Final = 3600.0
"""An app that is not configured, and that no other exporter has read for this long, counts as removed."""
PRUNE_PAUSE_SECONDS: Final = 0.05  # between two portions of old changes; what waits to be written comes first
TASKS_AT_ONCE: Final = 500
"""How many tasks a transaction writes of an app of which all are written: changes don't wait for the rest."""
MOST_OVERTAKING: Final = 8
"""How many transactions with changes go first in succession before what has waited for longest has its turn."""

REMEDIES: Final = {
    "disk is full": "free space, or shorten storage.retention",
    "No space left": "free space, or shorten storage.retention",
    "readonly database": "let the exporter write the file and its directory",
    "database is locked": "give each exporter a file of its own",
    "authentication failed": "correct the URL; storage.url_file is read again for each connection",
    "Permission denied": "let the exporter write the file and its directory",
    " was removed": "stop the exporter before you remove its file; what it knows goes to a new one",
    "No such file": "write the file that storage.url_file names, or correct the path of the database",
    "Connection refused": "start the server, or correct the URL",
    "read-only": "name all servers and target_session_attrs=read-write in the URL",
    "": "see RtcmpuStorageFailing.md",
}
"""What to do, by words of the database; docs/runbooks/RtcmpuStorageFailing.md has more."""

AppKey: TypeAlias = tuple[str, str]  # account and AppId
KeepRunning: TypeAlias = Callable[[Callable[[], Coroutine[Any, Any, None]]], Coroutine[Any, Any, None]]
"""Runs what should never end."""


class NoticedChange(Struct, frozen=True):
    """A change of a task. Times are Unix times."""

    change: Change
    noticed: float
    earliest: float | None
    """It happened between this and `noticed`, if it may have happened before this process; else None."""
    notes: tuple[str, ...] = ()


class ViolationEvent(Struct, frozen=True):
    """A violation that opened, or ended."""

    version: RuleVersion
    task_id: str
    at: float
    message: str = ""
    why: str | None = None  # why it ended; None: it opened

    @property
    def key(self) -> tuple[RuleVersion, str]:
        """What it is the violation of."""
        return self.version, self.task_id


class Waiting(Struct):
    """What is new of an app since its last batch was made."""

    account: str
    app_id: str
    since: float  # monotonic time of the oldest reading in it
    lease: tuple[str, int] | None = None  # budget and term under which it was read; not written under another term
    changes: list[NoticedChange] = field(default_factory=list)
    violations: list[ViolationEvent] = field(default_factory=list)
    task_ids: set[str] = field(default_factory=set)  # of tasks that are written besides those that changed
    all_tasks: bool = False  # whether all are, and others go
    continues: bool | None = None  # whether an earlier transaction wrote the others; None: there was none
    all_violations: bool = False  # whether all open violations are, and others have ended
    began: float | None = None
    """Unix time of the first reading, if this process does not know what is stored of the app: that is read before."""

    def take_task_ids(self) -> set[str]:
        """Return the TaskIds of the next transaction; more of them wait on."""
        some = {self.task_ids.pop() for _ in range(min(TASKS_AT_ONCE, len(self.task_ids)))}
        return some.union(each.change.task_id for each in self.changes)


class Batch(Waiting, kw_only=True):
    """What one transaction writes about one app: what is new, and the app as it is then."""

    endpoint: str  # the service that it was read from
    sweep: Sweep  # the last accepted one
    last_update: float | None
    made: float  # Unix time
    tasks: dict[str, Entry | None]  # None: it was removed
    known: Container[str] = ()  # with `all_tasks`: all TaskIds
    open_violations: Callable[[], Iterable[ViolationEvent]] = tuple  # with `all_violations`; called in the thread
    push_auth: PushAuthSettings = DEFAULTS  # who signs the URLs of a host
    token: str = field(default_factory=partial(secrets.token_hex, 8))
    """In the database it says that this very batch was written."""


class Writer:
    """Reads the database once, then writes what is new of each app in one transaction. What can't be written waits.

    Args:
        connect: Opens the database; called again after a failure, since passwords rotate.
        clock: For ages.
        retention_seconds: Age from which on changes and ended violations are removed.
        configured: Account and AppId of all apps that are configured.
        batch_of: Returns what is written of an app; None: nothing. Called with what is new of it, and with what is
            stored of it if it began without that.
        lost: Called with an app of which a database that was opened again does not hold the last batch. It may be
            another one, or a standby that has lost what was confirmed: everything of the app is to be written.
        failed: Called with an exception that is a bug.
    """

    def __init__(
        self,
        connect: Callable[[], "Database"],
        clock: Clock,
        *,
        retention_seconds: float,
        configured: Collection[AppKey],
        batch_of: Callable[[Waiting, SavedApp | None], Batch | None],
        lost: Callable[[AppKey], object],
        failed: Callable[[Exception], object],
    ) -> None:
        self.retention_seconds = retention_seconds
        self.configured = configured
        self.up = False  # whether the last use of the database succeeded
        self.size_bytes = 0
        self.changes_lost = 0
        self._connect = connect
        self._clock = clock
        self._batch_of = batch_of
        self._lost = lost
        self._failed = failed
        self._waiting: dict[AppKey, Waiting] = {}
        self._current: Batch | None = None
        self._overtaking = 0  # transactions with changes in succession that went before others
        self._changed = asyncio.Event()  # something waits
        self._task: asyncio.Task[None] | None = None  # None: it is not started or has ended, and keeps no connection
        self._worker = Worker("write database")
        self._database: Database | None = None
        self._written: dict[AppKey, str] = {}  # token of the last batch of each app
        self._found: dict[AppKey, str] | None = None  # the same, as a database has it that was just opened
        self._pause_seconds = 0.0
        self._maintain_at = 0.0
        self._reason = ""  # why the database is not available, as it was logged

    async def load(self, timeout_seconds: float) -> list[SavedApp]:
        """Return what the database holds; nothing if it does not say so in time."""
        saved: list[SavedApp] = []
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._attempt(lambda database: saved.extend(database.load()))
        except TimeoutError:
            structlog.get_logger().warning("database not read in time, what it holds is compared when it answers")
            return []
        return saved

    def start(self, keep_running: KeepRunning) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(keep_running(self._run))

    def add(
        self,
        app: AppKey,
        lease: tuple[str, int] | None,
        changes: Iterable[NoticedChange] = (),
        violations: Iterable[ViolationEvent] = (),
    ) -> Waiting:
        """Write what is new of an app after this step of the event loop; return all that waits of it."""
        waiting = self._waiting.get(app)
        if waiting is None or waiting.lease != lease:
            waiting = self._waiting[app] = Waiting(*app, self._clock.monotonic(), lease)
            self._changed.set()
        waiting.changes += changes
        waiting.violations += violations
        lost, events_lost = (max(0, len(each) - MOST_WAITING) for each in (waiting.changes, waiting.violations))
        del waiting.changes[:lost], waiting.violations[:events_lost]
        waiting.all_tasks |= lost > 0
        waiting.all_violations |= events_lost > 0
        self.changes_lost += lost
        return waiting

    def waits_for(self, accounts: Container[str]) -> bool:
        """Whether anything of some accounts is not written."""
        return any(each.account in accounts for each in self._unwritten())

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest reading that is not written; 0 if all are."""
        now = self._clock.monotonic()
        return max((now - each.since for each in self._unwritten()), default=0.0)

    async def close(self, timeout_seconds: float) -> None:
        """Write what waits, and end; a database that does not answer is not waited for any longer."""
        if self._task is None:
            return
        self._task.cancel()  # what it is writing is written again, which the token makes harmless
        has_written = False
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._unwritten() and await self._write_next():
                    pass
                await self._worker.run(self._disconnect)
                has_written = not self._unwritten()
        self._task = None
        if not has_written:
            structlog.get_logger().warning("database not written in time, the last changes are lost")

    def _unwritten(self) -> list[Waiting]:
        return [each for each in (self._current, *self._waiting.values()) if each is not None]

    async def _run(self) -> None:
        while True:
            rest = self._maintain_at - self._clock.monotonic()
            if self._unwritten():
                await self._write_next()
            elif rest <= 0:
                await self._attempt(self._maintain)
            else:
                self._changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), rest)
            await asyncio.sleep(self._pause_seconds)

    async def _write_next(self) -> bool:
        if self._current is None:
            app, new = self._next()
            stored: list[SavedApp] = []
            if new.began is not None and not await self._attempt(lambda database: stored.extend(database.load(new))):
                return False
            new = self._waiting[app]  # what comes of the comparison with what is stored belongs to this batch, too
            try:
                self._current = self._batch_of(new, stored[0] if stored else None)
            except Exception as error:  # noqa: BLE001 - whatever it is, what other apps have must be written
                self.changes_lost += len(new.changes)
                self._failed(error)
            if self._waiting[app] is new:  # not what another lease has begun
                del self._waiting[app]
                if self._current is not None and new.task_ids:
                    rest = self._waiting[app] = Waiting(*app, new.since, new.lease, task_ids=new.task_ids)
                    rest.continues = new.all_tasks or new.continues
        if self._current is not None:
            pauses = self._task is not None and not self._task.cancelling()  # a stop does not make scrapes wait
            if not await self._attempt(methodcaller("write", self._current, pauses=pauses)):
                return False
            if self._current is not None:  # not a bug
                self._written[self._current.account, self._current.app_id] = self._current.token
                self._current = None
        return True

    def _next(self) -> tuple[AppKey, Waiting]:
        """Return what is written next: changes go first, unless the database is so slow that they always would."""
        may_overtake = self._overtaking < MOST_OVERTAKING
        waiting = self._waiting.items()
        app, new = min(waiting, key=lambda each: not (may_overtake and (each[1].changes or each[1].violations)))
        self._overtaking = self._overtaking + 1 if may_overtake and (new.changes or new.violations) else 0
        return app, new

    async def _attempt(self, work: Callable[["Database"], None]) -> bool:
        try:
            await self._worker.run(self._connected, work)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is collected must be written
            return self._has_failed(error)
        if self._reason:
            structlog.get_logger().info("database is written again")
        self.up, self._reason, self._pause_seconds = True, "", 0.0
        self._look_for_losses()
        return True

    def _look_for_losses(self) -> None:
        if self._found is None:
            return
        expected, self._written, self._found = self._written, self._found, None
        current = "" if self._current is None else self._current.token  # its commit may have had no answer
        for app, token in expected.items():
            if self._written.get(app) not in {token, current}:
                self._lost(app)

    def _has_failed(self, error: Exception) -> bool:
        """Note a failure; return whether to stop trying."""
        if is_bug(error):
            if self._current is None:
                self._maintain_at = self._clock.monotonic() + MAINTAIN_SECONDS  # that is what failed
            else:
                self.changes_lost += len(self._current.changes)
                if (waiting := self._waiting.get((self._current.account, self._current.app_id))) is not None:
                    waiting.continues = False  # what failed is missing
                self._current = None
            self._failed(error)
            return True
        if (reason := error_line(error)) != self._reason:
            remedy = next(remedy for words, remedy in REMEDIES.items() if words in reason)
            structlog.get_logger().error(
                "database not available, what is new waits in memory", reason=reason, remedy=remedy
            )
        self.up, self._reason = False, reason
        self._pause_seconds = min(LONGEST_PAUSE_SECONDS, 2 * self._pause_seconds or FIRST_PAUSE_SECONDS)
        return False

    def _connected(self, work: Callable[["Database"], None]) -> None:
        """Do something in the thread; a failure ends the connection, and so does a call that outlives the writer."""
        try:
            if self._database is None:
                self._database = self._connect()
                self._found = self._database.last_batches()
            work(self._database)
        except BaseException:
            self._disconnect()
            raise
        if self._task is None:
            self._disconnect()

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _maintain(self, database: "Database") -> None:
        now = self._clock.now()
        has_more = database.prune(now - self.retention_seconds)
        if not has_more:
            limits = {"unread_since": now - REMOVED_SECONDS, "before": now - self.retention_seconds}
            database.forget_removed(self.configured, **limits)
        self.size_bytes = database.size_bytes()
        self._maintain_at = self._clock.monotonic() + (PRUNE_PAUSE_SECONDS if has_more else MAINTAIN_SECONDS)


def is_bug(error: Exception) -> bool:
    """Whether it would fail in the same way forever."""
    if type(error).__name__ in {"DataError", "IntegrityError"}:
        return True
    module = type(error).__module__.partition(".")[0]
    has_no_thread = isinstance(error, RuntimeError) and "new thread" in str(error)
    return module not in {"sqlalchemy", "psycopg", "sqlite3", "exporter"} and not (
        has_no_thread or isinstance(error, OSError | ImportError | UnicodeDecodeError)
    )


def error_line(error: Exception) -> str:
    """Return what failed in one line, without the statement and its values."""
    original = getattr(error, "orig", None) or error
    line = " ".join(str(original).split())[:300]
    return line or ("no answer in time" if isinstance(original, TimeoutError) else type(original).__name__)
