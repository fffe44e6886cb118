"""A year with a change each second, of which 90 days are kept: sizes, and how long writes take meanwhile."""

from collections.abc import Callable
from functools import partial
from itertools import count
from time import perf_counter

from msgspec.structs import replace
from sqlalchemy import text

from benchmarks.report import milliseconds, percentile, show
from benchmarks.storage import databases
from exporter.storage.database import Database
from exporter.storage.writer import Batch
from tests.support.batches import changed, entry

DAYS, RETENTION_DAYS = 365, 90
DAY_SECONDS = 86_400.0
BATCHES_A_DAY, CHANGES_A_BATCH = 40, 2160  # together one change a second
VACUUM_DAYS = 18
"""How often PostgreSQL's autovacuum would run at this rate: it waits until a fifth of the rows is dead."""
SHOWN_DAYS = (30, 90, 120, 180, 270, 365)

ROWS = (
    *(f"size on day {day}, MB" for day in SHOWN_DAYS),
    "a write before anything is removed, p50",
    "a write while rows are removed, p50",
    "the same, p99",
    "the same, longest",
    "longest removal",
)


def main() -> None:
    """Measure both kinds of database."""
    years = {name: _year(Database(url)) for name, url in databases()}
    show(
        f"A year at one change every {DAY_SECONDS / BATCHES_A_DAY / CHANGES_A_BATCH:.0f} s, {RETENTION_DAYS} days kept",
        ("", *years),
        zip(ROWS, *years.values(), strict=True),
        note=f"A write is a batch of {CHANGES_A_BATCH} changes. 500 rows are removed after each, at a day's end all.",
    )


def _year(database: Database) -> tuple[str, ...]:
    """Return sizes in MB, how long writes took before and after anything was removed, and the longest removal."""
    tokens, sizes = count(), []
    growing: list[float] = []
    pruning: list[float] = []
    removals: list[float] = []
    for day in range(DAYS):
        for part in range(BATCHES_A_DAY):
            now = (day + (part + 1) / BATCHES_A_DAY) * DAY_SECONDS
            one = _batch(now, next(tokens))
            (pruning if day >= RETENTION_DAYS else growing).append(_timed(partial(database.write, one)))
            removals.append(_timed(partial(database.prune, now - RETENTION_DAYS * DAY_SECONDS)))
        while database.prune((day + 1 - RETENTION_DAYS) * DAY_SECONDS):
            pass
        if database._engine.dialect.name == "postgresql" and day % VACUUM_DAYS == 0:
            with database._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(text("VACUUM changes"))
        if day + 1 in SHOWN_DAYS:
            sizes.append(f"{database.size_bytes() / 1e6:.0f}")
    database.close()
    figures = (
        percentile(growing, 0.5),
        percentile(pruning, 0.5),
        percentile(pruning, 0.99),
        max(pruning),
        max(removals),
    )
    return (*sizes, *map(milliseconds, figures))


def _batch(now: float, token: int) -> Batch:
    """Return changes up to a time, of tasks that change by turns."""
    task_id = f"task-{token % 1000}"
    one = changed(entry(task_id), entry(task_id, idle_timeout_seconds=60), token=str(token))
    seconds = DAY_SECONDS / BATCHES_A_DAY / CHANGES_A_BATCH
    one.changes = [replace(one.changes[0], noticed=now - seconds * place) for place in range(CHANGES_A_BATCH)]
    return one


def _timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began
