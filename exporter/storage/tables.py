"""The schema of the database. docs/storage.md describes it: people may query it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from exporter.collector.task_diff import FIELD_GROUPS, KINDS

VERSION: Final = 1  # of the schema
LOCK: Final = 0x52544D50  # of PostgreSQL: exporters that start together create the tables one after another


class RefusedError(Exception):
    """The database can't be used until someone corrects its URL or content, and was not touched; `str()` says why."""


def stored_name(name: str) -> str:
    """Return a text of the service as it is stored: PostgreSQL stores no NUL."""
    return name.replace("\0", "\N{SYMBOL FOR NULL}")


class Name(sa.TypeDecorator[str]):
    """A text of the service."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        """Replace what can't be stored."""
        return None if value is None else stored_name(value)


_TYPES: Final[Mapping[Any, str]] = {
    sa.BigInteger().with_variant(sa.Integer, "sqlite"): "id",
    Name: "account app_id task_id message",
    sa.Text: "endpoint shape batch change field_names fields notes rule severity version why",
    sa.Double: "last_sweep last_update first_seen last_changed noticed earliest opened resolved",
    sa.Boolean: "start_known",
    sa.LargeBinary: "sweep task",
}
"""A column has the same type in all tables."""
_TYPE: Final = {column: kind for kind, columns in _TYPES.items() for column in columns.split()}
_NULLABLE: Final = ("last_update", "earliest", "resolved", "why")
_METADATA: Final = sa.MetaData()
_APP: Final = ("account", "app_id")
_TASK: Final = (*_APP, "task_id")


def _table(name: str, *columns: str, key: Sequence[str] = ("id",)) -> sa.Table:
    made = (sa.Column(each, _TYPE[each], primary_key=each in key, nullable=each in _NULLABLE) for each in columns)
    return sa.Table(name, _METADATA, *made)


SCHEMA: Final = sa.Table("schema_version", _METADATA, sa.Column("version", sa.Integer, nullable=False))
APPS: Final = _table("apps", *_APP, "endpoint", "last_sweep", "last_update", "sweep", "shape", "batch", key=_APP)
TASKS: Final = _table("tasks", *_TASK, "first_seen", "last_changed", "start_known", "task", key=_TASK)
CHANGES: Final = _table("changes", "id", *_TASK, "change", "noticed", "earliest", "field_names", "fields", "notes")
VIOLATIONS: Final = _table(
    "violations", "id", *_TASK, "rule", "severity", "version", "message", "opened", "resolved", "why"
)
LABELS: Final = {
    **{kind: sa.text(f"change = '{kind}'") for kind in KINDS},
    **{group: sa.text(f"field_names LIKE '%,{group},%'") for group in FIELD_GROUPS},
}
"""Conditions for a kind of change, or a group of fields. Their indexes are used by queries with the same text."""


def _index(table: sa.Table, name: str, *columns: str, where: Any = None) -> sa.Index:
    key = (table.c[column] for column in columns)
    return sa.Index(f"ix_{table.name}_{name}", *key, sqlite_where=where, postgresql_where=where)


_INDEXES: Final = (
    _index(CHANGES, "noticed", "noticed"),
    _index(CHANGES, "app", "app_id", "noticed"),
    _index(CHANGES, "task", "task_id", "account", "app_id", "noticed"),
    *(_index(CHANGES, label, "noticed", where=where) for label, where in LABELS.items()),
    *(_index(CHANGES, f"app_{label}", "app_id", "noticed", where=where) for label, where in LABELS.items()),
    _index(VIOLATIONS, "resolved", "resolved"),
    _index(VIOLATIONS, "app", "app_id", "resolved"),
    _index(VIOLATIONS, "task", "task_id", "account", "app_id"),
    _index(VIOLATIONS, "open", *_TASK, where=VIOLATIONS.c.resolved.is_(None)),
)
"""Pages are in the order of times and ids. Of equally good indexes SQLite takes the last that was created."""


def create_tables(connection: sa.Connection) -> None:
    """Create the tables where there are none; raises RefusedError if those there are newer, or another program's."""
    # SQLite would make each table a transaction of its own.
    is_sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN" if is_sqlite else f"SELECT pg_advisory_xact_lock({LOCK})")
    tables = sa.inspect(connection)
    existing = _METADATA.tables.keys() & set(tables.get_table_names())
    if not existing:
        for table in _METADATA.sorted_tables:
            connection.execute(sa.schema.CreateTable(table))
        for index in _INDEXES:
            index.create(connection)
        connection.execute(SCHEMA.insert(), {"version": VERSION})
    elif not (SCHEMA.name in existing and [each["name"] for each in tables.get_columns(SCHEMA.name)] == ["version"]):
        names = ", ".join(sorted(existing))
        raise RefusedError(f"it has tables of another program ({names}): create a database for the exporter")
    elif (found := connection.scalar(sa.select(SCHEMA.c.version)) or 0) > VERSION:
        raise RefusedError(f"its schema is version {found}, expected at most {VERSION}: use a newer exporter")
