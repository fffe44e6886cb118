"""The schema of the database. docs/storage.md describes it: people may query it."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    inspect,
    select,
    text,
)

VERSION: Final = 1  # of the schema. A change adds its statements to `MIGRATIONS`.
MIGRATIONS: Final[dict[int, tuple[str, ...]]] = {}  # statements that lead to a version from the one before it
_LOCK: Final = 0x52544D50  # of PostgreSQL: exporters that start together create the tables one after another


class SchemaError(Exception):
    """The database was written by a newer version of the program."""


class Name(TypeDecorator[str]):
    """A text of the service: PostgreSQL stores no NUL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Replace what can't be stored."""
        return None if value is None else value.replace("\0", "\N{SYMBOL FOR NULL}")


_METADATA: Final = MetaData()
_Id = BigInteger().with_variant(Integer, "sqlite")

SCHEMA: Final = Table("schema_version", _METADATA, Column("version", Integer, nullable=False))
APPS: Final = Table(
    "apps",
    _METADATA,
    Column("account", Name, primary_key=True),
    Column("app_id", Name, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("last_sweep", Double, nullable=False),
    Column("last_update", Double),
    Column("sweep", LargeBinary, nullable=False),
    Column("shape", Text, nullable=False),
    Column("batch", Text, nullable=False),
)
TASKS: Final = Table(
    "tasks",
    _METADATA,
    Column("account", Name, primary_key=True),
    Column("app_id", Name, primary_key=True),
    Column("task_id", Name, primary_key=True),
    Column("first_seen", Double, nullable=False),
    Column("last_changed", Double, nullable=False),
    Column("start_known", Boolean, nullable=False),
    Column("task", LargeBinary, nullable=False),
)
CHANGES: Final = Table(
    "changes",
    _METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("account", Name, nullable=False),
    Column("app_id", Name, nullable=False),
    Column("task_id", Name, nullable=False),
    Column("change", Text, nullable=False),
    Column("noticed", Double, nullable=False, index=True),
    Column("earliest", Double),
    Column("field_names", Text, nullable=False),
    Column("fields", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Index("ix_changes_task", "task_id", "account", "app_id", "id"),
    Index("ix_changes_app", "app_id", "id"),
)
VIOLATIONS: Final = Table(
    "violations",
    _METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("account", Name, nullable=False),
    Column("app_id", Name, nullable=False),
    Column("task_id", Name, nullable=False),
    Column("rule", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("message", Name, nullable=False),
    Column("opened", Double, nullable=False),
    Column("resolved", Double, index=True),
    Column("why", Text),
    Index("ix_violations_task", "task_id", "account", "app_id", "id"),
    Index("ix_violations_app", "app_id", "id"),
)
Index(
    "ix_violations_open",
    VIOLATIONS.c.account,
    VIOLATIONS.c.app_id,
    VIOLATIONS.c.task_id,
    postgresql_where=VIOLATIONS.c.resolved.is_(None),
    sqlite_where=VIOLATIONS.c.resolved.is_(None),
)

_SHARING: Final = MetaData()
"""Created only where exporters share budgets, so that others need no newer schema."""
LEASES: Final = Table(
    "leases",
    _SHARING,
    Column("budget", Text, primary_key=True),
    Column("holder", Text, nullable=False, server_default=""),
    Column("term", BigInteger, nullable=False, server_default="0"),
    Column("ends", DateTime(timezone=True), nullable=False, server_default="epoch"),
)
EXPORTERS: Final = Table(
    "exporters",
    _SHARING,
    Column("exporter", Text, primary_key=True),
    Column("advertise", Text, nullable=False),
    Column("budgets", Text, nullable=False),
    Column("ends", DateTime(timezone=True), nullable=False),
)


def create_lease_tables(connection: Connection) -> None:
    """Create the tables of leases where there are none."""
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    _SHARING.create_all(connection)


def lock_budget(connection: Connection, budget: str) -> None:
    """Wait for other transactions about a budget. One that stops half-way is ended by the server."""
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '3s'"))
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:budget, :lock))"),
        {
            "budget": budget,
            "lock": _LOCK,
        },
    )


def migrate(connection: Connection) -> None:
    """Create the tables, or bring those of an older version up to date.

    Raises:
        SchemaError: They are of a newer version, or of another program.
    """
    tables = inspect(connection)
    if connection.dialect.name == "postgresql":  # a file has a mark
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        existing = _METADATA.tables.keys() & set(tables.get_table_names())
        columns = [column["name"] for column in tables.get_columns(SCHEMA.name)] if SCHEMA.name in existing else []
        if existing and columns != SCHEMA.columns.keys():
            names = ", ".join(sorted(existing))
            raise SchemaError(f"it has tables of another program ({names}): create a database for the exporter")
    if not tables.has_table(SCHEMA.name):
        _METADATA.create_all(connection)
        connection.execute(SCHEMA.insert(), {"version": VERSION})
        return
    found = connection.scalar(select(SCHEMA.c.version)) or 0
    if found > VERSION:
        raise SchemaError(f"its schema is version {found}, expected at most {VERSION}: use a newer exporter")
    for version in range(found + 1, VERSION + 1):
        for statement in MIGRATIONS[version]:
            connection.execute(text(statement))
        connection.execute(SCHEMA.update(), {"version": version})
