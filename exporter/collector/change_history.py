"""What has changed lately: the newest changes in memory, and a log line for each."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import structlog
from msgspec import Struct

from exporter.collector.change_notes import ChangeNotes
from exporter.collector.inventory import Change
from exporter.collector.task_diff import FIELD_GROUPS, Shown, changed_fields, kind_of, shown
from exporter.core.clock import Clock
from exporter.core.push_auth import DEFAULTS, PushAuthSettings

NEWEST: Final = 10_000
LINES_PER_SECOND: Final = 20


class FieldChange(Struct, frozen=True):
    """One group of fields of a modified task, in words that may be shown."""

    field: str
    before: Shown
    after: Shown


def field_changes(change: Change, push_auth: PushAuthSettings) -> tuple[FieldChange, ...]:
    """Return the groups of fields that a change changed; of a task that came or went, all that are set."""
    before, after = (None if entry is None else entry.task for entry in (change.before, change.after))
    names = changed_fields(before, after) if before and after else FIELD_GROUPS
    found = (
        FieldChange(name, *(None if task is None else shown(task, name, push_auth) for task in (before, after)))
        for name in names
    )
    return tuple(each for each in found if names is not FIELD_GROUPS or (each.before, each.after) != (None, None))


class RecordedChange(Struct, frozen=True):
    """One change of one task."""

    number: int  # rises by one with each change of this process
    noticed: float  # Wall-clock seconds
    account: str
    app_id: str
    task_id: str
    change: str  # added, removed or modified
    fields: tuple[FieldChange, ...]  # of a task that came or went what was set, if that is known
    earliest: float | None = None  # wall-clock seconds after which it happened, if not since the update before
    notes: tuple[str, ...] = ()  # see `change_notes`


class History:
    """Remembers the newest changes of all apps and logs each, up to this many a second."""

    def __init__(self, clock: Clock, *, newest: int = NEWEST, lines_per_second: int = LINES_PER_SECOND) -> None:
        self._clock = clock
        self._changes: deque[RecordedChange] = deque(maxlen=newest)
        self._recorded = 0
        self._began = clock.now()
        self._lines_per_second = lines_per_second
        self._second = 0
        self._lines = 0
        self._unlogged = 0
        self._notes = ChangeNotes()

    def record(
        self,
        account: str,
        app_id: str,
        changes: Sequence[Change],
        *,
        earliest: float | None = None,
        push_auth: PushAuthSettings = DEFAULTS,
    ) -> tuple[RecordedChange, ...]:
        """Remember and log changes that were just noticed; return them as they are remembered."""
        now = self._clock.now()
        notes = self._notes.of(changes, self._clock.monotonic(), times_known=earliest is None)
        recorded = []
        for change, own_notes in zip(changes, notes, strict=True):
            self._recorded += 1
            task = change.after or change.before
            recorded.append(
                RecordedChange(
                    number=self._recorded,
                    noticed=now,
                    account=account,
                    app_id=app_id,
                    task_id="" if task is None else task.task_id,
                    change=kind_of(change),
                    fields=field_changes(change, push_auth) if change.before and change.after else (),
                    earliest=earliest,
                    notes=own_notes,
                )
            )
            self._log(recorded[-1])
        self._changes.extend(recorded)
        return tuple(recorded)

    def newest_first(self) -> Iterator[RecordedChange]:
        """Yield what is remembered."""
        return reversed(self._changes)

    @property
    def remembered_since(self) -> float:
        """No change that was noticed after this has been forgotten; wall-clock seconds."""
        forgets = len(self._changes) == self._changes.maxlen
        return self._changes[0].noticed if forgets else self._began

    def flush(self) -> None:
        """Say how many changes were not logged one by one, when their second is over; called about every second."""
        self._notes.forget(self._clock.monotonic())
        if self._unlogged and int(self._clock.monotonic()) != self._second:
            structlog.get_logger().info("more tasks changed than are logged one by one", tasks=self._unlogged)
            self._unlogged = 0

    def _log(self, change: RecordedChange) -> None:
        second = int(self._clock.monotonic())
        if second != self._second:
            self.flush()
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > self._lines_per_second:
            self._unlogged += 1
            return
        structlog.get_logger().info(
            f"task {change.change}",
            account=change.account,
            app_id=change.app_id,
            task_id=change.task_id,
            **{field.field: _from_to(field) for field in change.fields},
            **({"notes": ",".join(change.notes)} if change.notes else {}),
        )


def _from_to(field: FieldChange) -> str:
    """Return what a line says; a difference in what is not shown is one all the same."""
    before, after = ("-" if value is None else str(value) for value in (field.before, field.after))
    return f"{before} -> {after}" if before != after else f"{after} (another)"
