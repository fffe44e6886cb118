"""Reads and writes the database. Only `Writer` uses it, but for queries."""

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import groupby, islice
from math import inf
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import msgspec
import sqlalchemy as sa
import structlog
from msgspec.structs import replace
from sqlalchemy.exc import ArgumentError, DatabaseError

from exporter.collector.inventory import Entry
from exporter.collector.past import RuleVersion, SavedApp, field_changes
from exporter.collector.status import Sweep
from exporter.collector.task_diff import kind_of
from exporter.config.model import SQLITE
from exporter.core.push_auth import PushAuthSettings
from exporter.core.regular_file import APPLICATION_ID, database_refusal
from exporter.core.task import Configuration, Task
from exporter.storage.tables import APPS, CHANGES, LOCK, TASKS, VIOLATIONS, RefusedError, create_tables, stored_name
from exporter.storage.writer import AppKey, Batch, NoticedChange, ViolationEvent, Waiting

BEFORE_THIS_PROCESS: Final = float("-inf")
ENDED_UNSEEN: Final = "not_seen"
"""Why a violation ended that was open when it was last written, and is not now."""
APP_REMOVED: Final = "app_removed"
"""Why a violation ended whose app is no longer configured."""
PRUNED_AT_ONCE: Final = 500
WRITTEN_AT_ONCE: Final = 25
PAUSE_SECONDS: Final = 0.002
"""Between portions of that many rows, in which scrapes don't compete with the thread for Python's lock."""
PAUSING_SECONDS: Final = 0.3
"""A transaction that takes longer goes on without pauses: changes wait for its end."""
_NEW_FILE: Final = (
    *("BEGIN", "PRAGMA auto_vacuum = INCREMENTAL", f"PRAGMA application_id = {APPLICATION_ID}", "COMMIT"),
)
"""Written at once, before all else, and before there is a write-ahead log: the first page is never without the mark."""
_SQLITE_SETTINGS: Final = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
_POSTGRESQL: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "rtcmpu-exporter",
}
LONGEST_IDLE_SECONDS: Final = 10.0
"""How long an exporter that was stopped, or cut off, keeps the lock of a budget at most."""
SHAPE: Final = "ec3f56f70d2a8763"
"""Names the types of what is stored in one piece: what has another name can't be read. A test says when it changes."""
OLD_SHAPES: Final = ("d1bb2433804f23c0", "30ef9114c26b0906")
"""Names that 0.2.0 gave the same types, before Python 3.13 and with it: they go when SHAPE changes."""
_TASK: Final = msgspec.msgpack.Decoder(Task)
"""Made in one thread, as the module is imported: two that prepare a type at the same time crash the process."""
_SWEEP: Final = msgspec.msgpack.Decoder(Sweep)
INCOMPLETE: Final = ""
"""Of an app of which not all tasks were written: each transaction writes some."""


