"""Reads and writes the database. Only the thread of `Writer` uses it, but for queries."""

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa
import structlog
import xxhash
from msgspec.structs import replace
from sqlalchemy.exc import ArgumentError, DatabaseError

from exporter.collector.change_history import field_changes
from exporter.collector.inventory import Entry
from exporter.collector.past import RuleVersion, SavedApp
from exporter.collector.status import Sweep
from exporter.collector.task_diff import kind_of
from exporter.config.model import SQLITE
from exporter.core.push_auth import PushAuthSettings
from exporter.core.regular_file import APPLICATION_ID, database_refusal
from exporter.core.task import Configuration, Task
from exporter.storage.batch import AppKey, Batch, NoticedChange, Opened, OpenNow, Resolved
from exporter.storage.tables import APPS, CHANGES, LEASES, TASKS, VIOLATIONS, create_tables, lock_budget

T = TypeVar("T")

OWNER_ONLY: Final = 0o600
BEFORE_THIS_PROCESS: Final = float("-inf")
ENDED_UNSEEN: Final = "not_seen"
"""Why a violation ended that was open when it was last written, and is not now."""
APP_REMOVED: Final = "app_removed"
"""Why a violation ended whose app is no longer configured."""
PRUNED_AT_ONCE: Final = 500
_INSERTED_AT_ONCE: Final = 500
_COPIED_FROM: Final = 100
"""Rows from which on PostgreSQL's COPY is faster than INSERT."""
_NEW_FILE: Final = ("PRAGMA auto_vacuum = INCREMENTAL", f"PRAGMA application_id = {APPLICATION_ID}")
"""Written before all else, and before there is a write-ahead log: the first page is never without the mark."""
_SQLITE_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 5000",
)
_POSTGRESQL: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "rtcmpu-exporter",
}
SHAPE: Final = xxhash.xxh3_64_hexdigest(
    json.dumps([msgspec.json.schema(kind) for kind in (Task, Sweep)], sort_keys=True).encode()
)
"""Digest of the types that are stored in one piece: what was written with others can't be read."""


class UrlError(Exception):
    """The URL can't be used. It is not shown, since what is wrong may be the password."""


class CorruptError(Exception):
    """The SQLite file was damaged; it has been moved aside."""


class ForeignFileError(Exception):
    """The file is not a database of this program; it was not touched."""


class Database:
    """An open database with the current schema.

    Args:
        url: `sqlite:PATH`, or a URL of SQLAlchemy.

    Raises:
        CorruptError: The file was damaged. The next one begins with an empty one.
        ForeignFileError: The file is not ours.
        Exception: Of SQLAlchemy, its driver, or the system.
    """

    def __init__(self, url: str) -> None:
        self._path = sqlite_path(url)
        self._engine = engine_of(url)
        try:
            self._checked(create_tables)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def load(self) -> list[SavedApp]:
        """Return all apps."""
        return self._checked(lambda connection: list(read_apps(connection, sa.true())))

    def write(self, batch: Batch) -> SavedApp | None:
        """Write a batch in one transaction, unless it was written before.

        Returns:
            What is known of the app longer than this process knows; None: nothing.
        """
        return self._checked(lambda connection: _write(connection, batch))

    def size_bytes(self) -> int:
        """Return how much the database takes on its disk."""
        if self._path:
            return sum(path.stat().st_size for path in _files(self._path) if path.exists())
        with self._engine.begin() as connection:
            tables = " + ".join(f"pg_total_relation_size('{table}')" for table in (APPS, TASKS, CHANGES, VIOLATIONS))
            return int(connection.scalar(sa.text(f"SELECT {tables}")))

    def prune(self, before: float) -> bool:
        """Remove some changes, and violations that ended, of before a Unix time; return whether there may be more."""
        removed = 0
        with self._engine.begin() as connection:
            for table, time in ((CHANGES, CHANGES.c.noticed), (VIOLATIONS, VIOLATIONS.c.resolved)):
                old = sa.select(table.c.id).where(time < before).order_by(time).limit(PRUNED_AT_ONCE)
                removed = max(removed, connection.execute(sa.delete(table).where(table.c.id.in_(old))).rowcount)
            if self._path:
                connection.execute(sa.text(f"PRAGMA incremental_vacuum({PRUNED_AT_ONCE})"))
        return removed == PRUNED_AT_ONCE

    def forget_removed(self, configured: Collection[AppKey], *, unread_since: float, before: float) -> None:
        """End the violations of apps that are no longer configured; remove their tasks if they were last read `before`.

        Other exporters may read apps, too: removed is what is not configured here and was not read `unread_since`.
        """
        c = APPS.c
        with self._engine.begin() as connection:
            for app in connection.execute(sa.select(c.account, c.app_id, c.last_sweep, c.last_update)).all():
                read = max(app.last_sweep, app.last_update or 0.0)
                if (app.account, app.app_id) in configured or read >= unread_since:
                    continue
                ended = sa.update(VIOLATIONS).where(_is_open(app)).values(resolved=read, why=APP_REMOVED)
                connection.execute(ended)
                for table in (TASKS, APPS) if read < before else ():
                    connection.execute(sa.delete(table).where(_is_of(table, app)))

    def _checked(self, work: Callable[[sa.Connection], T]) -> T:
        """Do work in one transaction. A damaged file of ours is moved aside, no other one."""
        try:
            with self._engine.begin() as connection:
                return work(connection)
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
            raise CorruptError(str(error.orig)) from error


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite database; None: it is another one."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def engine_of(url: str) -> sa.Engine:
    """Return what connects to a database; a file of SQLite must be ours, or new, and only its owner can read it."""
    path = sqlite_path(url)
    if path is None:
        return postgresql(url)
    return sa.create_engine(sa.URL.create("sqlite", database=str(path)), creator=lambda: _open_file(path))


