"""The past: what the database answers, and that memory answers the same."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from exporter.collector.inventory import Entry
from exporter.collector.past import FieldChange, History, HistoryError, HistoryFilter, PastViolation
from exporter.collector.task_diff import FIELD_GROUPS, KINDS
from exporter.core.push_auth import HostSetting, PushAuthSettings
from exporter.core.task import Output
from exporter.storage import stored_past
from exporter.storage.database import Database, engine_of
from exporter.storage.stored_past import StoredPast, read_changes
from exporter.storage.writer import ViolationEvent
from tests.metrics.builders import PLAIN
from tests.support.batches import BITRATE, COUNT, batch, changed, entry
from tests.support.monitored import until
from tests.support.virtual_time import SetClock


@pytest.fixture
def filled(database: Database) -> Database:
    """Write some changes and violations of two apps."""
    a, b = entry("a"), entry("a", idle_timeout_seconds=60)
    first, other = batch(a), batch(app_id="other")
    first.violations = [
        ViolationEvent(BITRATE, "a", 500.0, "8000 kbit/s"),
        ViolationEvent(BITRATE, "a", 600.0, why="fixed"),
        ViolationEvent(COUNT, "", 700.0, "too many"),
    ]
    other.violations = [ViolationEvent(BITRATE, "x", 650.0, ""), ViolationEvent(BITRATE, "x", 800.0, why="removed")]
    for number, each in enumerate((first, other, changed(a, b), changed(None, entry("c")), changed(entry("c"), None))):
        each.token = str(number)
        database.write(each)
    return database


CHANGES: Sequence[tuple[dict[str, Any], Sequence[int]]] = (
    ({}, [3, 2, 1]),
    ({"account": "prod", "app_id": "live"}, [3, 2, 1]),
    ({"app_id": "other"}, []),
    ({"task_id": "c"}, [3, 2]),
    ({"change": "modified"}, [1]),
    ({"field": "idle_timeout"}, [1]),
    ({"field": "idle_timeout", "change": "added"}, []),
    ({"field": "video"}, []),
    ({"before": 3}, [2, 1]),
    ({"limit": 2}, [3, 2]),
    ({"since": 1005.0}, [3, 2, 1]),
    ({"since": 1006.0}, []),
    ({"until": 1004.0}, []),
)


@pytest.mark.parametrize(("wanted", "expected"), CHANGES)
@pytest.mark.usefixtures("filled")
async def test_changes_are_found_in_the_database_as_in_memory(
    stored: StoredPast, wanted: dict[str, Any], expected: Sequence[int]
) -> None:
    """Each filter leaves the same changes, newest first."""
    history = History(SetClock(1005.0))
    modified, added, removed = entry("a", idle_timeout_seconds=60), entry("c"), entry("c")
    for one in (changed(entry("a"), modified), changed(None, added), changed(removed, None)):
        history.record("prod", "live", [each.change for each in one.changes])
    for past in (stored, history):
        assert [change.number for change in await past.changes(HistoryFilter(**wanted))] == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [("", None), ("x", 800.0), ("a", 600.0)]),
        ({"ended": True}, [("x", 800.0), ("a", 600.0)]),
        ({"ended": True, "since": 700.0}, [("x", 800.0)]),
        ({"ended": True, "until": 700.0}, [("a", 600.0)]),
        ({"app_id": "live", "ended": True}, [("a", 600.0)]),
        ({"rule": "video-bitrate", "task_id": "a"}, [("a", 600.0)]),
        ({"severity": "critical"}, [("", None)]),
    ],
)
@pytest.mark.usefixtures("filled")
async def test_violations_are_found_from_open_to_resolved(
    stored: StoredPast, wanted: dict[str, Any], expected: Sequence[tuple[str, float | None]]
) -> None:
    """Each filter leaves the same violations in the database and in memory, which remembers those that have ended."""
    memory = History(SetClock(1005.0))
    for number, (app_id, task_id, opened, resolved, why) in enumerate(
        [("live", "a", 500.0, 600.0, "fixed"), ("other", "x", 650.0, 800.0, "removed")]
    ):
        memory.ended(PastViolation(number, "prod", app_id, task_id, BITRATE[0], BITRATE[1], "", opened, resolved, why))
    assert [(each.task_id, each.resolved) for each in await stored.violations(HistoryFilter(**wanted))] == expected
    found = [(each.task_id, each.resolved) for each in await memory.violations(HistoryFilter(**wanted))]
    assert found == [each for each in expected if each[1] is not None]
    assert {tuple(app) for app in await stored.apps()} == {("prod", "live"), ("prod", "other")}
    assert await stored.remembered_since(inf) == 1005.0


async def test_pages_follow_the_times_and_hold_each_row_once(database: Database, stored: StoredPast) -> None:
    """What was noticed before is written later after an outage; a cursor stays where it is while new rows come."""
    times = [1005.0, 1001.0, 1005.0, 1003.0, 1001.0]
    for number, noticed in enumerate(times):
        one = changed(None, entry(str(number)), token=str(number))
        one.changes = [msgspec.structs.replace(one.changes[0], noticed=noticed)]
        one.violations = [
            ViolationEvent(BITRATE, str(number), 100.0 - number, ""),
            ViolationEvent(BITRATE, str(number), noticed, why="fixed"),
        ]
        database.write(one)
    for read, ended, expected in (
        (stored.changes, False, [3, 1, 4, 5, 2]),
        (stored.violations, False, [1, 2, 3, 4, 5]),
        (stored.violations, True, [3, 1, 4, 5, 2]),
    ):
        found: list[int] = []
        while page := await read(HistoryFilter(limit=2, ended=ended, before=found[-1] if found else None)):
            found += [each.number for each in page]
            if len(found) == 2 and read == stored.changes:
                database.write(changed(None, entry("new"), token="new"))
        assert found == expected
    assert await stored.changes(HistoryFilter(before=99)) == []


async def test_changes_name_the_signer_that_is_configured(database: Database, stored: StoredPast) -> None:
    """Where two vendors share a form, changes in the database and in memory name the one of the host's setting."""
    output = Output("rtmp", "push.example.com", None, has_userinfo=False, signer="alibaba")
    configuration = msgspec.structs.replace(PLAIN, outputs=(output,))
    before, after = (
        Entry.of(
            msgspec.structs.replace(entry("a").task, configuration=configuration, push_times=time.to_bytes(4, "big")),
            first_seen=100.0,
            last_changed=200.0,
            sent_at=5.0,
        )
        for time in (1_893_456_000, 1_896_134_400)
    )
    one, history = changed(before, after), History(SetClock(1005.0))
    one.push_auth = PushAuthSettings((HostSetting("*.example.com", 60, "huawei"),))
    database.write(one)
    history.record("prod", "live", [each.change for each in one.changes], push_auth=one.push_auth)
    expected = FieldChange("push_keys", "huawei 2030-01-01T00:00:00Z", "huawei 2030-02-01T00:00:00Z")
    for past in (stored, history):
        assert [change.fields for change in await past.changes(HistoryFilter())] == [(expected,)]


