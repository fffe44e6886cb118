"""The one thread that writes to the database, and what waits for it."""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Container
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final

import structlog

from exporter.collector.past import SavedApp
from exporter.core.clock import Clock
from exporter.core.threads import Worker
from exporter.storage.batch import AppKey, Batch

if TYPE_CHECKING:
    from exporter.storage.database import Database

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 10.0
MAINTAIN_SECONDS: Final = 60.0  # how often old changes are looked for, and the size
REMOVED_SECONDS: Final = 3600.0
"""An app that is not configured, and that no other exporter has read for this long, counts as removed."""
PRUNE_PAUSE_SECONDS: Final = 0.05  # between two portions of old changes; what waits to be written comes first

REMEDIES: Final = {
    "disk is full": "free space, or shorten storage.retention",
    "No space left": "free space, or shorten storage.retention",
    "readonly database": "let the exporter write the file and its directory",
    "database is locked": "give each exporter a file of its own",
    "authentication failed": "correct the URL; storage.url_file is read again for each connection",
    "No such file": "write the file that storage.url_file names",
    "Connection refused": "start the server, or correct the URL",
    "read-only": "name all servers and target_session_attrs=read-write in the URL",
    "": "see RtcmpuStorageFailing.md",
}
"""What to do, by words of the database; docs/runbooks/RtcmpuStorageFailing.md has more."""