class Database:
    """An open database with the current schema.

    Args:
        url: `sqlite:PATH`, or a URL of SQLAlchemy.
        lease_seconds: After which another exporter may take over a budget: its lock is not kept for longer.

    Raises:
        RefusedError: The file is not ours, or its schema is not.
        Exception: Of SQLAlchemy, its driver, or the system. A file that was damaged is moved aside, so that the next
            database begins with an empty one.
    """

    def __init__(self, url: str, *, lease_seconds: float = inf) -> None:
        self._lease_seconds = lease_seconds
        self._path = sqlite_path(url)
        self._engine = engine_of(url)
        try:
            with self._transaction() as connection:
                create_tables(connection)
            self._inode = self._path and self._path.stat().st_ino
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        close(self._engine)

    def load(self, of: Waiting | None = None) -> list[SavedApp]:
        """Return all apps, or the one `of` which something waits, after what others write under its lease just now."""
        if of is not None and of.lease is not None:
            with self._transaction() as connection:
                lock_budget(connection, of.lease[0], self._lease_seconds)
        with self._transaction() as connection:
            return read_apps(connection, *([] if of is None else [_is_of(APPS, of)]))

    def last_batches(self) -> dict[AppKey, str]:
        """Return the token of the last batch of each app."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(APPS.c.account, APPS.c.app_id, APPS.c.batch))
            return {(row.account, row.app_id): row.batch for row in rows}

    def write(self, batch: Batch, *, pauses: bool = False) -> None:
        """Write a batch in one transaction, unless it was written before or its lease has another term.

        With pauses other threads go on meanwhile.
        """
        pauses_end = monotonic() + PAUSING_SECONDS if pauses else 0.0
        if batch.all_violations:  # before the lock, which is lost by computing for long: there may be very many
            batch = replace(batch, open_violations=partial(iter, [*batch.open_violations()]))
        with self._transaction() as connection:
            if batch.lease is not None:
                budget, term = batch.lease
                if lock_budget(connection, budget, self._lease_seconds) != term:
                    return  # another exporter has begun with what was written before
            app = connection.execute(sa.select(APPS.c.batch, APPS.c.shape).where(_is_of(APPS, batch))).one_or_none()
            if app is None or app.batch != batch.token:
                # What changed later makes no app whole of which tasks are missing.
                is_readable = app is not None and _is_readable(app)
                is_whole = batch.all_tasks or (is_readable if batch.continues is None else batch.continues)
                shape = SHAPE if is_whole and not batch.task_ids else INCOMPLETE
                _write(connection, batch, shape=shape, pauses_end=pauses_end)

    def size_bytes(self) -> int:
        """Return how much the database takes on its disk."""
        if self._path:
            is_there = self._path.exists()
            if not is_there or self._path.stat().st_ino != self._inode:  # what is written goes to no file any more
                self.close()
                for path in _files(self._path)[is_there:]:
                    path.unlink(missing_ok=True)
                raise FileNotFoundError(f"{self._path} was removed")
            return sum(path.stat().st_size for path in _files(self._path) if path.exists())
        with self._transaction() as connection:
            tables = " + ".join(f"pg_total_relation_size('{table}')" for table in (APPS, TASKS, CHANGES, VIOLATIONS))
            return int(connection.scalar(sa.text(f"SELECT {tables}")))

    def prune(self, before: float) -> bool:
        """Remove some changes, and violations that ended, of before a Unix time; return whether there may be more."""
        removed = []
        with self._transaction() as connection:
            for time in (CHANGES.c.noticed, VIOLATIONS.c.resolved):
                number = time.table.c.id
                old = sa.select(number).where(time < before).order_by(time).limit(PRUNED_AT_ONCE)
                removed.append(connection.execute(sa.delete(time.table).where(number.in_(old))).rowcount)
            if self._path:
                cursor: Any = connection.connection.cursor()
                cursor.executescript(f"PRAGMA incremental_vacuum({PRUNED_AT_ONCE})")  # execute() stops after one page
        return max(removed) == PRUNED_AT_ONCE

    def forget_removed(self, configured: Collection[AppKey], *, unread_since: float, before: float) -> None:
        """End the violations of apps that are no longer configured; remove their tasks if they were last read `before`.

        Other exporters may read apps, too: removed is what is not configured here and was not read `unread_since`.
        """
        with self._transaction() as connection:
            for app in connection.execute(sa.select(APPS)).all():
                read = max(app.last_sweep, app.last_update or 0.0)
                if (app.account, app.app_id) in configured or read >= unread_since:
                    continue
                ended = sa.update(VIOLATIONS).where(_is_open(app)).values(resolved=read, why=APP_REMOVED)
                connection.execute(ended)
                for table in (TASKS, APPS) if read < before else ():
                    connection.execute(sa.delete(table).where(_is_of(table, app)))

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """Begin one. A damaged file of ours is moved aside, no other one."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DatabaseError as error:
            name = getattr(error.orig, "sqlite_errorname", "")
            is_corrupt = name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
            if self._path is None or not is_corrupt or database_refusal(self._path):
                raise
            self.close()
            aside = f".damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}"
            for path in _files(self._path):
                with suppress(FileNotFoundError):
                    path.rename(f"{path}{aside}")
            structlog.get_logger().error(
                "database is damaged and was moved aside", path=f"{self._path}{aside}", reason=str(error.orig)
            )
            raise


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite database; None: it is another one."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def engine_of(url: str, **options: Any) -> sa.Engine:
    """Return what connects to a database. A file of SQLite must be ours, or new, and only its owner can read it.

    Connections of PostgreSQL notice a server that is dead, unless the URL or SQLAlchemy's options say otherwise. Errors
    don't show the URL, since what is wrong may be the password.
    """
    if (path := sqlite_path(url)) is not None:
        name = sa.URL.create("sqlite", database=str(path))
        return sa.create_engine(name, creator=lambda: _open_file(path), **options)
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        expected = "postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE"
        raise RefusedError(f"its URL can't be read: write {expected}") from None
    if "@" in (parsed.host or ""):
        raise RefusedError("its URL has an @ in the user or password: write %40 instead")
    settings = {**_POSTGRESQL, **options.pop("connect_args", {})}
    settings = {name: value for name, value in settings.items() if name not in parsed.query}
    return sa.create_engine(parsed, connect_args=settings, **options)


def close(engine: sa.Engine) -> None:
    """Close all connections; one that another thread uses when it returns it, not when it is found as garbage."""
    sa.event.listen(engine.pool, "checkin", lambda _, record: record.close())
    engine.dispose()