_OF_APP = "(app_id=? AND noticed>? AND noticed<?)"


@pytest.mark.parametrize(
    ("wanted", "plan"),
    [
        ({}, "SEARCH changes USING INDEX ix_changes_noticed (noticed>? AND noticed<?)"),
        ({"account": "prod", "app_id": "live"}, f"SEARCH changes USING INDEX ix_changes_app {_OF_APP}"),
        ({"app_id": "live"}, f"SEARCH changes USING INDEX ix_changes_app {_OF_APP}"),
        (
            {"account": "prod", "app_id": "live", "task_id": "a"},
            "SEARCH changes USING INDEX ix_changes_task (task_id=?",
        ),
        ({"task_id": "a"}, "SEARCH changes USING INDEX ix_changes_task (task_id=?"),
        *(
            ({"change": kind}, f"SEARCH changes USING INDEX ix_changes_{kind} (noticed>? AND noticed<?)")
            for kind in KINDS
        ),
        *(
            ({"field": group}, f"SEARCH changes USING INDEX ix_changes_{group} (noticed>? AND noticed<?)")
            for group in FIELD_GROUPS
        ),
        *(
            ({"app_id": "live", "field": group}, f"SEARCH changes USING INDEX ix_changes_app_{group} {_OF_APP}")
            for group in FIELD_GROUPS
        ),
        ({"app_id": "live", "change": "removed"}, f"SEARCH changes USING INDEX ix_changes_app_removed {_OF_APP}"),
    ],
)
def test_the_newest_changes_follow_an_index(tmp_path: Path, wanted: dict[str, Any], plan: str) -> None:
    """SQLite neither reads all changes nor sorts many: an index has those that are wanted in their order."""
    plans: list[str] = []
    with closing(Database(f"sqlite:{tmp_path / 'rtcmpu.db'}")) as database, database._engine.connect() as connection:

        @event.listens_for(connection, "before_cursor_execute")
        def explain(*call: Any) -> None:
            _, cursor, statement, parameters, *_ = call
            plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall())

        assert read_changes(connection, HistoryFilter(**wanted)) == []
    assert plans[0].startswith(plan)
    assert len(plans) == 1 or wanted == {"task_id": "a"}