class Writer:
    """Reads the database once, then writes each batch in one transaction. What can't be written waits.

    Args:
        url: Returns the database's URL; read again for each connection, since passwords rotate.
        clock: For ages.
        retention_seconds: Age from which on changes and ended violations are removed.
        configured: Account and AppId of all apps that are configured.
        incomplete: Called in the thread when all of an app, or of all apps (None), has to be written again.
        older: Called in the thread with what was stored of an app that began without it.
        failed: Called in the thread with an exception that is a bug.
        loads: Whether `start` returns what the database holds; else nothing.
    """

    def __init__(
        self,
        url: Callable[[], str],
        clock: Clock,
        *,
        retention_seconds: float,
        configured: Collection[AppKey],
        incomplete: Callable[[AppKey | None], object],
        older: Callable[[SavedApp], object],
        failed: Callable[[Exception], object],
        loads: bool = True,
    ) -> None:
        self.retention_seconds = retention_seconds
        self.configured = configured
        self.up = False  # whether the last use of the database succeeded
        self.size_bytes = 0
        self.changes_lost = 0
        self._url = url
        self._clock = clock
        self._incomplete = incomplete
        self._older = older
        self._failed = failed
        self._loads = loads
        self._changed = Condition()
        self._waiting: dict[AppKey, Batch] = {}
        self._current: Batch | None = None
        self._closing = False
        self._database: Database | None = None
        self._pause_seconds = 0.0
        self._maintain_at = 0.0
        self._reason = ""  # why the database is not available, as it was logged
        self._loaded = Future[list[SavedApp]]()
        self._thread = Thread(target=self._run, name="write database", daemon=True)

    async def start(self, timeout_seconds: float) -> list[SavedApp]:
        """Start, and return what the database holds; nothing if it does not say so in time."""
        self._thread.start()
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.wrap_future(self._loaded) if self._loads else []
        except TimeoutError:
            structlog.get_logger().warning("database not read in time, what it holds is compared when it answers")
            return []

    def write(self, batch: Batch) -> None:
        """Write a batch soon. One that waits for the same app takes it in."""
        with self._changed:
            key = (batch.account, batch.app_id)
            waiting = self._waiting.get(key)
            if waiting is None or waiting.lease != batch.lease:
                self._waiting[key] = batch
            else:
                lost_changes, is_incomplete = waiting.add(batch)
                self.changes_lost += lost_changes
                if is_incomplete:
                    self._incomplete(key)
            self._changed.notify()

    def waits_for(self, accounts: Container[str]) -> bool:
        """Whether anything of some accounts is not written."""
        return any(batch.account in accounts for batch in self._unwritten())

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest reading that is not written; 0 if all are."""
        now = self._clock.monotonic()
        return max((now - batch.since for batch in self._unwritten()), default=0.0)

    async def close(self, timeout_seconds: float) -> None:
        """Write what waits, and end; a database that does not answer is not waited for any longer."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await Worker("close database").run(self._thread.join, timeout_seconds)
        if self._thread.is_alive() or self._unwritten():
            structlog.get_logger().warning("database not written in time, the last changes are lost")

    def _unwritten(self) -> list[Batch]:
        with self._changed:
            return [batch for batch in (self._current, *self._waiting.values()) if batch is not None]

    def _run(self) -> None:
        if self._loads:
            self._attempt(lambda database: self._answer(database.load()))
        self._answer([])
        while (batch := self._next()) is not None or not self._closing:
            if batch is None:
                self._attempt(self._maintain)
            elif self._attempt(partial(self._write, batch)):
                self._current = None
            elif self._closing:
                break
        if self._database is not None:
            self._database.close()

    def _next(self) -> Batch | None:
        """Wait for a batch; None: it is time for something else, or to end."""
        with self._changed:
            if not self._closing and self._pause_seconds:
                self._changed.wait_for(lambda: self._closing, self._pause_seconds)
            if self._current is None:
                rest = self._maintain_at - time.monotonic()
                self._changed.wait_for(lambda: self._closing or self._waiting, max(0.0, rest))
                if self._waiting:
                    self._current = self._waiting.pop(next(iter(self._waiting)))
                    self._current.token = secrets.token_hex(8)
            return self._current

    def _attempt(self, work: Callable[["Database"], None]) -> bool:
        """Do something with the database; return whether it is done with."""
        try:
            if self._database is None:
                # Only now: it takes memory, which not everyone needs.
                from exporter.storage.database import Database  # noqa: PLC0415 - see above

                self._database = Database(self._url())
            work(self._database)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is collected must be written
            return self._has_failed(error)
        if self._reason:
            structlog.get_logger().info("database is written again")
        self.up, self._reason, self._pause_seconds = True, "", 0.0
        return True

    def _has_failed(self, error: Exception) -> bool:
        """Note a failure; return whether to stop trying."""
        if self._database is not None:
            self._database.close()
            self._database = None
        if is_bug(error):
            self.changes_lost += 0 if self._current is None else len(self._current.changes)
            self._failed(error)
            return True
        if type(error).__name__ == "CorruptError":
            self._incomplete(None)
        if (reason := error_line(error)) != self._reason:
            remedy = next(remedy for words, remedy in REMEDIES.items() if words in reason)
            structlog.get_logger().error(
                "database not available, what is new waits in memory", reason=reason, remedy=remedy
            )
        self.up, self._reason = False, reason
        self._pause_seconds = min(LONGEST_PAUSE_SECONDS, 2 * self._pause_seconds or FIRST_PAUSE_SECONDS)
        return False

    def _write(self, batch: Batch, database: "Database") -> None:
        if (older := database.write(batch)) is not None:
            self._older(older)

    def _answer(self, saved: list[SavedApp]) -> None:
        """Tell `start` what there is, if it still waits: the first answer counts."""
        with suppress(InvalidStateError):
            self._loaded.set_result(saved)

    def _maintain(self, database: "Database") -> None:
        """Remove some of what is old, and look at the size."""
        now = self._clock.now()
        has_more = database.prune(now - self.retention_seconds)
        if not has_more:
            limits = {"unread_since": now - REMOVED_SECONDS, "before": now - self.retention_seconds}
            database.forget_removed(self.configured, **limits)
        self.size_bytes = database.size_bytes()
        self._maintain_at = time.monotonic() + (PRUNE_PAUSE_SECONDS if has_more else MAINTAIN_SECONDS)


def is_bug(error: Exception) -> bool:
    """Whether it would fail in the same way forever."""
    if type(error).__name__ in {"DataError", "IntegrityError"}:
        return True
    module = type(error).__module__.partition(".")[0]
    return module not in {"sqlalchemy", "psycopg", "sqlite3", "exporter"} and not isinstance(
        error, OSError | ImportError | UnicodeDecodeError
    )


def error_line(error: Exception) -> str:
    """Return what failed in one line, without the statement and its values."""
    original = getattr(error, "orig", None) or error
    return " ".join(str(original).split())[:300]
