"""Batches for the database, and a writer that records what it reports."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from exporter.collector.inventory import Change, Entry
from exporter.collector.past import RuleVersion
from exporter.collector.status import Sweep
from exporter.core.clock import SystemClock
from exporter.core.task import DIGEST_BYTES, DIGEST_GROUPS, Task
from exporter.storage import database
from exporter.storage.batch import Batch, NoticedChange
from exporter.storage.writer import Writer
from tests.metrics.builders import PLAIN
from tests.support.monitored import until

BITRATE: RuleVersion = ("video-bitrate", "warning", "", "task.video.bitrate_kbps <= 3000")
FIRST, SECOND = "a", "b"
COUNT: RuleVersion = ("expect-tasks", "critical", "", "")


def entry(task_id: str, *, idle_timeout_seconds: int | None = None) -> Entry:
    """Return a task that was read in this process."""
    configuration = msgspec.structs.replace(PLAIN, idle_timeout_seconds=idle_timeout_seconds)
    digests = bytes(DIGEST_BYTES * len(DIGEST_GROUPS))
    return Entry.of(
        Task(task_id, "channel", configuration, 7, digests), first_seen=100.0, last_changed=200.0, sent_at=5.0
    )


def batch(*entries: Entry, app_id: str = "live", token: str = FIRST, sweep: float = 1000.0) -> Batch:
    """Return all tasks of an app."""
    return Batch(
        "prod",
        app_id,
        "https://live.example.com",
        Sweep(sweep, 1.5, 3, 0, 0, 1),
        sweep + 10,
        since=0.0,
        all_tasks=True,
        tasks={each.task.task_id: each for each in entries},
        token=token,
    )


def changed(
    before: Entry | None,
    after: Entry | None,
    *,
    token: str = SECOND,
    earliest: float | None = None,
    notes: tuple[str, ...] = (),
) -> Batch:
    """Return a batch with one change."""
    task = after or before
    assert task is not None
    one = batch(token=token)
    one.all_tasks, one.tasks = False, {task.task.task_id: after}
    one.changes = [NoticedChange(Change(before, after), 1005.0, earliest, notes)]
    return one


RETENTION_SECONDS = 1e12  # the batches of tests are of 1970


class RecordedWriter:
    """A writer, and what it reports."""

    def __init__(self, url: Callable[[], str]) -> None:
        self.incomplete: list[tuple[str, str] | None] = []
        self.bugs: list[Exception] = []
        self.writer = Writer(
            lambda: database.Database(url()),
            SystemClock(),
            retention_seconds=RETENTION_SECONDS,
            configured=[("prod", "live")],
            incomplete=self.incomplete.append,
            older=lambda _: None,
            failed=self.bugs.append,
        )

    async def has_written(self) -> None:
        """Wait until nothing waits."""
        await until(lambda: self.writer.up and self.writer.lag_seconds == 0)


@asynccontextmanager
async def writing(url: Callable[[], str]) -> AsyncIterator[RecordedWriter]:
    """Run a writer, and end it; a test takes the bugs that it expects."""
    one = RecordedWriter(url)
    await one.writer.start(30.0)
    try:
        yield one
    finally:
        await one.writer.close(30.0)
    assert one.bugs == []