def _open_file(path: Path) -> sqlite3.Connection:
    if (refusal := database_refusal(path)) is not None:
        raise RefusedError(f"{str(path)!r} can't be used: {refusal}")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # of its owner alone
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        for setting in (*(() if path.stat().st_size else _NEW_FILE), *_SQLITE_SETTINGS):
            connection.execute(setting).close()
    except BaseException:
        connection.close()
        raise
    return connection


def _files(path: Path) -> Sequence[Path]:
    return [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm")]


def read_apps(connection: sa.Connection, *conditions: Any) -> list[SavedApp]:
    """Return the apps for which conditions hold."""
    saved = []
    for app in connection.execute(sa.select(APPS).where(*conditions)).all():
        rows = connection.execute(sa.select(TASKS).where(_is_of(TASKS, app)))
        is_readable = _is_readable(app)
        one = SavedApp(
            *(app.account, app.app_id, app.endpoint),
            sweep=_SWEEP.decode(app.sweep) if is_readable else None,
            last_update_began=app.last_update,
            entries=list(_entries(rows)) if is_readable else [],
            first_seen={} if is_readable else {row.task_id: row.first_seen for row in rows},
            violations=_open_violations(connection, app),
        )
        saved.append(one)
    return saved


def _is_readable(app: Any) -> bool:
    return app.shape in {SHAPE, *OLD_SHAPES}


def _entries(rows: Iterable[Any]) -> Iterable[Entry]:
    """Yield an app's tasks; equal configurations are one object, as they are while the program runs."""
    configurations: dict[Configuration, Configuration] = {}
    for row in rows:
        task = _TASK.decode(row.task)
        shared = configurations.setdefault(task.configuration, task.configuration)
        yield Entry.of(
            replace(task, configuration=shared),
            first_seen=row.first_seen,
            last_changed=row.last_changed,
            sent_at=BEFORE_THIS_PROCESS,
            start_known=row.start_known,
        )


def _open_violations(connection: sa.Connection, app: Any) -> Mapping[RuleVersion, Mapping[str, float]]:
    violations: dict[str, dict[str, float]] = {}
    c = VIOLATIONS.c
    for version, task_id, opened in connection.execute(sa.select(c.version, c.task_id, c.opened).where(_is_open(app))):
        violations.setdefault(version, {})[task_id] = opened
    return {tuple(json.loads(version)): tasks for version, tasks in violations.items()}


def _is_of(table: sa.Table, app: Any) -> Any:
    return sa.and_(table.c.account == app.account, table.c.app_id == app.app_id)


def _is_open(app: Any) -> Any:
    return sa.and_(_is_of(VIOLATIONS, app), VIOLATIONS.c.resolved.is_(None))


def lock_budget(connection: sa.Connection, budget: str, lease_seconds: float) -> int | None:
    """Wait for other transactions about a budget; return its term. One that stops half-way is ended by the server."""
    longest_ms = int(1000 * min(lease_seconds, LONGEST_IDLE_SECONDS))
    connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {longest_ms}")
    about = {"budget": budget, "lock": LOCK}
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:budget, :lock))"), about)
    term: int | None = connection.scalar(sa.text("SELECT term FROM leases WHERE budget = :budget"), about)
    return term


def _write(connection: sa.Connection, batch: Batch, *, shape: str, pauses_end: float = 0.0) -> None:
    app = {"account": stored_name(batch.account), "app_id": stored_name(batch.app_id)}
    connection.execute(sa.delete(APPS).where(_is_of(APPS, batch)))
    facts = {"endpoint": batch.endpoint, "last_sweep": batch.sweep.began, "last_update": batch.last_update}
    internal = {"sweep": msgspec.msgpack.encode(batch.sweep), "shape": shape, "batch": batch.token}
    connection.execute(sa.insert(APPS), app | facts | internal)
    is_task = _is_of(TASKS, batch)
    outdated = [task_id for task_id, entry in batch.tasks.items() if entry is None]
    if batch.all_tasks:
        stored = connection.scalars(sa.select(TASKS.c.task_id).where(is_task))
        outdated += [task_id for task_id in stored if task_id not in batch.known]
    # One by one: without statistics PostgreSQL would read all tasks of the app for a list.
    of_task = sa.delete(TASKS).where(is_task, TASKS.c.task_id == sa.bindparam("of_task"))
    for portion in _portions(({"of_task": task_id} for task_id in outdated), pauses_end=pauses_end):
        connection.execute(of_task, portion)
    insert = partial(_insert, connection, pauses_end=pauses_end)
    tasks = {stored_name(task_id): entry for task_id, entry in batch.tasks.items() if entry is not None}
    insert(TASKS, (app | _task(task_id, entry) for task_id, entry in tasks.items()))
    insert(CHANGES, (app | _change(noticed, batch.push_auth) for noticed in batch.changes))
    is_it = sa.and_(
        _is_open(batch),
        VIOLATIONS.c.task_id == sa.bindparam("of_task"),
        VIOLATIONS.c.version == sa.bindparam("of_version"),
    )
    # Those that opened, or ended, one after another are written together.
    for has_ended, events in groupby(_events(connection, batch), lambda each: each.why is not None):
        if has_ended:
            connection.execute(sa.update(VIOLATIONS).where(is_it), [_end(each) for each in events])
        else:
            insert(VIOLATIONS, (app | _opening(each) for each in events))


