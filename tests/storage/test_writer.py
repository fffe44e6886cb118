"""The writer: what happens while the database can't be written, and when it can again."""

import asyncio
import sqlite3
import threading
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from structlog.testing import capture_logs

from exporter.collector.past import SavedApp
from exporter.core.clock import SystemClock
from exporter.storage import database as database_module
from exporter.storage import writer as writer_module
from exporter.storage.database import Database
from exporter.storage.tables import CHANGES
from exporter.storage.writer import Batch, ViolationEvent, Waiting, error_line, is_bug
from tests.storage.test_database import rows
from tests.support.batches import BITRATE, RETENTION_SECONDS, RecordedWriter, batch, changed, entry, writing
from tests.support.monitored import until
from tests.support.virtual_time import hanging_call

DOWN = OperationalError("INSERT secret", {}, sqlite3.OperationalError("database or disk is full"))


class Faults:
    """What a database on a file has done, and how it is to fail."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened = 0
        self.written: list[Batch] = []
        self.pauses: list[bool] = []
        self.pruned_before: list[float] = []
        self.unread_seconds: list[float] = []
        self.error: Exception | None = None
        self.error_after_commit: Exception | None = None

    def url(self) -> str:
        return f"sqlite:{self.path}"

    def check(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Faults:
    """Let a test decide when the database fails."""
    faults = Faults(tmp_path / "rtcmpu.db")

    class Failing(Database):
        def __init__(self, url: str) -> None:
            faults.opened += 1
            faults.check()
            super().__init__(url)

        def write(self, batch: Batch, *, pauses: bool = False) -> None:
            faults.check()
            super().write(batch, pauses=pauses)
            faults.written.append(batch)
            faults.pauses.append(pauses)
            error, faults.error_after_commit = faults.error_after_commit, None
            if error is not None:
                raise error

        def prune(self, before: float) -> bool:
            faults.pruned_before.append(before)
            return super().prune(before)

        def forget_removed(
            self, configured: Collection[tuple[str, str]], *, unread_since: float, before: float
        ) -> None:
            assert list(configured) == [("prod", "live")]
            faults.unread_seconds.append(unread_since - before)
            super().forget_removed(configured, unread_since=unread_since, before=before)

    monkeypatch.setattr(database_module, "Database", Failing)
    return faults


async def test_batches_are_written_in_their_order(faults: Faults) -> None:
    """Each has a token of its own; nothing lags afterwards, the size is known, and what is old goes."""
    async with writing(faults.url) as one:
        for number in range(2):
            one.write(batch(entry(f"task-{number}")))
            await one.has_written()
        await until(lambda: one.writer.size_bytes > 0)
    assert [list(each.tasks) for each in faults.written] == [["task-0"], ["task-1"]]
    assert len({each.token for each in faults.written}) == 2
    assert faults.pruned_before[0] == pytest.approx(SystemClock().now() - RETENTION_SECONDS, abs=60)
    assert faults.unread_seconds[0] == pytest.approx(RETENTION_SECONDS - 3600)


async def test_what_waits_is_written_together_when_the_database_is_back(faults: Faults) -> None:
    """The batch that failed comes first, unchanged; newer ones of the app are one. It is said once, without values."""
    a, b = entry("a"), entry("b")
    with capture_logs() as logs:
        async with writing(faults.url) as one:
            await until(lambda: one.writer.up)
            faults.error = DOWN
            one.write(batch(a))
            await until(lambda: not one.writer.up)
            for each in (changed(None, b), changed(b, None), batch(a, app_id="other")):
                one.write(each)
            assert one.writer.lag_seconds > 0
            faults.error = None
            await one.has_written()
    first, second, third = faults.written
    assert (list(first.tasks), first.all_tasks) == (["a"], True)
    assert (second.tasks, len(second.changes), second.all_tasks) == ({"b": None}, 2, False)
    assert third.app_id == "other"
    assert [(line["event"], line.get("reason")) for line in logs] == [
        ("database not available, what is new waits in memory", "database or disk is full"),
        ("database is written again", None),
    ]


async def test_a_commit_without_an_answer_is_not_made_twice(faults: Faults) -> None:
    """The same batch comes again with the same token, so that the database can tell."""
    async with writing(faults.url) as one:
        faults.error_after_commit = DOWN
        one.write(changed(None, entry("a")))
        await until(lambda: faults.opened == 2 and one.writer.lag_seconds == 0)
    with closing(Database(faults.url())) as database:
        assert len(rows(database, CHANGES)) == 1


async def test_what_waits_ends_with_its_lease(faults: Faults) -> None:
    """What was read under an earlier term of a lease is not written under the next one."""
    one = RecordedWriter(faults.url)
    for term in (1, 2):
        new = changed(None, entry(f"task-{term}"))
        new.lease = ("budget", term)
        one.write(new)
    waiting = one.writer.add(("prod", "live"), ("budget", 2))
    assert [each.change.task_id for each in waiting.changes] == ["task-2"]


async def test_too_many_changes_that_wait_are_lost_and_counted(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; the tasks are written all the same."""
    monkeypatch.setattr(writer_module, "MOST_WAITING", 3)
    async with writing(faults.url) as one:
        await until(lambda: one.writer.up)
        faults.error = DOWN
        one.write(batch())
        await until(lambda: not one.writer.up)
        for number in range(5):
            one.write(changed(None, entry(f"task-{number}")))
        assert one.writer.changes_lost == 2
        faults.error = None
        await one.has_written()
    with closing(Database(faults.url())) as database:
        assert [row.task_id for row in rows(database, CHANGES)] == ["task-2", "task-3", "task-4"]
        assert len(database.load()[0].entries) == 5


