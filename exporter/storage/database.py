"""Reads and writes the database. Only the thread of `Writer` uses it, but for queries."""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import structlog
import xxhash
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Table,
    and_,
    bindparam,
    create_engine,
    delete,
    event,
    insert,
    make_url,
    select,
    text,
    true,
    update,
)
from sqlalchemy.exc import ArgumentError, DatabaseError

from exporter.collector.entry import Entry
from exporter.collector.status import Sweep
from exporter.collector.task_diff import FIELD_GROUPS, changed_fields, kind_of, shown
from exporter.config.model import SQLITE
from exporter.core.push_auth import PushAuthSettings
from exporter.core.regular_file import APPLICATION_ID, database_refusal
from exporter.core.task import Configuration, Task
from exporter.storage.batch import AppKey, Batch, NoticedChange, Opened, OpenNow, Resolved, RuleVersion, SavedApp
from exporter.storage.tables import APPS, CHANGES, LEASES, TASKS, VIOLATIONS, lock_budget, migrate

OWNER_ONLY: Final = 0o600
BEFORE_THIS_PROCESS: Final = float("-inf")
ENDED_UNSEEN: Final = "not_seen"
"""Why a violation ended that was open when it was last written, and is not now."""
APP_REMOVED: Final = "app_removed"
"""Why a violation ended whose app is no longer configured."""
PRUNED_AT_ONCE: Final = 500
_COPIED_FROM: Final = 100
"""Rows from which on PostgreSQL's COPY is faster than INSERT."""
_DELETED_AT_ONCE: Final = 500
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
            self._checked(migrate)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def load(self) -> list[SavedApp]:
        """Return all apps."""
        found: list[SavedApp] = []
        self._checked(lambda connection: found.extend(read_apps(connection, true())))
        return found

    def write(self, batch: Batch) -> SavedApp | None:
        """Write a batch in one transaction, unless it was written before.

        Returns:
            What is known of the app longer than this process knows; None: nothing.
        """
        older: list[SavedApp] = []
        self._checked(lambda connection: older.extend(_write(connection, batch)))
        return older[0] if older else None

    def size_bytes(self) -> int:
        """Return how much the database takes on its disk."""
        if self._path:
            return sum(path.stat().st_size for path in _files(self._path) if path.exists())
        with self._engine.begin() as connection:
            tables = " + ".join(f"pg_total_relation_size('{table}')" for table in (APPS, TASKS, CHANGES, VIOLATIONS))
            return int(connection.scalar(text(f"SELECT {tables}")))

    def prune(self, before: float) -> bool:
        """Remove some changes, and violations that ended, of before a Unix time; return whether there may be more."""
        removed = 0
        with self._engine.begin() as connection:
            for table, time in ((CHANGES, CHANGES.c.noticed), (VIOLATIONS, VIOLATIONS.c.resolved)):
                old = select(table.c.id).where(time < before).order_by(time).limit(PRUNED_AT_ONCE)
                removed = max(removed, connection.execute(delete(table).where(table.c.id.in_(old))).rowcount)
            if self._path:
                connection.execute(text(f"PRAGMA incremental_vacuum({PRUNED_AT_ONCE})"))
        return removed == PRUNED_AT_ONCE

    def forget_removed(self, configured: Collection[AppKey], *, unread_since: float, before: float) -> None:
        """End the violations of apps that are no longer configured; remove their tasks if nobody read them `before`.

        Other exporters may read apps, too: removed is what is not configured here and was not read `unread_since`.
        """
        c = APPS.c
        with self._engine.begin() as connection:
            for app in connection.execute(select(c.account, c.app_id, c.last_sweep, c.last_update)).all():
                read = max(app.last_sweep, app.last_update or 0.0)
                if (app.account, app.app_id) in configured or read >= unread_since:
                    continue
                is_open = and_(_is_of(VIOLATIONS, app), VIOLATIONS.c.resolved.is_(None))
                connection.execute(update(VIOLATIONS).where(is_open).values(resolved=read, why=APP_REMOVED))
                if read < before:
                    connection.execute(delete(TASKS).where(_is_of(TASKS, app)))
                    connection.execute(delete(APPS).where(_is_of(APPS, app)))

    def _checked(self, work: Any) -> None:
        """Do work in one transaction. A damaged file of ours is moved aside, no other one."""
        try:
            with self._engine.begin() as connection:
                work(connection)
        except DatabaseError as error:
            if self._path is None or not _is_corrupt(error) or database_refusal(self._path):
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


def engine_of(url: str) -> Engine:
    """Return what connects to a database."""
    path = sqlite_path(url)
    return _sqlite(path) if path else postgresql(url)