def _task(task_id: str, entry: Entry) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "first_seen": entry.first_seen,
        "last_changed": entry.last_changed,
        "start_known": entry.start_known,
        "task": msgspec.msgpack.encode(entry.task),
    }


def _change(noticed: NoticedChange, push_auth: PushAuthSettings) -> dict[str, Any]:
    kind, fields = kind_of(noticed.change), field_changes(noticed.change, push_auth)
    return {
        "task_id": stored_name(noticed.change.task_id),
        "change": kind,
        "noticed": noticed.noticed,
        "earliest": noticed.earliest,
        "field_names": "".join(f",{each.field}" for each in fields) + "," if kind == "modified" and fields else "",
        "fields": msgspec.json.encode(fields).decode(),
        "notes": ",".join(noticed.notes),
    }


def _end(event: ViolationEvent) -> dict[str, Any]:
    key = {"of_task": event.task_id, "of_version": json.dumps(event.version)}
    return key | {"resolved": event.at, "why": event.why}


def _opening(event: ViolationEvent) -> dict[str, Any]:
    rule = {"rule": event.version[0], "severity": event.version[1], "version": json.dumps(event.version)}
    task = {"task_id": stored_name(event.task_id), "message": stored_name(event.message)}
    return rule | task | {"opened": event.at}


def _events(connection: sa.Connection, batch: Batch) -> Iterator[ViolationEvent]:
    """Yield what opened and ended, in its order; what must have ended, but was not seen to, has done so unseen."""
    stored = _open_violations(connection, batch) if batch.all_violations else {}
    is_open = {(version, task_id) for version, since in stored.items() for task_id in since}
    for event in batch.violations:
        if event.why is None and event.key in is_open:
            yield replace(event, why=ENDED_UNSEEN)
        yield event
        (is_open.add if event.why is None else is_open.discard)(event.key)
    if batch.all_violations:
        now = {event.key: event for event in batch.open_violations()}
        # By another version of its rule it may be open since the moment at which this one ended.
        since = {(version[0], task_id): now[version, task_id].at for version, task_id in now.keys() - is_open}
        for version, task_id in is_open - now.keys():
            opened, ended = stored.get(version, {}).get(task_id, inf), since.get((version[0], task_id), inf)
            at = ended if opened <= ended <= batch.made else batch.made
            yield ViolationEvent(version, task_id, at, why=ENDED_UNSEEN)
        yield from (now[key] for key in now.keys() - is_open)


def _insert(
    connection: sa.Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]], *, pauses_end: float = 0.0
) -> None:
    """Insert rows, in place of those with the same key.

    By statements of the driver: SQLAlchemy's own take twice as long for it, in which other threads wait.
    """
    for portion in _portions(rows, pauses_end=pauses_end):
        columns, values = portion[0].keys(), [tuple(row.values()) for row in portion]
        names = ", ".join(columns)
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * len(columns))
            into = f"INSERT OR REPLACE INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 - names of our own
            connection.exec_driver_sql(into, values)
        else:
            lists = ", ".join(f"%s::{table.c[name].type.compile(connection.dialect)}[]" for name in columns)
            key, new = ", ".join(table.primary_key.columns.keys()), ", ".join(f"excluded.{name}" for name in columns)
            conflict = f"ON CONFLICT ({key}) DO UPDATE SET ({names}) = ROW ({new})"
            into = f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({lists}) {conflict}"  # noqa: S608 - as above
            connection.exec_driver_sql(into, tuple(list(column) for column in zip(*values, strict=True)))


def _portions(rows: Iterable[Mapping[str, Any]], *, pauses_end: float) -> Iterator[list[Mapping[str, Any]]]:
    rows = iter(rows)
    for number, portion in enumerate(iter(lambda: list(islice(rows, WRITTEN_AT_ONCE)), [])):
        if number and monotonic() < pauses_end:
            sleep(PAUSE_SECONDS)
        yield portion
