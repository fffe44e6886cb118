"""The leases of request budgets in PostgreSQL: who holds which, until when by the database's clock.

Each statement is a transaction of its own that compares and sets: an exporter that is stopped half-way locks no other.
"""

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, text

from exporter.collector.past import SavedApp
from exporter.storage.database import close, engine_of, lock_budget, read_apps, sqlite_path
from exporter.storage.lease_plan import lease_plan
from exporter.storage.tables import APPS, create_tables

_CREATE_LEASES: Final = text(
    "CREATE TABLE IF NOT EXISTS leases (budget TEXT PRIMARY KEY, holder TEXT NOT NULL DEFAULT '',"
    " term BIGINT NOT NULL DEFAULT 0, ends TIMESTAMPTZ NOT NULL DEFAULT 'epoch')"
)
_CREATE_EXPORTERS: Final = text(
    "CREATE TABLE IF NOT EXISTS exporters (exporter TEXT PRIMARY KEY, advertise TEXT NOT NULL,"
    " budgets TEXT NOT NULL, ends TIMESTAMPTZ NOT NULL)"
)
_BEAT: Final = text(
    "INSERT INTO exporters (exporter, advertise, budgets, ends)"
    " VALUES (:exporter, :advertise, :budgets, clock_timestamp() + make_interval(secs => :seconds))"
    " ON CONFLICT (exporter) DO UPDATE"
    " SET advertise = excluded.advertise, budgets = excluded.budgets, ends = excluded.ends"
)
_BEGIN: Final = text("INSERT INTO leases (budget) VALUES (:budget) ON CONFLICT DO NOTHING")
_RENEW: Final = text(
    "UPDATE leases SET ends = clock_timestamp() + make_interval(secs => :seconds) WHERE holder = :exporter"
)
_TAKE: Final = text(
    "UPDATE leases SET holder = :exporter, term = term + 1, ends = clock_timestamp() + make_interval(secs => :seconds)"
    " WHERE budget = :budget AND ends < clock_timestamp() RETURNING term"
)
_FREE: Final = text("UPDATE leases SET holder = '', ends = 'epoch' WHERE budget = :budget AND holder = :exporter")
_FREE_ALL: Final = text("UPDATE leases SET holder = '', ends = 'epoch' WHERE holder = :exporter")
_LEAVE: Final = text("DELETE FROM exporters WHERE exporter = :exporter")
_FORGET: Final = text("DELETE FROM exporters WHERE ends < clock_timestamp() - interval '1 day'")
_LEASES: Final = text(
    "SELECT budget, holder, term,"
    " greatest(0, extract(epoch FROM ends - clock_timestamp()))::double precision AS seconds_left FROM leases"
)
_EXPORTERS: Final = text("SELECT exporter, advertise, budgets FROM exporters WHERE ends > clock_timestamp()")


class NotSharedError(Exception):
    """The database is none that exporters can share."""


class Lease(Struct, frozen=True):
    """The lease of one budget, as one exporter saw it."""

    term: int  # rises with each new holder
    is_own: bool
    seconds_left: float  # 0: it has no holder
    holder: str = ""  # the address that its holder advertises, else its name


class Round(Struct, frozen=True):
    """What an exporter saw, and what it should do."""

    leases: Mapping[str, Lease]  # by budget, of those that were asked about
    to_free: AbstractSet[str]  # own ones that others should hold
    exporters: int  # how many are alive


class LeaseTable:
    """One exporter's view of the leases. Its methods block; one thread at a time may call `round`, `free` and `leave`.

    No other process has the name `exporter`; `advertise` may be empty. Raises NotSharedError if it is not PostgreSQL,
    and as all methods exceptions of SQLAlchemy, its driver, or the system.
    """

    def __init__(self, url: str, exporter: str, advertise: str, lease_seconds: float) -> None:
        if sqlite_path(url) is not None:
            raise NotSharedError("sharing needs PostgreSQL, and storage.url_file names an SQLite database")
        # A server that does not answer has to be noticed within the lease.
        patience = {"connect_timeout": 2, "tcp_user_timeout": int(250 * lease_seconds), "keepalives_idle": 1}
        self._engine = engine_of(url, connect_args=patience | {"keepalives_interval": 1})
        self._each_alone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._me: Mapping[str, Any] = {"exporter": exporter, "seconds": lease_seconds}
        self._advertise = advertise
        self._is_set_up = False

    def close(self) -> None:
        """Close all connections."""
        close(self._engine)

    def round(self, budgets: AbstractSet[str]) -> Round:
        """Extend the own leases, take those that are free and due to this exporter, and return all of `budgets`."""
        if not self._is_set_up:
            with self._engine.begin() as connection:
                create_tables(connection)
                connection.execute(_CREATE_LEASES)
                connection.execute(_CREATE_EXPORTERS)
            self._is_set_up = True
        me = self._me["exporter"]
        with self._each_alone.connect() as connection:
            beat = {**self._me, "advertise": self._advertise, "budgets": json.dumps(sorted(budgets))}
            connection.execute(_BEAT, beat)
            connection.execute(_RENEW, self._me)
            rows = {row.budget: row for row in connection.execute(_LEASES)}
            if new := budgets - rows.keys():
                connection.execute(_BEGIN, [{"budget": budget} for budget in sorted(new)])
                connection.execute(_FORGET)
                rows = {row.budget: row for row in connection.execute(_LEASES)}
            alive = {row.exporter: row for row in connection.execute(_EXPORTERS)}
            held = {budget: row.holder for budget, row in rows.items() if row.holder in alive and row.seconds_left}
            plan = lease_plan({name: frozenset(json.loads(row.budgets)) for name, row in alive.items()}, held)
            taken = {
                budget: self._take(connection, budget)
                for budget, row in rows.items()
                if plan.get(budget) == me and budget in budgets and not row.seconds_left
            }
        leases = {}
        for budget in budgets:
            row, term = rows[budget], taken.get(budget)
            is_own = term is not None or row.holder == me
            holder = alive[row.holder].advertise or row.holder if row.holder in alive and not is_own else ""
            left = self._me["seconds"] if is_own else row.seconds_left
            leases[budget] = Lease(term or row.term, is_own, left, holder)
        own = {budget for budget, row in rows.items() if row.holder == me}
        return Round(leases, {budget for budget in own if plan.get(budget) != me}, len(alive))

    def free(self, budget: str) -> None:
        """Let another exporter take a budget."""
        with self._each_alone.connect() as connection:
            connection.execute(_FREE, {**self._me, "budget": budget})

    def leave(self) -> None:
        """Let others take all budgets, and none be meant for this exporter."""
        with self._each_alone.connect() as connection:
            connection.execute(_LEAVE, self._me)
            connection.execute(_FREE_ALL, self._me)

    def load(self, budget: str, accounts: Sequence[str]) -> Sequence[SavedApp]:
        """Return the stored apps of a budget, after what its last holder is writing just now."""
        with self._engine.begin() as connection:
            lock_budget(connection, budget, self._me["seconds"])
        with self._engine.begin() as connection:
            return read_apps(connection, APPS.c.account.in_(accounts))

    def _take(self, connection: Connection, budget: str) -> int | None:
        term: int | None = connection.scalar(_TAKE, {**self._me, "budget": budget})
        return term
