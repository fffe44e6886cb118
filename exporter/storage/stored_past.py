"""Reads changes and violations from the database, for pages, the API and commands."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from math import inf
from threading import Lock
from typing import Any, Final, TypeVar

from msgspec import json
from sqlalchemy import Connection, Engine, Row, Table, func, select

from exporter.collector.change_history import FieldChange, RecordedChange
from exporter.collector.past import HistoryError, HistoryFilter, PastViolation
from exporter.core.threads import Worker
from exporter.storage.database import engine_of
from exporter.storage.tables import APPS, CHANGES, LABELS, VIOLATIONS

T = TypeVar("T")

LONGEST_READ_SECONDS: Final = 10.0
SHORT_WINDOW: Final = 10_000
"""With fewer rows between two times, these are read first; with more, all rows from the newest on."""


class StoredPast:
    """What the database remembers; see `Past`.

    Args:
        url: Returns the database's URL.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._engine: Engine | None = None
        self._lock = Lock()  # of `_engine`
        self._worker = Worker("read database", threads=2)

    async def changes(self, wanted: HistoryFilter) -> Sequence[RecordedChange]:
        """Return changes, newest first."""
        return await self._read(lambda connection: read_changes(connection, wanted))

    async def violations(self, wanted: HistoryFilter) -> Sequence[PastViolation]:
        """Return violations, newest first."""
        return await self._read(lambda connection: _read_violations(connection, wanted))

    async def apps(self) -> Collection[tuple[str, str]]:
        """Return account and AppId of all apps."""
        query = select(APPS.c.account, APPS.c.app_id)
        return await self._read(lambda connection: connection.execute(query).all())

    async def remembered_since(self, now: float) -> float:
        """Return a Unix time after which no change was forgotten."""
        oldest = select(func.min(CHANGES.c.noticed))
        return await self._read(lambda connection: connection.scalar(oldest) or now)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    async def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            async with asyncio.timeout(LONGEST_READ_SECONDS):
                return await self._worker.run(self._do, query)
        except TimeoutError:
            raise HistoryError("the database does not answer") from None
        except Exception as error:
            self.close()
            raise HistoryError("the database is not available: see the exporter's log") from error

    def _do(self, query: Callable[[Connection], T]) -> T:
        with self._lock:
            engine = self._engine = self._engine or engine_of(self._url())
        with engine.connect() as connection:
            return query(connection)


def read_changes(connection: Connection, wanted: HistoryFilter) -> list[RecordedChange]:
    """Return changes, newest first."""
    conditions = [LABELS[label] for label in (wanted.change, wanted.field) if label]
    return [
        RecordedChange(
            number=row.id,
            noticed=row.noticed,
            account=row.account,
            app_id=row.app_id,
            task_id=row.task_id,
            change=row.change,
            fields=json.decode(row.fields, type=tuple[FieldChange, ...]),
            earliest=row.earliest,
            notes=tuple(row.notes.split(",") if row.notes else ()),
        )
        for row in _newest(connection, CHANGES, wanted, CHANGES.c.noticed, conditions)
    ]


def _read_violations(connection: Connection, wanted: HistoryFilter) -> list[PastViolation]:
    c = VIOLATIONS.c
    conditions = [column == value for column, value in ((c.rule, wanted.rule), (c.severity, wanted.severity)) if value]
    if wanted.ended:
        conditions.append(c.resolved.is_not(None))
    time = c.resolved if wanted.ended else c.opened
    rows = _newest(connection, VIOLATIONS, wanted, time, conditions)
    return [
        PastViolation(row.id, *(getattr(row, name) for name in PastViolation.__struct_fields__[1:])) for row in rows
    ]


def _newest(
    connection: Connection, table: Table, wanted: HistoryFilter, time: Any, conditions: Iterable[Any]
) -> Sequence[Row[Any]]:
    """Return the rows for which a filter and more conditions hold, newest first; `time` is the column of times."""
    c = table.c
    of_task = ((c.account, wanted.account), (c.app_id, wanted.app_id), (c.task_id, wanted.task_id))
    in_time = [
        *([time >= wanted.since] if wanted.since > -inf else []),
        *([time <= wanted.until] if wanted.until < inf else []),
    ]
    found = select(table).where(*conditions, *in_time, *(column == value for column, value in of_task if value))
    if wanted.since > -inf and time.index:
        window = select(c.id).where(*in_time)
        if connection.scalars(window.offset(SHORT_WINDOW).limit(1)).first() is None:
            found = found.where(c.id.in_(window))  # else SQLite goes through all rows in their order
    if wanted.before is not None:
        found = found.where(c.id < wanted.before)
    return connection.execute(found.order_by(c.id.desc()).limit(wanted.limit)).all()
