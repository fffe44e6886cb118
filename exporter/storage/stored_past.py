"""Reads changes and violations from the database, for pages, the API and commands."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from math import inf
from typing import Any, Final, TypeVar

from msgspec import json
from sqlalchemy import Connection, NullPool, Row, func, or_, select

from exporter.collector.past import FieldChange, HistoryError, HistoryFilter, PastViolation, RecordedChange
from exporter.core.threads import Worker
from exporter.storage.database import engine_of
from exporter.storage.tables import APPS, CHANGES, LABELS, VIOLATIONS

T = TypeVar("T")

_FIELDS: Final = json.Decoder(tuple[FieldChange, ...])
"""Made as the module is imported: two threads that prepare a type at the same time can crash the process."""
LONGEST_READ_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 1.0
"""After this a query that failed is tried once more: the writer has a new file by then, where one was damaged."""


class StoredPast:
    """What the database remembers; see `Past`. `url` returns the database's URL.

    Each question has a connection of its own, so that none is left of a database that is replaced.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
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

    async def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            async with asyncio.timeout(LONGEST_READ_SECONDS):
                with suppress(Exception):
                    return await self._worker.run(self._do, query)
                await asyncio.sleep(AGAIN_SECONDS)
                return await self._worker.run(self._do, query)
        except TimeoutError:
            raise HistoryError("the database does not answer") from None
        except Exception as error:
            raise HistoryError("the database is not available: see the exporter's log") from error

    def _do(self, query: Callable[[Connection], T]) -> T:
        with engine_of(self._url(), poolclass=NullPool).connect() as connection:
            return query(connection)


def read_changes(connection: Connection, wanted: HistoryFilter) -> list[RecordedChange]:
    """Return changes, newest first."""
    labels = (LABELS[label] for label in (wanted.change, wanted.field) if label)
    return [
        RecordedChange(
            *(row.id, row.noticed, row.account, row.app_id, row.task_id, row.change),
            fields=_FIELDS.decode(row.fields),
            earliest=row.earliest,
            notes=tuple(filter(None, row.notes.split(","))),
        )
        for row in _newest(connection, CHANGES.c.noticed, wanted, *labels)
    ]


def _read_violations(connection: Connection, wanted: HistoryFilter) -> list[PastViolation]:
    c, names = VIOLATIONS.c, ("rule", "severity")
    values = (c[name] == value for name in names if (value := getattr(wanted, name)))
    rows = _newest(connection, c.resolved if wanted.ended else c.opened, wanted, *values)
    return [
        PastViolation(row.id, *(getattr(row, name) for name in PastViolation.__struct_fields__[1:])) for row in rows
    ]


def _newest(connection: Connection, time: Any, wanted: HistoryFilter, *conditions: Any) -> Sequence[Row[Any]]:
    """Return rows of which conditions hold, newest first by a column of times: an index has them in this order."""
    c, until = time.table.c, wanted.until
    found = select(time.table).where(*conditions)
    for name in ("account", "app_id", "task_id"):
        if value := getattr(wanted, name):
            found = found.where(c[name] == value)
    if wanted.before is not None:  # or it was removed, and all older ones
        last = connection.scalar(select(time).where(c.id == wanted.before)) or -inf
        found, until = found.where(or_(time < last, c.id < wanted.before)), min(until, last)
    found = found.where(time.between(wanted.since, until)).order_by(time.desc(), c.id.desc())
    return connection.execute(found.limit(wanted.limit)).all()