def _open_file(path: Path) -> sqlite3.Connection:
    if (refusal := database_refusal(path)) is not None:
        raise ForeignFileError(f"{str(path)!r} can't be used: {refusal}")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY))
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


def postgresql(url: str, more: Mapping[str, Any] = MappingProxyType({})) -> sa.Engine:
    """Return what connects to a server, and notices one that is dead unless the URL says otherwise."""
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise UrlError("its URL can't be read: write postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE") from None
    if "@" in (parsed.host or ""):
        raise UrlError("its URL has an @ in the user or password: write %40 instead")
    settings = {name: value for name, value in {**_POSTGRESQL, **more}.items() if name not in parsed.query}
    return sa.create_engine(parsed, connect_args=settings)


def read_apps(connection: sa.Connection, which: Any) -> Iterable[SavedApp]:
    """Yield the apps for which a condition holds."""
    for app in connection.execute(sa.select(APPS).where(which)).all():
        is_readable = app.shape == SHAPE
        yield SavedApp(
            app.account,
            app.app_id,
            app.endpoint,
            sweep=msgspec.msgpack.decode(app.sweep, type=Sweep) if is_readable else None,
            last_update_began=app.last_update,
            entries=list(_entries(connection, app)) if is_readable else [],
            first_seen={} if is_readable else _first_seen(connection, app),
            violations=_open_violations(connection, app),
        )


def _open_violations(connection: sa.Connection, app: Any) -> Mapping[RuleVersion, Mapping[str, float]]:
    violations: dict[RuleVersion, dict[str, float]] = {}
    c = VIOLATIONS.c
    for version, task_id, opened in connection.execute(sa.select(c.version, c.task_id, c.opened).where(_is_open(app))):
        violations.setdefault(tuple(json.loads(version)), {})[task_id] = opened
    return violations


def _entries(connection: sa.Connection, app: Any) -> Iterable[Entry]:
    """Yield an app's tasks; equal configurations are one object, as they are while the program runs."""
    configurations: dict[Configuration, Configuration] = {}
    decoder = msgspec.msgpack.Decoder(Task)
    c = TASKS.c
    of_app = sa.select(c.task, c.first_seen, c.last_changed, c.start_known).where(_is_of(TASKS, app))
    for payload, first_seen, last_changed, start_known in connection.execute(of_app):
        task = decoder.decode(payload)
        shared = configurations.setdefault(task.configuration, task.configuration)
        yield Entry.of(
            replace(task, configuration=shared),
            first_seen=first_seen,
            last_changed=last_changed,
            sent_at=BEFORE_THIS_PROCESS,
            start_known=start_known,
        )


def _first_seen(connection: sa.Connection, app: Any) -> Mapping[str, float]:
    query = sa.select(TASKS.c.task_id, TASKS.c.first_seen).where(_is_of(TASKS, app))
    return dict(connection.execute(query).all())


def _is_of(table: sa.Table, app: Any) -> Any:
    """Return the condition for rows of an app."""
    return sa.and_(table.c.account == app.account, table.c.app_id == app.app_id)


def _is_open(app: Any) -> Any:
    """Return the condition for open violations of an app."""
    return sa.and_(_is_of(VIOLATIONS, app), VIOLATIONS.c.resolved.is_(None))


def _write(connection: sa.Connection, batch: Batch) -> SavedApp | None:
    """Write a batch; return what is known of the app longer than this process knows."""
    if batch.lease is not None:
        budget, term = batch.lease
        lock_budget(connection, budget)
        if connection.scalar(sa.select(LEASES.c.term).where(LEASES.c.budget == budget)) != term:
            return None  # another exporter has begun with what was written before
    saved = None
    is_new = connection.scalar(sa.select(APPS.c.batch).where(_is_of(APPS, batch))) != batch.token
    if batch.began is not None:
        is_of_endpoint = sa.and_(_is_of(APPS, batch), APPS.c.endpoint == batch.endpoint)
        saved = next(iter(read_apps(connection, is_of_endpoint)), None)
        if saved is not None:
            batch, saved = batch.beside(saved, batch.began)
    if is_new:
        _write_batch(connection, batch)
    return saved and replace(saved, violations=_open_violations(connection, batch))