@pytest.mark.usefixtures("database")
async def test_a_question_leaves_no_connection(stored: StoredPast, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is replaced, or a server that the exporter leaves, is not kept open by what was read before."""
    opened: list[object] = []

    def make(url: str, **options: Any) -> Engine:
        engine = engine_of(url, **options)
        event.listen(engine, "connect", lambda connection, _: opened.append(connection))
        event.listen(engine, "close", lambda connection, _: opened.remove(connection))
        return engine

    monkeypatch.setattr(stored_past, "engine_of", make)
    was_open = []
    await stored._read(lambda _: was_open.append(len(opened)))
    assert (was_open, opened) == ([1], [])


async def test_a_page_outlives_the_replacement_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that comes before the writer has begun another file is answered when it has."""
    monkeypatch.setattr(stored_past, "AGAIN_SECONDS", 0.5)
    url = f"sqlite:{tmp_path / 'rtcmpu.db'}"
    reading = asyncio.create_task(StoredPast(lambda: url).apps())
    await until((tmp_path / "rtcmpu.db").exists)

    def begin() -> bool:
        try:
            Database(url).close()
        except OperationalError:  # the reader has just locked it; the writer tries again, too
            return False
        return True

    await until(begin)
    assert await reading == []


async def test_notes_come_back(database: Database, stored: StoredPast) -> None:
    """One, both or none of the notes of a change."""
    several: Sequence[tuple[str, ...]] = (
        (),
        ("probably_restarted",),
        ("stream_reused_too_early", "probably_restarted"),
    )
    for number, notes in enumerate(several):
        database.write(changed(entry("a"), entry("a", idle_timeout_seconds=60), token=str(number), notes=notes))
    assert [change.notes for change in reversed(await stored.changes(HistoryFilter()))] == list(several)


async def test_a_database_that_is_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is a sentence without an address, and the next question asks the database that is configured then."""
    (tmp_path / "state").write_text("a file where a directory is expected")
    monkeypatch.setattr(stored_past, "AGAIN_SECONDS", 0.0)
    urls = [f"sqlite:{tmp_path / 'state' / 'db'}", f"sqlite:{tmp_path / 'db'}"]
    past = StoredPast(lambda: urls[0])
    with pytest.raises(HistoryError, match="the database is not available: see the exporter's log"):
        await past.changes(HistoryFilter())
    del urls[0]
    Database(urls[0]).close()
    assert await past.apps() == []
