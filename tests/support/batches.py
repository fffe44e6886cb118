"""Batches for the database."""

import msgspec

from exporter.collector.entry import Entry
from exporter.collector.inventory import Change
from exporter.collector.past import RuleVersion
from exporter.collector.status import Sweep
from exporter.core.task import DIGEST_BYTES, DIGEST_GROUPS, Task
from exporter.storage.batch import Batch, NoticedChange
from tests.metrics.builders import PLAIN

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
