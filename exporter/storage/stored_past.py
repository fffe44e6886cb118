"""Reads changes and violations from the database, for pages, the API and commands."""

import asyncio
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from math import inf
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, Table, func, select

from exporter.collector.change_history import FieldChange, RecordedChange
from exporter.collector.past import HistoryError, HistoryFilter, PastViolation
from exporter.core.threads import Worker
from exporter.storage.database import engine_of
from exporter.storage.tables import APPS, CHANGES, VIOLATIONS

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
        self._worker = Worker("read database", threads=2)

    async def changes(self, wanted: HistoryFilter) -> Sequence[RecordedChange]:
        """Return changes, newest first."""
        return await self._read(lambda connection: read_changes(connection, wanted))

    async def violations(self, wanted: HistoryFilter) -> Sequence[PastViolation]:
        """Return violations, newest first."""
        return await self._read(lambda connection: read_violations(connection, wanted))

    async def apps(self) -> Collection[tuple[str, str]]:
        """Return account and AppId of all apps."""
        query = select(APPS.c.account, APPS.c.app_id)
        return await self._read(lambda connection: [(row[0], row[1]) for row in connection.execute(query)])

    async def remembered_since(self, now: float) -> float:
        """Return a Unix time after which no change was forgotten."""
        oldest = select(func.min(CHANGES.c.noticed))
        return await self._read(lambda connection: connection.scalar(oldest) or now)

    def close(self) -> None:
        """Close all connections."""
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
        engine = self._engine = self._engine or engine_of(self._url())
        with engine.connect() as connection:
            return query(connection)


def read_changes(connection: Connection, wanted: HistoryFilter) -> list[RecordedChange]:
    """Return changes, newest first."""
    c = CHANGES.c
    conditions = [
        *_conditions(connection, CHANGES, wanted, c.noticed),
        *([c.change == wanted.change] if wanted.change else []),
        *([c.field_names.contains(f",{wanted.field},", autoescape=True)] if wanted.field else []),
    ]
    rows = connection.execute(select(CHANGES).where(*conditions).order_by(c.id.desc()).limit(wanted.limit))
    return [
        RecordedChange(
            number=row.id,
            noticed=row.noticed,
            account=row.account,
            app_id=row.app_id,
            task_id=row.task_id,
            change=row.change,
            fields=tuple(FieldChange(**field) for field in json.loads(row.fields)),
            earliest=row.earliest,
            notes=tuple(row.notes.split(",") if row.notes else ()),
        )
        for row in rows
    ]


def read_violations(connection: Connection, wanted: HistoryFilter) -> list[PastViolation]:
    """Return violations, newest first."""
    c = VIOLATIONS.c
    conditions = [
        *_conditions(connection, VIOLATIONS, wanted, c.resolved if wanted.ended else c.opened),
        *([c.resolved.is_not(None)] if wanted.ended else []),
        *([c.rule == wanted.rule] if wanted.rule else []),
        *([c.severity == wanted.severity] if wanted.severity else []),
    ]
    names = PastViolation.__struct_fields__
    columns = [(c.id if name == "number" else c[name]) for name in names]
    rows = connection.execute(select(*columns).where(*conditions).order_by(c.id.desc()).limit(wanted.limit))
    return [PastViolation(*row) for row in rows]


def _conditions(connection: Connection, table: Table, wanted: HistoryFilter, time: Any) -> Iterable[Any]:
    c = table.c
    for column, value in ((c.account, wanted.account), (c.app_id, wanted.app_id), (c.task_id, wanted.task_id)):
        if value:
            yield column == value
    in_time = [
        *([time >= wanted.since] if wanted.since > -inf else []),
        *([time <= wanted.until] if wanted.until < inf else []),
    ]
    yield from in_time
    if wanted.since > -inf and time.index:
        window = select(c.id).where(*in_time)
        if connection.scalars(window.offset(SHORT_WINDOW).limit(1)).first() is None:
            yield c.id.in_(window)  # else SQLite goes through all rows in their order
    if wanted.before is not None:
        yield c.id < wanted.before
