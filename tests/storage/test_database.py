"""The database: what it keeps, on SQLite and PostgreSQL, and what it refuses."""

import json
import stat
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import xxhash
from sqlalchemy import select

from exporter.collector.inventory import Entry
from exporter.collector.status import Sweep
from exporter.core.task import Task
from exporter.storage import database as database_module
from exporter.storage.database import APP_REMOVED, BEFORE_THIS_PROCESS, ENDED_UNSEEN, Database
from exporter.storage.tables import CHANGES, SCHEMA, TASKS, VIOLATIONS, RefusedError
from exporter.storage.writer import Batch, ViolationEvent
from tests.support.batches import BITRATE, COUNT, batch, changed, entry


def rows(database: Database, table: Any) -> list[Any]:
    """Return all rows of a table, oldest first."""
    with database._engine.connect() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key)))


def written(database: Database, *batches: Batch) -> Database:
    """Write batches to a database."""
    for each in batches:
        database.write(each)
    return database


@pytest.mark.parametrize("tasks", [0, 3, 250])
def test_everything_comes_back(database: Database, tasks: int) -> None:
    """Tasks, their times and the facts of the sweep survive; when they were read counts as before this process."""
    entries = [entry(f"task-{number:03}", idle_timeout_seconds=number % 2) for number in range(tasks)]
    (app,) = written(database, batch(*entries)).load()
    assert (app.account, app.app_id, app.endpoint) == ("prod", "live", "https://live.example.com")
    assert (app.sweep, app.last_update_began) == (batch().sweep, 1010.0)
    expected = [
        Entry.of(each.task, first_seen=100.0, last_changed=200.0, sent_at=BEFORE_THIS_PROCESS) for each in entries
    ]
    assert sorted(app.entries, key=lambda each: each.task.task_id) == expected
    assert len({id(each.task.configuration) for each in app.entries}) == min(tasks, 2)


@pytest.mark.parametrize(("pauses", "seconds", "expected"), [(True, 60.0, 2), (True, 0.0, 0), (False, 60.0, 0)])
def test_portions_have_pauses_between_them(
    database: Database, monkeypatch: pytest.MonkeyPatch, pauses: bool, seconds: float, expected: int
) -> None:
    """Three portions of tasks have two, when they are written and when they are removed; not for long."""
    monkeypatch.setattr(database_module, "PAUSING_SECONDS", seconds)
    slept: list[float] = []
    monkeypatch.setattr(database_module, "sleep", slept.append)
    tasks = [entry(f"task-{number:03}") for number in range(3 * database_module.WRITTEN_AT_ONCE)]
    removed = batch(token="removed")
    removed.tasks, removed.all_tasks = dict.fromkeys(each.task_id for each in tasks), False
    for one in (batch(*tasks), removed):
        slept.clear()
        database.write(one, pauses=pauses)
        assert len(slept) == expected


def test_an_app_that_was_half_written_is_read_as_an_unknown_one(database: Database) -> None:
    """Its tasks are not shown, but when they were first seen is known; what was stored before is no part of it."""
    first, rest = batch(entry("a"), entry("old"), token="c"), batch(entry("a"), token="d")
    rest.task_ids, rest.known = {"b"}, {"a", "b"}
    (app,) = written(database, first, rest).load()
    assert (app.sweep, list(app.entries), app.first_seen) == (None, [], {"a": 100.0})
    last = changed(None, entry("b"), token="e")
    last.continues = True
    (app,) = written(database, last).load()
    assert (app.sweep, {each.task_id for each in app.entries}) == (last.sweep, {"a", "b"})


def test_changes_come_with_what_they_changed(database: Database) -> None:
    """A modification has its fields before and after; of tasks that came and went, all that were set."""
    old, new, other = entry("a"), entry("a", idle_timeout_seconds=60), entry("b")
    came, went = changed(None, other, token="c"), changed(other, None, token="d", earliest=900.0)
    written(database, batch(old), changed(old, new), came, went)
    (app,) = database.load()
    assert [each.task for each in app.entries] == [new.task]
    found = rows(database, CHANGES)
    assert [(row.task_id, row.change, row.noticed, row.earliest) for row in found] == [
        ("a", "modified", 1005.0, None),
        ("b", "added", 1005.0, None),
        ("b", "removed", 1005.0, 900.0),
    ]
    assert found[0].field_names == ",idle_timeout,"
    assert json.loads(found[0].fields) == [{"field": "idle_timeout", "before": None, "after": "60 s"}]
    assert {"field": "mode", "before": None, "after": "mixed"} in json.loads(found[1].fields)
    assert {"field": "mode", "before": "mixed", "after": None} in json.loads(found[2].fields)


def test_a_batch_is_written_once(database: Database) -> None:
    """A batch whose commit was not confirmed is recognised when it is written again."""
    change = changed(entry("a"), entry("a", idle_timeout_seconds=60))
    assert len(rows(written(database, batch(entry("a")), change, change), CHANGES)) == 1


