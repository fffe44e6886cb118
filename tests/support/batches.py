"""Batches for the database, and a writer that records what it reports."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from exporter.collector.inventory import Change, Entry
from exporter.collector.past import RuleVersion, SavedApp
from exporter.collector.status import Sweep
from exporter.core.clock import SystemClock
from exporter.core.task import DIGEST_BYTES, DIGEST_GROUPS, Task
from exporter.storage import database
from exporter.storage.writer import Batch, NoticedChange, Waiting, Writer
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
        since=0.0,
        all_tasks=True,
        endpoint="https://live.example.com",
        sweep=Sweep(sweep, 1.5, 3, 0, 0, 1),
        last_update=sweep + 10,
        made=900.0,
        tasks={each.task.task_id: each for each in entries},
        known={each.task.task_id for each in entries},
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
    """A writer, what it reports, and what is known of the apps that it writes."""

    def __init__(self, url: Callable[[], str]) -> None:
        self.lost: list[tuple[str, str]] = []
        self.bugs: list[Exception] = []
        self._apps: dict[tuple[str, str], Batch] = {}
        self.writer = Writer(
            lambda: database.Database(url()),
            SystemClock(),
            retention_seconds=RETENTION_SECONDS,
            configured=[("prod", "live")],
            batch_of=self._batch_of,
            lost=self.lost.append,
            failed=self.bugs.append,
        )

    def write(self, new: Batch) -> None:
        """Let the writer have what is new of an app."""
        app = (new.account, new.app_id)
        waiting = self.writer.add(app, new.lease, new.changes, new.violations)
        waiting.all_tasks |= new.all_tasks
        waiting.all_violations |= new.all_violations
        tasks = {} if new.all_tasks or app not in self._apps else self._apps[app].tasks
        self._apps[app] = msgspec.structs.replace(new, tasks=tasks | new.tasks)

    def is_waiting(self, app_id: str) -> bool:
        """Whether anything of an app is not written."""
        return any(each.app_id == app_id for each in self.writer._unwritten())

    def _batch_of(self, new: Waiting, _stored: SavedApp | None) -> Batch:
        app = self._apps[new.account, new.app_id]
        known = {name: getattr(app, name) for name in ("endpoint", "sweep", "last_update", "made", "open_violations")}
        if new.all_tasks:
            new.task_ids.update(app.tasks)
        tasks = {task_id: app.tasks[task_id] for task_id in new.take_task_ids()}
        return Batch(**msgspec.structs.asdict(new), **known, tasks=tasks, known=app.tasks)

    async def has_written(self) -> None:
        """Wait until nothing waits."""
        await until(lambda: self.writer.up and self.writer.lag_seconds == 0)


@asynccontextmanager
async def writing(url: Callable[[], str]) -> AsyncIterator[RecordedWriter]:
    """Run a writer, and end it; a test takes the bugs that it expects."""
    one = RecordedWriter(url)
    one.writer.start(lambda run: run())
    try:
        yield one
    finally:
        await one.writer.close(30.0)
    assert one.bugs == []
