"""The writer: what happens while the database can't be written, and when it can again."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from exporter.core.clock import SystemClock
from exporter.storage import batch as batch_module
from exporter.storage import database as database_module
from exporter.storage import writer as writer_module
from exporter.storage.batch import Batch, SavedApp
from exporter.storage.writer import Writer
from tests.support.batches import batch, changed, entry
from tests.support.hanging import hanging_call
from tests.support.monitored import until

DOWN = OperationalError("INSERT secret", {}, sqlite3.OperationalError("database or disk is full"))


class FakeDatabase:
    """Takes batches, unless a test lets it fail."""

    def __init__(self) -> None:
        self.written: list[Batch] = []
        self.opened = 0
        self.error: Exception | None = None
        self.error_after_commit: Exception | None = None
        self.pruned_before: list[float] = []

    def __call__(self, _url: str) -> "FakeDatabase":
        """Open it."""
        self.opened += 1
        self._fail()
        return self

    def close(self) -> None:
        """Close it."""

    def load(self) -> list[SavedApp]:
        """Return nothing."""
        return []

    def write(self, batch: Batch) -> None:
        """Take a batch once, as the real one does."""
        self._fail()
        if not self.written or self.written[-1].token != batch.token:
            self.written.append(batch)
        if (error := self.error_after_commit) is not None:
            self.error_after_commit = None
            raise error

    def prune(self, before: float) -> bool:
        """Note the time."""
        self._fail()
        self.pruned_before.append(before)
        return False

    def forget_removed(self, configured: Collection[tuple[str, str]], *, unread_since: float, before: float) -> None:
        """Note what counts as removed."""
        assert list(configured) == [("prod", "live")]
        assert unread_since - before == pytest.approx(3600)

    def size_bytes(self) -> int:
        """Return a size."""
        return 4096

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


class Recorded:
    """A writer on a fake database, and what it tells."""

    def __init__(self, database: FakeDatabase) -> None:
        self.database = database
        self.incomplete: list[tuple[str, str] | None] = []
        self.bugs: list[Exception] = []
        self.writer = Writer(
            lambda: "sqlite:x",
            SystemClock(),
            retention_seconds=7200.0,
            configured=[("prod", "live")],
            incomplete=self.incomplete.append,
            older=lambda _: None,
            failed=self.bugs.append,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something."""
        await until(condition)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    """Use a fake database, without pauses that last."""
    fake = FakeDatabase()
    monkeypatch.setattr(database_module, "Database", fake)
    monkeypatch.setattr(writer_module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(writer_module, "LONGEST_PAUSE_SECONDS", 0.02)
    return fake


@asynccontextmanager
async def running(database: FakeDatabase) -> AsyncIterator[Recorded]:
    """Run a writer, and end it."""
    one = Recorded(database)
    await one.writer.start(5.0)
    try:
        yield one
    finally:
        await one.writer.close(5.0)


async def test_batches_are_written_in_their_order(database: FakeDatabase) -> None:
    """Each has a token of its own; nothing lags afterwards, and the size is known."""
    async with running(database) as one:
        one.writer.write(batch(entry("a")))
        await one.until(lambda: len(database.written) == 1)
        one.writer.write(batch(entry("b")))
        await one.until(lambda: len(database.written) == 2)
        await one.until(lambda: one.writer.lag_seconds == 0)
        await one.until(lambda: one.writer.size_bytes == 4096)
        assert one.writer.up
    assert len({each.token for each in database.written}) == 2


async def test_what_waits_is_written_together_when_the_database_is_back(database: FakeDatabase) -> None:
    """The batch that failed comes first, unchanged; newer ones of the app are one. It is said once, without values."""
    a, b = entry("a"), entry("b")
    with capture_logs() as logs:
        async with running(database) as one:
            await one.until(lambda: one.writer.up)
            database.error = DOWN
            one.writer.write(batch(a))
            await one.until(lambda: not one.writer.up)
            one.writer.write(changed(None, b))
            one.writer.write(changed(b, None))
            one.writer.write(batch(a, app_id="other"))
            assert one.writer.lag_seconds > 0
            database.error = None
            await one.until(lambda: len(database.written) == 3)
            await one.until(lambda: one.writer.up and one.writer.lag_seconds == 0)
    first, second, third = database.written
    assert (list(first.tasks), first.all_tasks) == (["a"], True)
    assert (second.tasks, len(second.changes), second.all_tasks) == ({"b": None}, 2, False)
    assert third.app_id == "other"
    said = [(line["event"], line.get("reason")) for line in logs]
    assert said == [
        ("database not available, what is new waits in memory", "database or disk is full"),
        ("database is written again", None),
    ]


async def test_a_commit_without_an_answer_is_not_made_twice(database: FakeDatabase) -> None:
    """The same batch comes again with the same token, so that the database can tell."""
    async with running(database) as one:
        database.error_after_commit = DOWN
        one.writer.write(changed(None, entry("a")))
        await one.until(lambda: database.opened == 2 and one.writer.lag_seconds == 0)
    assert len(database.written) == 1


async def test_too_many_changes_that_wait_are_lost_and_counted(
    database: FakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go; the tasks are written all the same."""
    monkeypatch.setattr(batch_module, "MOST_WAITING", 3)
    async with running(database) as one:
        await one.until(lambda: one.writer.up)
        database.error = DOWN
        one.writer.write(batch())
        await one.until(lambda: not one.writer.up)
        for number in range(5):
            one.writer.write(changed(None, entry(f"task-{number}")))
        assert one.writer.changes_lost == 2
        database.error = None
        await one.until(lambda: len(database.written) == 2)
    assert len(database.written[1].tasks) == 5
    assert [each.change.after.task_id for each in database.written[1].changes if each.change.after] == [
        "task-2",
        "task-3",
        "task-4",
    ]


async def test_a_batch_that_can_never_be_written_stops_no_other(database: FakeDatabase) -> None:
    """A bug is reported, its changes are counted as lost, and the next batch is written."""
    async with running(database) as one:
        await one.until(lambda: one.writer.up)
        database.error = ValueError("a bug")
        one.writer.write(changed(None, entry("a")))
        await one.until(lambda: len(one.bugs) == 1)
        database.error = None
        one.writer.write(batch(entry("b")))
        await one.until(lambda: len(database.written) == 1)
        assert one.writer.changes_lost == 1


async def test_everything_is_written_again_after_damage(database: FakeDatabase) -> None:
    """The file was moved aside, so all apps are asked for."""
    async with running(database) as one:
        database.error = database_module.CorruptError("malformed")
        one.writer.write(batch(entry("a")))
        await one.until(lambda: None in one.incomplete)
        database.error = None
        await one.until(lambda: len(database.written) == 1)


async def test_a_stop_writes_what_waits(database: FakeDatabase) -> None:
    """Nothing that was handed over before is left."""
    async with running(database) as one:
        for number in range(100):
            one.writer.write(changed(None, entry(f"task-{number}")))
    assert {task_id for each in database.written for task_id in each.tasks} == {
        f"task-{number}" for number in range(100)
    }


async def test_a_database_that_is_away_keeps_neither_start_nor_stop(database: FakeDatabase) -> None:
    """A start goes on without data, and a stop says that something is lost."""
    database.error = DOWN
    with capture_logs() as logs:
        async with running(database) as one:
            one.writer.write(batch(entry("a")))
    assert "database not written in time, the last changes are lost" in [line["event"] for line in logs]


async def test_a_database_that_hangs_keeps_neither_start_nor_stop(
    database: FakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both wait for as long as they were told, and the event loop goes on."""
    before = set(threading.enumerate())
    with hanging_call() as hang:
        monkeypatch.setattr(FakeDatabase, "load", hang)
        one = Recorded(database)
        assert await asyncio.wait_for(one.writer.start(0.05), 20) == []
        await asyncio.wait_for(one.writer.close(0.05), 20)
    await until(lambda: "write database" not in {thread.name for thread in set(threading.enumerate()) - before})


async def test_old_rows_are_removed_by_age(database: FakeDatabase) -> None:
    """Retention counts back from now."""
    async with running(database) as one:
        await one.until(lambda: bool(database.pruned_before))
        assert database.pruned_before[0] == pytest.approx(SystemClock().now() - 7200, abs=60)