def _write_batch(connection: sa.Connection, batch: Batch) -> None:
    app = {"account": batch.account, "app_id": batch.app_id}
    facts = {
        **app,
        "endpoint": batch.endpoint,
        "last_sweep": batch.sweep.began,
        "last_update": batch.last_update,
        "sweep": msgspec.msgpack.encode(batch.sweep),
        "shape": SHAPE,
        "batch": batch.token,
    }
    connection.execute(sa.delete(APPS).where(_is_of(APPS, batch)))
    connection.execute(sa.insert(APPS), facts)
    of_app = sa.delete(TASKS).where(_is_of(TASKS, batch))
    if batch.all_tasks:
        connection.execute(of_app)
    elif batch.tasks:
        of_task = of_app.where(TASKS.c.task_id == sa.bindparam("of_task"))
        connection.execute(of_task, [{"of_task": task_id} for task_id in batch.tasks])
    _insert(connection, TASKS, (app | _task(entry) for entry in batch.tasks.values() if entry is not None))
    _insert(connection, CHANGES, (app | _change(noticed, batch.push_auth) for noticed in batch.changes))
    for kind, events in groupby(batch.violations, type):
        of_kind: list[Any] = list(events)
        if kind is Opened:
            _open(connection, batch, of_kind)
        elif kind is Resolved:
            _resolve(connection, batch, of_kind)
        else:
            for each in of_kind:
                _reconcile(connection, batch, each)


def _task(entry: Entry) -> dict[str, Any]:
    return {
        "task_id": entry.task_id,
        "first_seen": entry.first_seen,
        "last_changed": entry.last_changed,
        "start_known": entry.start_known,
        "task": msgspec.msgpack.encode(entry.task),
    }


def _change(noticed: NoticedChange, push_auth: PushAuthSettings) -> dict[str, Any]:
    change, fields = noticed.change, field_changes(noticed.change, push_auth)
    task = change.after or change.before
    changed = [each.field for each in fields] if change.before and change.after else []
    return {
        "task_id": "" if task is None else task.task_id,
        "change": kind_of(change),
        "noticed": noticed.noticed,
        "earliest": noticed.earliest,
        "field_names": f",{','.join(changed)}," if changed else "",
        "fields": msgspec.json.encode(fields).decode(),
        "notes": ",".join(noticed.notes),
    }


def _open(connection: sa.Connection, batch: Batch, opened: Iterable[Opened]) -> None:
    rows = (
        {
            "account": batch.account,
            "app_id": batch.app_id,
            "task_id": each.task_id,
            "rule": each.version[0],
            "severity": each.version[1],
            "version": json.dumps(each.version),
            "message": each.message,
            "opened": each.since,
        }
        for each in opened
    )
    _insert(connection, VIOLATIONS, rows)


def _resolve(connection: sa.Connection, batch: Batch, resolved: Iterable[Resolved]) -> None:
    c = VIOLATIONS.c
    is_it = sa.and_(_is_open(batch), c.task_id == sa.bindparam("of_task"), c.version == sa.bindparam("of_version"))
    rows = [
        {"of_task": each.task_id, "of_version": json.dumps(each.version), "resolved": each.at, "why": each.why}
        for each in resolved
    ]
    if rows:
        connection.execute(sa.update(VIOLATIONS).where(is_it), rows)


def _reconcile(connection: sa.Connection, batch: Batch, now: OpenNow) -> None:
    """Let exactly those violations be open that are."""
    known = {(version, task_id) for version, tasks in _open_violations(connection, batch).items() for task_id in tasks}
    current = {(version, task_id): at for version, tasks in now.violations.items() for task_id, at in tasks.items()}
    _resolve(connection, batch, [Resolved(*key, at=now.at, why=ENDED_UNSEEN) for key in known - current.keys()])
    new = [Opened(*key, at, now.messages.get(key, "")) for key, at in current.items() if key not in known]
    _open(connection, batch, new)


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows in portions, so that other threads are never kept waiting for long."""
    rows = iter(rows)
    while portion := list(islice(rows, _INSERTED_AT_ONCE)):
        if connection.dialect.name == "postgresql" and len(portion) >= _COPIED_FROM:
            _copy(connection, table, portion)
        else:
            connection.execute(sa.insert(table), portion)


def _copy(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = [table.c[name] for name in rows[0]]
    names = ", ".join(f'"{column.name}"' for column in columns)
    bind: list[Any] = [each.type.bind_processor(connection.dialect) or (lambda value: value) for each in columns]
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row([process(value) for process, value in zip(bind, row.values(), strict=True)])
