"""The schema of the database. docs/storage.md describes it: people may query it."""

from typing import Any, Final

import sqlalchemy as sa

from exporter.collector.task_diff import FIELD_GROUPS, KINDS

VERSION: Final = 1  # of the schema
_LOCK: Final = 0x52544D50  # of PostgreSQL: exporters that start together create the tables one after another


class SchemaError(Exception):
    """The tables are of a newer version of the program, or of another program."""


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
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("id", kind, primary_key=True, autoincrement=True)


def _partial_index(name: str, where: Any, *columns: Any) -> None:
    sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


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
    *_not_null(sa.Double, "noticed", index=True),
    sa.Column("earliest", sa.Double),
    *_not_null(sa.Text, "field_names", "fields", "notes"),
    sa.Index("ix_changes_task", "task_id", "account", "app_id", "id"),
    sa.Index("ix_changes_app", "app_id", "id"),
)
VIOLATIONS: Final = sa.Table(
    "violations",
    _METADATA,
    _id(),
    *_not_null(Name, *_TASK),
    *_not_null(sa.Text, "rule", "severity", "version"),
    *_not_null(Name, "message"),
    *_not_null(sa.Double, "opened"),
    sa.Column("resolved", sa.Double, index=True),
    sa.Column("why", sa.Text),
    sa.Index("ix_violations_task", "task_id", "account", "app_id", "id"),
    sa.Index("ix_violations_app", "app_id", "id"),
)
_partial_index("ix_violations_open", VIOLATIONS.c.resolved.is_(None), *(VIOLATIONS.c[name] for name in _TASK))

LABELS: Final = {
    **{kind: sa.text(f"change = '{kind}'") for kind in KINDS},
    **{group: sa.text(f"field_names LIKE '%,{group},%'") for group in FIELD_GROUPS},
}
"""Conditions for a kind of change, or a group of fields. Their indexes are used by queries with the same text."""
for _label, _condition in LABELS.items():
    _partial_index(f"ix_changes_{_label}", _condition, CHANGES.c.id)
    _partial_index(f"ix_changes_app_{_label}", _condition, CHANGES.c.app_id, CHANGES.c.id)

_SHARING: Final = sa.MetaData()
"""Created only where exporters share budgets, so that others need no newer schema."""
LEASES: Final = sa.Table(
    "leases",
    _SHARING,
    sa.Column("budget", sa.Text, primary_key=True),
    *_not_null(sa.Text, "holder", server_default=""),
    *_not_null(sa.BigInteger, "term", server_default="0"),
    *_not_null(sa.DateTime(timezone=True), "ends", server_default="epoch"),
)
EXPORTERS: Final = sa.Table(
    "exporters",
    _SHARING,
    sa.Column("exporter", sa.Text, primary_key=True),
    *_not_null(sa.Text, "advertise", "budgets"),
    *_not_null(sa.DateTime(timezone=True), "ends"),
)


def create_lease_tables(connection: sa.Connection) -> None:
    """Create the tables of leases where there are none."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    _SHARING.create_all(connection)


def lock_budget(connection: sa.Connection, budget: str) -> None:
    """Wait for other transactions about a budget. One that stops half-way is ended by the server."""
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '3s'")
    lock = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:budget, :lock))")
    connection.execute(lock, {"budget": budget, "lock": _LOCK})


def create_tables(connection: sa.Connection) -> None:
    """Create the tables where there are none.

    Raises:
        SchemaError: There are tables of a newer version, or of another program.
    """
    tables = sa.inspect(connection)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")  # or each table would be a transaction
    else:  # a file has a mark
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        existing = _METADATA.tables.keys() & set(tables.get_table_names())
        columns = [column["name"] for column in tables.get_columns(SCHEMA.name)] if SCHEMA.name in existing else []
        if existing and columns != SCHEMA.columns.keys():
            names = ", ".join(sorted(existing))
            raise SchemaError(f"it has tables of another program ({names}): create a database for the exporter")
    if not tables.has_table(SCHEMA.name):
        _METADATA.create_all(connection)
        connection.execute(SCHEMA.insert(), {"version": VERSION})
    elif (found := connection.scalar(sa.select(SCHEMA.c.version)) or 0) > VERSION:
        raise SchemaError(f"its schema is version {found}, expected at most {VERSION}: use a newer exporter")
