"""The accepted tasks of one app, and what changes in them."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from exporter.collect.listing import Fresh
from exporter.task import Task

SUPERSEDED_FOR_SECONDS: Final = 2.0
"""For so long a version that was replaced, or a task that was removed, is not believed when it is read again: a
replica behind the service may lag by a second. Who really changes a task back sees it that much later."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One accepted task. Times are wall-clock seconds, of when it was noticed here."""

    task: Task
    first_seen: float
    last_changed: float
    sent_at: float
    """Monotonic seconds: when the request that brought this version was sent."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """One task that was added (nothing before), removed (nothing after) or modified."""

    before: Task | None
    after: Task | None


class Inventory:
    """The tasks of one app that were accepted, by TaskId.

    Only whole readings and rows that were really read change it, each in one synchronous step.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._task_ids: dict[int, str] = {}
        self._superseded: dict[int, float] = {}
        self._expiries: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, task_id: str) -> Entry | None:
        """Return a task's entry; None where it is not known."""
        return self._entries.get(task_id)

    def task_id_of(self, row_digest: int) -> str | None:
        """Return whose current row has this digest; None: the row is new or changed."""
        return self._task_ids.get(row_digest)

    def restore(self, entries: Iterable[Entry]) -> list[Change]:
        """Begin with tasks that were accepted before; return each as one that was added."""
        changes = []
        for entry in entries:
            self._put(entry)
            changes.append(Change(before=None, after=entry.task))
        return changes

    def unseen(self, seen: set[str], *, settled_before: float) -> list[str]:
        """Return the TaskIds that are not in `seen`, of tasks as they were before a monotonic time."""
        return [
            task_id
            for task_id, entry in self._entries.items()
            if task_id not in seen and entry.sent_at < settled_before
        ]

    def accept(self, rows: Iterable[Fresh], *, now: float) -> list[Change]:
        """Take in rows that were read; the newest reading of a task wins.

        Args:
            rows: rows that were new or changed when they were read.
            now: wall-clock seconds.

        Returns:
            What changed. A row that is only spelled otherwise is no change.
        """
        changes = []
        for fresh in rows:
            change = self._accept_row(fresh, now)
            if change is not None:
                changes.append(change)
        return changes

    def remove(self, task_ids: Iterable[str], *, settled_before: float, at: float) -> list[Change]:
        """Take out tasks that are gone.

        Args:
            task_ids: one that is not known any more, or that was read anew meanwhile, is left alone.
            settled_before: monotonic seconds: what was read later was created again.
            at: monotonic seconds.
        """
        changes = []
        for task_id in task_ids:
            entry = self._entries.get(task_id)
            if entry is not None and entry.sent_at < settled_before:
                del self._entries[task_id]
                self._supersede(entry.task, at)
                changes.append(Change(before=entry.task, after=None))
        return changes

    def _accept_row(self, fresh: Fresh, now: float) -> Change | None:
        task = fresh.task
        entry = self._entries.get(task.task_id)
        if self._is_superseded(task.row_digest, fresh.sent_at):
            return None
        if entry is None:
            self._put(Entry(task, first_seen=now, last_changed=now, sent_at=fresh.sent_at))
            return Change(before=None, after=task)
        if fresh.sent_at < entry.sent_at or task.row_digest == entry.task.row_digest:
            return None
        self._supersede(entry.task, fresh.sent_at)
        same = task.same_content(entry.task)
        last_changed = entry.last_changed if same else now
        self._put(Entry(task, first_seen=entry.first_seen, last_changed=last_changed, sent_at=fresh.sent_at))
        return None if same else Change(before=entry.task, after=task)

    def _put(self, entry: Entry) -> None:
        self._entries[entry.task.task_id] = entry
        self._task_ids[entry.task.row_digest] = entry.task.task_id

    def _supersede(self, task: Task, at: float) -> None:
        """Forget a version, and don't believe it for a while."""
        self._task_ids.pop(task.row_digest, None)
        self._superseded[task.row_digest] = at + SUPERSEDED_FOR_SECONDS
        self._expiries.append((at + SUPERSEDED_FOR_SECONDS, task.row_digest))

    def _is_superseded(self, row_digest: int, sent_at: float) -> bool:
        while self._expiries and self._expiries[0][0] <= sent_at:
            expiry, expired = self._expiries.popleft()
            if self._superseded.get(expired) == expiry:
                del self._superseded[expired]
        return self._superseded.get(row_digest, 0.0) > sent_at