def _files(path: Path) -> Sequence[Path]:
    return [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm")]


def _is_corrupt(error: DatabaseError) -> bool:
    name = getattr(error.orig, "sqlite_errorname", "")
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _sqlite(path: Path) -> Engine:
    """Return what connects to a file of ours, or a new one, that only its owner can read."""
    engine = create_engine(URL.create("sqlite", database=str(path)))

    @event.listens_for(engine, "do_connect")
    def prepare(*_: object) -> None:
        if (refusal := database_refusal(path)) is not None:
            raise ForeignFileError(f"{str(path)!r} can't be used: {refusal}")
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY))

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        for setting in (*(() if path.stat().st_size else _NEW_FILE), *_SQLITE_SETTINGS):
            connection.execute(setting).close()

    return engine


def postgresql(url: str, more: Mapping[str, Any] = MappingProxyType({})) -> Engine:
    """Return what connects to a server, and notices one that is dead unless the URL says otherwise."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UrlError("its URL can't be read: write postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE") from None
    if "@" in (parsed.host or ""):
        raise UrlError("its URL has an @ in the user or password: write %40 instead")
    settings = {name: value for name, value in {**_POSTGRESQL, **more}.items() if name not in parsed.query}
    return create_engine(parsed, connect_args=settings)


def read_apps(connection: Connection, which: Any) -> Iterable[SavedApp]:
    """Yield the apps for which a condition holds."""
    for app in connection.execute(select(APPS).where(which)).all():
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


def _open_violations(connection: Connection, app: Any) -> Mapping[RuleVersion, Mapping[str, float]]:
    violations: dict[RuleVersion, dict[str, float]] = {}
    c = VIOLATIONS.c
    is_open = select(c.version, c.task_id, c.opened).where(_is_of(VIOLATIONS, app), c.resolved.is_(None))
    for version, task_id, opened in connection.execute(is_open):
        violations.setdefault(tuple(json.loads(version)), {})[task_id] = opened
    return violations


def _entries(connection: Connection, app: Any) -> Iterable[Entry]:
    """Yield an app's tasks; equal configurations are one object, as they are while the program runs."""
    configurations: dict[Configuration, Configuration] = {}
    decoder = msgspec.msgpack.Decoder(Task)
    c = TASKS.c
    of_app = select(c.task, c.first_seen, c.last_changed, c.start_known).where(_is_of(TASKS, app))
    for payload, first_seen, last_changed, start_known in connection.execute(of_app):
        task = decoder.decode(payload)
        shared = configurations.setdefault(task.configuration, task.configuration)
        task = msgspec.structs.replace(task, configuration=shared)
        times = {"first_seen": first_seen, "last_changed": last_changed, "sent_at": BEFORE_THIS_PROCESS}
        yield Entry.of(task, **times, start_known=start_known)


def _first_seen(connection: Connection, app: Any) -> Mapping[str, float]:
    found = connection.execute(select(TASKS.c.task_id, TASKS.c.first_seen).where(_is_of(TASKS, app)))
    return {task_id: first_seen for task_id, first_seen in found}  # noqa: C416 - rows are no pairs for mypy


def _is_of(table: Table, app: Any) -> Any:
    """Return the condition for rows of an app."""
    return and_(table.c.account == app.account, table.c.app_id == app.app_id)


def _write(connection: Connection, batch: Batch) -> Iterable[SavedApp]:
    """Write a batch; yield what is known of the app longer than this process knows."""
    if batch.lease is not None:
        budget, term = batch.lease
        lock_budget(connection, budget)
        if connection.scalar(select(LEASES.c.term).where(LEASES.c.budget == budget)) != term:
            return  # another exporter has begun with what was written before
    saved, older = None, list[Entry]()
    if batch.began is not None:
        is_of_endpoint = and_(_is_of(APPS, batch), APPS.c.endpoint == batch.endpoint)
        saved = next(iter(read_apps(connection, is_of_endpoint)), None)
    is_new = connection.scalar(select(APPS.c.batch).where(_is_of(APPS, batch))) != batch.token
    if saved is not None and batch.began is not None:
        batch, older = batch.beside(saved, batch.began)
    if is_new:
        _write_batch(connection, batch)
    if saved is not None:
        yield msgspec.structs.replace(saved, entries=older, violations=_open_violations(connection, batch))


def _write_batch(connection: Connection, batch: Batch) -> None:
    connection.execute(delete(APPS).where(_is_of(APPS, batch)))
    app = {"account": batch.account, "app_id": batch.app_id}
    facts = {
        "endpoint": batch.endpoint,
        "last_sweep": batch.sweep.began,
        "last_update": batch.last_update,
        "sweep": msgspec.msgpack.encode(batch.sweep),
        "shape": SHAPE,
        "batch": batch.token,
    }
    connection.execute(insert(APPS), app | facts)
    _write_tasks(connection, batch, app)
    _insert(connection, CHANGES, [{**app, **_change(noticed, batch.push_auth)} for noticed in batch.changes])
    for kind, events in groupby(batch.violations, type):
        of_kind: list[Any] = list(events)
        if kind is Opened:
            _open(connection, app, of_kind)
        elif kind is Resolved:
            _resolve(connection, app, of_kind)
        else:
            for each in of_kind:
                _reconcile(connection, batch, app, each)


