"""The database with a million changes: reading, writing and starting."""

import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy import text

from benchmarks.report import median_seconds, milliseconds, show
from exporter.collector.past import HistoryFilter
from exporter.storage.database import Database, _insert
from exporter.storage.stored_past import read_changes
from exporter.storage.tables import CHANGES
from exporter.storage.writer import TASKS_AT_ONCE
from tests.support.batches import batch, changed, entry
from tests.support.postgresql import postgresql

CHANGES_READ = 1_000_000
TASKS = 100_000
CHUNK = 50_000
RARE = 200  # of each of two kinds: the oldest
FIELDS = '[{"field": "video", "before": "H.264 high 1280x720 1500 kbit/s", "after": "H.264 high 1280x720 1600 kbit/s"}]'


def main() -> None:
    """Measure both kinds of database."""
    rows = []
    for name, url in databases():
        database = Database(url)
        load_seconds, first_seconds = _tasks(database)
        empty = database.size_bytes()
        for start in range(0, CHANGES_READ, CHUNK):
            _fill(database, start, CHUNK)
        filled = database.size_bytes()
        if name == "PostgreSQL":
            with database._engine.begin() as connection:
                connection.execute(text("ANALYZE"))
        rows.append((f"{name}: write {TASKS:,} tasks", milliseconds(first_seconds)))
        rows.append((f"{name}: start with them", milliseconds(load_seconds)))
        for what, wanted in {
            "newest 100 changes": HistoryFilter(),
            "timeline of a task": HistoryFilter(account="prod", app_id="live", task_id="task-777"),
            "newest 100 changes of an app with one in 10,000": HistoryFilter(account="prod", app_id="quiet"),
            "100 changes of a field, half-way": HistoryFilter(field="video", until=CHANGES_READ / 2),
            "100 changes of a field that no newer one has": HistoryFilter(field="sei"),
            "the field of an app": HistoryFilter(account="prod", app_id="live", field="sei"),
            "a field that never changed": HistoryFilter(field="audio"),
            "100 changes of a kind that no newer one has": HistoryFilter(change="added"),
            "the kind of an app": HistoryFilter(account="prod", app_id="live", change="added"),
        }.items():
            rows.append((f"{name}: {what}", milliseconds(median_seconds(partial(_read, database, wanted), runs=9))))
        ten = median_seconds(partial(_write_ten, database, count()), runs=20)
        rows.append((f"{name}: write ten changes", milliseconds(ten)))
        rows.append((f"{name}: bytes for a change", f"{(filled - empty) / CHANGES_READ:.0f}"))
        database.close()
    show("A million changes", ("", "median"), rows)


def databases() -> Iterator[tuple[str, str]]:
    """Yield name and URL of an empty database of each kind."""
    with tempfile.TemporaryDirectory() as directory:
        yield "SQLite", f"sqlite:{Path(directory) / 'rtcmpu.db'}"
    with postgresql() as server:
        yield "PostgreSQL", server.new_database()


def _tasks(database: Database) -> tuple[float, float]:
    """Return how long it takes to load and to write many tasks, in portions as the writer has them."""
    tasks = [entry(f"task-{number}", idle_timeout_seconds=number % 50) for number in range(TASKS)]
    began = perf_counter()
    for start in range(0, TASKS, TASKS_AT_ONCE):
        one = batch(*tasks[start : start + TASKS_AT_ONCE], token=str(start))
        one.all_tasks = False
        database.write(one)
    written = perf_counter()
    database.load()
    return perf_counter() - written, written - began


def _fill(database: Database, start: int, rows: int) -> None:
    """Insert changes, one a second."""
    with database._engine.begin() as connection:
        _insert(connection, CHANGES, [_row(number) for number in range(start, start + rows)])


def _row(number: int) -> Mapping[str, Any]:
    return {
        "account": "prod",
        "app_id": "quiet" if number % 10_000 == 0 else "live",
        "task_id": f"task-{number * 7919 % 20_000}",
        "change": "modified" if number >= RARE else "added",
        "noticed": float(number),
        "earliest": None,
        "field_names": ",video," if number >= 2 * RARE else ",sei," if number >= RARE else "",
        "fields": FIELDS,
        "notes": "",
    }


def _read(database: Database, wanted: HistoryFilter) -> None:
    with database._engine.connect() as connection:
        read_changes(connection, wanted)


def _write_ten(database: Database, tokens: Iterator[int]) -> None:
    one = changed(entry("a"), entry("a", idle_timeout_seconds=60), token=f"batch {next(tokens)}")
    one.changes *= 10
    database.write(one)