async def test_lost_events_of_violations_are_made_up_for(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are open are written when some are lost."""
    monkeypatch.setattr(writer_module, "MOST_WAITING", 3)
    opened = [ViolationEvent(BITRATE, str(number), 1.0, "") for number in range(4)]
    async with writing(faults.url) as one:
        await until(lambda: one.writer.up)
        faults.error = DOWN
        one.write(batch())
        await until(lambda: not one.writer.up)
        for events in (opened[:2], opened[2:]):
            newer = batch()
            newer.violations, newer.open_violations = events, lambda: [opened[0], opened[3]]
            one.write(newer)
        faults.error = None
        await one.has_written()
    with closing(Database(faults.url())) as database:
        assert database.load()[0].violations == {BITRATE: {"0": 1.0, "3": 1.0}}


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), *(kind("INSERT", {}, Exception("it is")) for kind in (DataError, IntegrityError))]
)
async def test_a_batch_that_can_never_be_written_stops_no_other(faults: Faults, error: Exception) -> None:
    """A bug is reported, its changes are counted as lost, and the next batch is written."""
    assert is_bug(error)
    async with writing(faults.url) as one:
        await until(lambda: faults.unread_seconds)  # nothing but the batch is due then
        faults.error = error
        one.write(changed(None, entry("a")))
        await until(lambda: one.bugs == [faults.error])
        one.bugs.clear()
        faults.error = None
        one.write(batch(entry("b")))
        await until(lambda: len(faults.written) == 1)
        assert one.writer.changes_lost == 1
        assert one.lost == []


async def test_a_batch_that_can_not_be_made_stops_no_other(faults: Faults) -> None:
    """Nor the writer's end: the bug is reported, its changes are counted as lost, and the next batch is written."""
    async with writing(faults.url) as one:
        make_batch = one.writer._batch_of

        def fail_for_bug(new: Waiting, stored: SavedApp | None) -> Batch | None:
            if new.app_id == "bug":
                raise ValueError("a bug")
            return make_batch(new, stored)

        one.writer._batch_of = fail_for_bug
        one.write(replace(changed(None, entry("a")), app_id="bug"))
        one.write(batch(entry("b")))
        await one.writer.close(30.0)
        assert [type(bug) for bug in one.bugs] == [ValueError]
        one.bugs.clear()
        assert [each.app_id for each in faults.written] == ["live"]
        assert one.writer.changes_lost == 1


@pytest.mark.parametrize("was_whole", [True, False])
@pytest.mark.parametrize(("portion", "tasks"), [(1, "ab"), (1, "abc"), (2, "abc"), (3, "abc")])
async def test_an_app_of_which_a_portion_could_not_be_written_is_not_whole(
    faults: Faults, monkeypatch: pytest.MonkeyPatch, portion: int, tasks: str, was_whole: bool
) -> None:
    """Whatever is written later, and was before: a restart would take that portion's tasks for new or other ones."""
    async with writing(faults.url) as one:
        if was_whole:
            one.write(batch(*map(entry, tasks), token="before"))
            await one.has_written()
        monkeypatch.setattr(writer_module, "TASKS_AT_ONCE", 1)
        make_batch, made = one.writer._batch_of, []

        def let_one_fail(new: Waiting, stored: SavedApp | None) -> Batch | None:
            made.append(batch := make_batch(new, stored))
            if len(made) == portion:
                batch.sweep = None  # type: ignore[union-attr]
            return batch

        one.writer._batch_of = let_one_fail
        one.write(batch(*map(entry, tasks)))
        await one.has_written()
        one.write(changed(None, entry("d")))
        await one.has_written()
        assert len(one.bugs) == 1
        one.bugs.clear()
    with closing(Database(faults.url())) as database:
        assert [app.sweep for app in database.load()] == [None]


async def test_portions_of_an_app_that_is_not_known_any_more_end(
    faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as of one that another endpoint has now, or a bug concerns: neither the writer nor its end waits for it."""
    monkeypatch.setattr(writer_module, "TASKS_AT_ONCE", 1)
    async with writing(faults.url) as one:
        make_batch = one.writer._batch_of
        one.writer._batch_of = lambda new, stored: None if faults.written else make_batch(new, stored)
        one.write(batch(*map(entry, "abc")))
        await one.has_written()
        assert len(faults.written) == 1


async def test_batches_that_can_never_be_written_do_not_keep_what_is_old(
    faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old changes are removed while one bug after another is reported."""
    monkeypatch.setattr(writer_module, "MAINTAIN_SECONDS", 0.3)
    async with writing(faults.url) as one:
        await until(lambda: faults.pruned_before)
        before = len(faults.pruned_before)
        async with asyncio.timeout(60):
            while len(faults.pruned_before) == before:
                faults.error_after_commit = ValueError("a bug")
                one.write(batch(entry("a")))
                await until(lambda: one.bugs)
                one.bugs.clear()


def test_a_thread_that_could_not_start_is_no_bug() -> None:
    """What waits is written when the system allows threads again."""
    assert not is_bug(RuntimeError("can't start new thread"))
    assert is_bug(RuntimeError("another"))


@pytest.mark.parametrize("error", [TimeoutError(), RuntimeError(), RuntimeError(" \n"), ValueError("no\n  disk")])
def test_whatever_fails_has_a_reason_in_one_line(error: Exception) -> None:
    """Exceptions without words have one, too: the log said `reason=""` for a database that does not answer."""
    line = error_line(error)
    assert line.strip()
    assert "\n" not in line


async def test_an_app_whose_last_batch_was_lost_is_written_again(faults: Faults) -> None:
    """A database that is back may be an empty one, or a standby that has lost what was confirmed."""
    async with writing(faults.url) as one:
        for app_id in ("kept", "lost"):
            one.write(batch(entry("a"), app_id=app_id))
        await one.has_written()
        faults.error = DOWN
        one.write(batch(entry("b"), app_id="kept"))
        await until(lambda: not one.writer.up)
        with closing(sqlite3.connect(faults.path)) as connection:
            connection.execute("DELETE FROM apps WHERE app_id = 'lost'")
            connection.commit()
        faults.error = None
        await one.has_written()
        assert one.lost == [("prod", "lost")]


async def test_a_failure_that_lost_nothing_lets_nothing_be_written_again(faults: Faults) -> None:
    """Such as a short lock, or a commit whose answer was lost."""
    async with writing(faults.url) as one:
        one.write(batch(entry("a")))
        await one.has_written()
        faults.error_after_commit = DOWN
        one.write(changed(entry("a"), None))
        await until(lambda: not one.writer.up)
        await one.has_written()
        assert one.lost == []


async def test_a_stop_writes_without_pauses(faults: Faults) -> None:
    """Pauses between rows leave the processor to scrapes, of which there are none any more."""
    async with writing(faults.url) as one:
        one.write(batch(entry("a")))
        await one.has_written()
        one.write(batch(entry("b")))
    first, *last = faults.pauses
    assert (first, set(last)) == (True, {False})


async def test_a_change_does_not_wait_for_an_app_that_is_written_anew(
    faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tasks are written in many transactions; one with changes comes between them, also of the same app."""
    monkeypatch.setattr(writer_module, "TASKS_AT_ONCE", 10)
    async with writing(faults.url) as one:
        for app_id in ("large", "live"):
            one.write(batch(*(entry(f"task-{number}") for number in range(300)), app_id=app_id))
        await until(lambda: len(faults.written) >= 2)
        one.write(changed(None, entry("a")))
        before = len(faults.written)
        await one.has_written()
        places = [place for place, each in enumerate(faults.written) if each.changes]
        assert before <= places[0] <= before + 1
        assert len(faults.written) == 60
    with closing(Database(faults.url())) as database:
        assert sorted(len(app.entries) for app in database.load()) == [300, 301]


async def test_changes_of_others_do_not_keep_an_app_from_being_written(faults: Faults) -> None:
    """Where a database is as slow as changes come, tasks and times of an app without changes are written, too."""
    async with writing(faults.url) as one:
        make_batch, made = one.writer._batch_of, []

        def add_another_change(new: Waiting, stored: SavedApp | None) -> Batch | None:
            made.append(batch := make_batch(new, stored))
            if new.app_id != "quiet" and len(made) < 50:
                one.write(replace(changed(None, entry("a")), app_id=f"busy-{len(made) % 2}"))
            return batch

        one.writer._batch_of = add_another_change
        for number in range(2):
            one.write(replace(changed(None, entry("a")), app_id=f"busy-{number}"))
        one.write(batch(entry("b"), app_id="quiet"))
        await one.has_written()
        assert [each.app_id for each in faults.written].index("quiet") < 20


async def test_a_stop_writes_what_waits(faults: Faults) -> None:
    """Nothing that was handed over before is left; if the database is away, the log says that something is lost."""
    with capture_logs() as logs:
        async with writing(faults.url) as one:
            for number in range(100):
                one.write(changed(None, entry(f"task-{number}")))
        assert {task_id for each in faults.written for task_id in each.tasks} == {f"task-{n}" for n in range(100)}
        assert logs == []
        faults.error = DOWN
        async with writing(faults.url) as one:
            one.write(batch(entry("a")))
    assert "database not written in time, the last changes are lost" in [line["event"] for line in logs]


async def test_a_database_that_hangs_keeps_neither_start_nor_stop(
    faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both wait for as long as they were told, or are cancelled; what hung leaves no connection when it returns."""
    before = set(threading.enumerate())
    with hanging_call() as hang:
        monkeypatch.setattr(Database, "load", lambda _: hang() or [])
        one, cancelled = RecordedWriter(faults.url), RecordedWriter(lambda: f"{faults.url()}.other")
        assert await asyncio.wait_for(one.writer.load(0.05), 60) == []
        await asyncio.wait_for(one.writer.close(0.05), 60)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(cancelled.writer.load(60), 0.05)
    await until(lambda: "write database" not in {thread.name for thread in set(threading.enumerate()) - before})
    assert (one.writer._database, cancelled.writer._database) == (None, None)