def _write_tasks(connection: Connection, batch: Batch, app: Mapping[str, str]) -> None:
    of_app = delete(TASKS).where(_is_of(TASKS, batch))
    if batch.all_tasks:
        connection.execute(of_app)
    else:
        task_ids = list(batch.tasks)
        for start in range(0, len(task_ids), _DELETED_AT_ONCE):
            connection.execute(of_app.where(TASKS.c.task_id.in_(task_ids[start : start + _DELETED_AT_ONCE])))
    rows = [
        {
            **app,
            "task_id": task_id,
            "first_seen": entry.first_seen,
            "last_changed": entry.last_changed,
            "start_known": entry.start_known,
            "task": msgspec.msgpack.encode(entry.task),
        }
        for task_id, entry in batch.tasks.items()
        if entry is not None
    ]
    _insert(connection, TASKS, rows)


def _change(noticed: NoticedChange, push_auth: PushAuthSettings) -> Mapping[str, Any]:
    """Return a row: of a task that came or went, all fields that are set."""
    before, after = noticed.change.before, noticed.change.after
    names = FIELD_GROUPS if before is None or after is None else changed_fields(before, after)
    fields = [
        (name, before and shown(before, name, push_auth), after and shown(after, name, push_auth)) for name in names
    ]
    if before is None or after is None:
        fields = [field for field in fields if field[1:] != (None, None)]
    task = after or before
    return {
        "task_id": "" if task is None else task.task_id,
        "change": kind_of(noticed.change),
        "noticed": noticed.noticed,
        "earliest": noticed.earliest,
        "field_names": f",{','.join(name for name, _, _ in fields)},",
        "fields": json.dumps([dict(zip(("field", "before", "after"), field, strict=True)) for field in fields]),
        "notes": ",".join(noticed.notes),
    }


def _open(connection: Connection, app: Mapping[str, str], opened: Iterable[Opened]) -> None:
    rows = [
        {
            **app,
            "task_id": each.task_id,
            "rule": each.version[0],
            "severity": each.version[1],
            "version": json.dumps(each.version),
            "message": each.message,
            "opened": each.since,
        }
        for each in opened
    ]
    _insert(connection, VIOLATIONS, rows)


def _resolve(connection: Connection, app: Mapping[str, str], resolved: Iterable[Resolved]) -> None:
    c = VIOLATIONS.c
    statement = update(VIOLATIONS).where(
        c.account == bindparam("of_account"),
        c.app_id == bindparam("of_app"),
        c.task_id == bindparam("of_task"),
        c.version == bindparam("of_version"),
        c.resolved.is_(None),
    )
    rows = [
        {
            "of_account": app["account"],
            "of_app": app["app_id"],
            "of_task": each.task_id,
            "of_version": json.dumps(each.version),
            "resolved": each.at,
            "why": each.why,
        }
        for each in resolved
    ]
    connection.execute(statement, rows)


def _reconcile(connection: Connection, batch: Batch, app: Mapping[str, str], now: OpenNow) -> None:
    """Let exactly those violations be open that are."""
    c = VIOLATIONS.c
    is_open = select(c.version, c.task_id).where(_is_of(VIOLATIONS, batch), c.resolved.is_(None))
    known = {(tuple(json.loads(version)), task_id) for version, task_id in connection.execute(is_open)}
    violations = now.violations.items()
    expected = {(version, task_id): since for version, tasks in violations for task_id, since in tasks.items()}
    if ended := [Resolved(*key, at=now.at, why=ENDED_UNSEEN) for key in known - expected.keys()]:
        _resolve(connection, app, ended)
    new = [
        Opened(*key, since=since, message=now.messages.get(key, ""))
        for key, since in expected.items()
        if key not in known
    ]
    _open(connection, app, new)


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if connection.dialect.name == "postgresql" and len(rows) >= _COPIED_FROM:
        columns = [table.c[name] for name in rows[0]]
        names = ", ".join(f'"{column.name}"' for column in columns)
        bind: list[Any] = [
            column.type.bind_processor(connection.dialect) or (lambda value: value) for column in columns
        ]
        cursor: Any = connection.connection.cursor()
        with cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
            for row in rows:
                copy.write_row([process(value) for process, value in zip(bind, row.values(), strict=True)])
    elif rows:
        connection.execute(insert(table), rows)
