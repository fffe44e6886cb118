"""The schema of the database. docs/storage.md describes it: people may query it."""

from typing import Any, Final

import sqlalchemy as sa

from exporter.collector.task_diff import FIELD_GROUPS, KINDS

VERSION: Final = 1  # of the schema
LOCK: Final = 0x52544D50  # of PostgreSQL: exporters that start together create the tables one after another


class RefusedError(Exception):
    """The database can't be used until someone corrects its URL or content, and was not touched; `str()` says why."""


class Name(sa.TypeDecorator[str]):
    """A text of the service: PostgreSQL stores no NUL."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        """Replace what can't be stored."""
        return None if value is None else value.replace("\0", "\N{SYMBOL FOR NULL}")


_METADATA: Final = sa.MetaData()
_APP: Final = ("account", "app_id")
_TASK: Final = (*_APP, "task_id")


def _not_null(kind: Any, *names: str, **more: Any) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False, **more) for name in names]


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


SCHEMA: Final = sa.Table("schema_version", _METADATA, *_not_null(sa.Integer, "version"))
APPS: Final = sa.Table(
    "apps",
    _METADATA,
    *_not_null(Name, *_APP, primary_key=True),
    *_not_null(sa.Text, "endpoint"),
    *_not_null(sa.Double, "last_sweep"),
    sa.Column("last_update", sa.Double),
    *_not_null(sa.LargeBinary, "sweep"),
    *_not_null(sa.Text, "shape", "batch"),
)
TASKS: Final = sa.Table(
    "tasks",
    _METADATA,
    *_not_null(Name, *_TASK, primary_key=True),
    *_not_null(sa.Double, "first_seen", "last_changed"),
    *_not_null(sa.Boolean, "start_known"),
    *_not_null(sa.LargeBinary, "task"),
)
CHANGES: Final = sa.Table(
    "changes",
    _METADATA,
    _id(),
    *_not_null(Name, *_TASK),
    *_not_null(sa.Text, "change"),
    *_not_null(sa.Double, "noticed"),
    sa.Column("earliest", sa.Double),
    *_not_null(sa.Text, "field_names", "fields", "notes"),
)
VIOLATIONS: Final = sa.Table(
    "violations",
    _METADATA,
    _id(),
    *_not_null(Name, *_TASK),
    *_not_null(sa.Text, "rule", "severity", "version"),
    *_not_null(Name, "message"),
    *_not_null(sa.Double, "opened"),
    sa.Column("resolved", sa.Double),
    sa.Column("why", sa.Text),
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
    """Create the tables where there are none.

    Raises:
        RefusedError: There are tables of a newer version, or of another program.
    """
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
        return
    columns = [column["name"] for column in tables.get_columns(SCHEMA.name)] if SCHEMA.name in existing else []
    if columns != SCHEMA.columns.keys():
        names = ", ".join(sorted(existing))
        raise RefusedError(f"it has tables of another program ({names}): create a database for the exporter")
    if (found := connection.scalar(sa.select(SCHEMA.c.version)) or 0) > VERSION:
        raise RefusedError(f"its schema is version {found}, expected at most {VERSION}: use a newer exporter")