def test_violations_open_and_end_in_their_order(database: Database) -> None:
    """One that ends and opens again is two; what is open comes back with its time."""
    one = batch(entry("a"))
    one.violations = [
        ViolationEvent(BITRATE, "a", 500.0, "8000 kbit/s"),
        ViolationEvent(BITRATE, "a", 600.0, why="fixed"),
        ViolationEvent(BITRATE, "a", 700.0, "9000 kbit/s"),
        ViolationEvent(COUNT, "", 800.0, "too many"),
    ]
    written(database, one)
    assert database.load()[0].violations == {BITRATE: {"a": 700.0}, COUNT: {"": 800.0}}
    found = [(row.rule, row.severity, row.message, row.resolved, row.why) for row in rows(database, VIOLATIONS)]
    assert found[0] == ("video-bitrate", "warning", "8000 kbit/s", 600.0, "fixed")
    assert found[1] == ("video-bitrate", "warning", "9000 kbit/s", None, None)


def test_a_violation_whose_end_was_lost_does_not_stay_open(database: Database) -> None:
    """It opened and ended again before the database was back, and nothing is open now."""
    first, second = batch(entry("a")), batch(entry("a"), token="b")
    first.violations = [ViolationEvent(BITRATE, "a", 500.0, "text")]
    second.violations = [
        ViolationEvent(BITRATE, "a", 700.0, "text"),
        ViolationEvent(BITRATE, "a", 800.0, why="fixed"),
    ]
    second.all_violations = True
    written(database, first, second)
    assert database.load()[0].violations == {}
    assert [(row.opened, row.resolved, row.why) for row in rows(database, VIOLATIONS)] == [
        (500.0, 700.0, "not_seen"),
        (700.0, 800.0, "fixed"),
    ]


def test_what_is_open_now_replaces_what_was(database: Database) -> None:
    """After a restart or a reload, violations that nobody saw end have ended, and unknown ones are open."""
    first, second = batch(entry("a")), batch(entry("a"), token="b")
    first.violations = [ViolationEvent(BITRATE, "a", 500.0, "text"), ViolationEvent(BITRATE, "b", 500.0, "text")]
    second.all_violations = True
    second.open_violations = lambda: [ViolationEvent(BITRATE, "a", 500.0), ViolationEvent(COUNT, "", 650.0)]
    written(database, first, second)
    assert database.load()[0].violations == {BITRATE: {"a": 500.0}, COUNT: {"": 650.0}}
    ended = [row for row in rows(database, VIOLATIONS) if row.resolved is not None]
    assert [(row.task_id, row.resolved, row.why) for row in ended] == [("b", 900.0, ENDED_UNSEEN)]


def test_what_another_version_of_its_rule_finds_ended_when_that_began(database: Database) -> None:
    """A severity that a reload changes leaves no time with both, nor one of an age from before."""
    first, second = batch(entry("a")), batch(entry("a"), token="b")
    first.violations = [ViolationEvent(BITRATE, task_id, 500.0, "text") for task_id in ("a", "b")]
    second.all_violations = True
    now = (BITRATE[0], "critical", *BITRATE[2:])
    second.open_violations = lambda: [ViolationEvent(now, "a", 700.0), ViolationEvent(now, "b", 400.0)]
    written(database, first, second)
    found = {(row.task_id, row.severity): (row.opened, row.resolved) for row in rows(database, VIOLATIONS)}
    assert found == {
        ("a", "warning"): (500.0, 700.0),
        ("a", "critical"): (700.0, None),
        ("b", "warning"): (500.0, 900.0),
        ("b", "critical"): (400.0, None),
    }


def test_apps_do_not_touch_one_another(database: Database) -> None:
    """Tasks and violations of one app are replaced alone."""
    other = batch(entry("a"), app_id="other")
    other.violations = [ViolationEvent(BITRATE, "a", 500.0, "")]
    one = batch(token="b")
    one.all_violations = True
    found = {app.app_id: app for app in written(database, batch(entry("a")), other, one).load()}
    assert len(found["live"].entries) == 0
    assert len(found["other"].entries) == 1
    assert found["other"].violations == {BITRATE: {"a": 500.0}}


def test_foreign_texts_are_stored(database: Database) -> None:
    """A TaskId may hold anything, also a NUL, which PostgreSQL refuses; of two that are stored as one, one stays."""
    odd = entry("a\0b'; --\N{SNOWMAN}")
    (app,) = written(database, batch(odd, entry("a\N{SYMBOL FOR NULL}b'; --\N{SNOWMAN}"))).load()
    assert len(app.entries) == 1
    written(database, changed(odd, None))
    assert database.load()[0].entries == []
    assert rows(database, CHANGES)[0].task_id == "a\N{SYMBOL FOR NULL}b'; --\N{SNOWMAN}"


def test_tasks_of_another_version_leave_their_times(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this program can't read is not used, but for when tasks were first seen and violations opened."""
    one = batch(entry("a"))
    one.violations = [ViolationEvent(BITRATE, "a", 500.0, "")]
    written(database, one)
    monkeypatch.setattr(database_module, "SHAPE", "another")
    (app,) = database.load()
    assert (app.sweep, app.entries, app.first_seen) == (None, [], {"a": 100.0})
    assert app.violations == {BITRATE: {"a": 500.0}}


@pytest.mark.parametrize("shape", database_module.OLD_SHAPES)
def test_tasks_that_0_2_0_stored_are_read(database: Database, monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    """On every Python, which each had another name for the same types."""
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "SHAPE", shape)
        written(database, batch(entry("a")))
    assert [each.task_id for each in database.load()[0].entries] == ["a"]


def test_another_shape_has_another_name() -> None:
    """It is a digest of the types' fields. Docstrings are no part of it: Python 3.13 indents them otherwise."""

    def without_docstring(schema: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in schema.items() if name != "description" or isinstance(value, dict)}

    schemas = json.dumps([msgspec.json.schema(kind) for kind in (Task, Sweep)])
    fields = json.dumps(json.loads(schemas, object_hook=without_docstring), sort_keys=True)
    assert xxhash.xxh3_64_hexdigest(fields.encode()) == database_module.SHAPE


def test_a_newer_schema_is_refused(database: Database, url: str) -> None:
    """It is not touched, and the sentence says what to do."""
    written(database, batch(entry("a")))
    with database._engine.begin() as connection:
        connection.execute(SCHEMA.update(), {"version": 99})
    with pytest.raises(RefusedError, match="version 99, expected at most 1: use a newer exporter"):
        Database(url)
    assert len(rows(database, TASKS)) == 1


def test_old_rows_are_removed_in_portions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes and ended violations go; what is newer, and violations that are open, stay."""
    monkeypatch.setattr(database_module, "PRUNED_AT_ONCE", 2)
    one = batch(entry("a"))
    one.violations = [
        ViolationEvent(BITRATE, "a", 10.0, ""),
        ViolationEvent(BITRATE, "a", 20.0, why="fixed"),
        ViolationEvent(BITRATE, "a", 30.0, ""),
    ]
    changes = [changed(None, entry(f"task-{number}"), token=str(number)) for number in range(3)]
    written(database, one, *changes)
    assert database.prune(1000.0) is False
    assert [row.resolved for row in rows(database, VIOLATIONS)] == [None]
    assert len(rows(database, CHANGES)) == 3
    assert [database.prune(1006.0) for _ in range(2)] == [True, False]
    assert rows(database, CHANGES) == []


def test_a_file_shrinks_when_old_rows_are_removed(tmp_path: Path) -> None:
    """All pages that they took are given back, not one of them."""
    with closing(Database(f"sqlite:{tmp_path / 'rtcmpu.db'}")) as database:

        def pages() -> int:
            with database._engine.connect() as connection:
                return int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())

        empty = pages()
        one = changed(None, entry("a"))
        one.changes *= 400
        written(database, one)
        assert pages() > empty + 20
        database.prune(1006.0)
        assert pages() <= empty + 2


@pytest.mark.parametrize(
    ("configured", "unread_since", "before", "tasks", "ended"),
    [
        (["live", "gone"], 2000.0, 2000.0, 2, None),
        (["live"], 1009.0, 0.0, 2, None),
        (["live"], 1011.0, 1009.0, 2, 1010.0),
        (["live"], 2000.0, 2000.0, 1, 1010.0),
    ],
    ids=["configured", "read by another exporter", "removed", "removed long ago"],
)
def test_an_app_that_is_removed_is_forgotten(
    database: Database, configured: Sequence[str], unread_since: float, before: float, tasks: int, ended: float | None
) -> None:
    """Its violations end with its last reading, its tasks are kept as long as changes are; its past stays."""
    gone = batch(entry("b"), app_id="gone")
    gone.violations = [ViolationEvent(BITRATE, "b", 500.0, "text")]
    written(database, batch(entry("a")), gone)
    keys = [("prod", app_id) for app_id in configured]
    database.forget_removed(keys, unread_since=unread_since, before=before)
    (violation,) = rows(database, VIOLATIONS)
    assert (violation.resolved, violation.why) == (ended, None if ended is None else APP_REMOVED)
    assert sum(len(app.entries) for app in database.load()) == tasks


def test_the_size_is_that_of_all_tables(database: Database) -> None:
    """It grows with what is written."""
    before = database.size_bytes()
    database.write(batch(*(entry(f"task-{number}") for number in range(1000))))
    assert database.size_bytes() > before + 100_000


def test_only_the_owner_can_read_a_file(tmp_path: Path) -> None:
    """Nobody else on the machine learns what is configured."""
    database = written(Database(f"sqlite:{tmp_path / 'rtcmpu.db'}"), batch(entry("a")))
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    database.close()
