"""The past: the newest changes in memory, with a log line and notes for each, and what can be asked about it."""

import logging
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import islice
from math import inf
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from exporter.collector.inventory import Change, Entry
from exporter.collector.status import Sweep
from exporter.collector.task_diff import FIELD_GROUPS, Shown, changed_fields, kind_of, shown
from exporter.core.clock import Clock
from exporter.core.log import LimitedLines
from exporter.core.push_auth import DEFAULTS, PushAuthSettings

NEWEST: Final = 10_000
LINES_PER_SECOND: Final = 20


class FieldChange(Struct, frozen=True):
    """One group of fields of a modified task, in words that may be shown."""

    field: str
    before: Shown
    after: Shown

    def words(self, absent: str = "nothing") -> tuple[str, str]:
        """Return it before and after; where both read the same, the difference is in what is not shown."""
        before, after = (absent if value is None else str(value) for value in (self.before, self.after))
        return (before, after) if before != after else (before, f"{after} (another)")

    def line(self, absent: str = "nothing") -> str:
        """Return both in one line."""
        before, after = self.words(absent)
        return after if self.before == self.after else f"{before} -> {after}"


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
    notes: tuple[str, ...] = ()  # `STREAM_REUSED_TOO_EARLY`, `PROBABLY_RESTARTED`


def _line(change: RecordedChange) -> dict[str, str]:
    return {
        "account": change.account,
        "app_id": change.app_id,
        "task_id": change.task_id,
        **{field.field: field.line("-") for field in change.fields},
        **({"notes": ",".join(change.notes)} if change.notes else {}),
    }


STREAM_REUSED_TOO_EARLY: Final = "stream_reused_too_early"
"""A stream appeared in a task within 10 s of its removal from another; of the two changes the second has the note."""
PROBABLY_RESTARTED: Final = "probably_restarted"
"""A field changed that UpdateLiveMPUTask does not have: Region, MaxIdleTime or PayloadType of SeiParams."""

REUSE_SECONDS: Final = 10.0  # the vendor asks to wait so long

_Seen = dict[bytes, tuple[float, str]]  # monotonic seconds and TaskId by stream, oldest first


class ChangeNotes:
    """Finds the notes of all apps' changes."""

    def __init__(self) -> None:
        self._removed: _Seen = {}
        self._appeared: _Seen = {}

    def of(self, changes: Sequence[Change], now: float, *, times_known: bool) -> list[tuple[str, ...]]:
        """Return the notes of each change of one reading; removals count first. `now` is in monotonic seconds."""
        self.forget(now)
        reused: set[int] = set()
        if times_known:
            removals_first = sorted(enumerate(changes), key=lambda each: each[1].after is not None)
            reused = {number for number, change in removals_first if self._is_reuse(change, now)}
        return [
            (STREAM_REUSED_TOO_EARLY,) * (number in reused) + (PROBABLY_RESTARTED,) * _is_restart(change)
            for number, change in enumerate(changes)
        ]

    def forget(self, now: float) -> None:
        """Forget streams that may be used again."""
        for seen in (self._removed, self._appeared):
            while seen and now - next(iter(seen.values()))[0] > REUSE_SECONDS:
                del seen[next(iter(seen))]

    def _is_reuse(self, change: Change, now: float) -> bool:
        """Take note of a change's streams; return whether one of them is used again too early."""
        before, after = _streams(change.before), _streams(change.after)
        if change.after is not None:
            streams, task_id = after - before, change.after.task_id
            is_reuse = not streams.isdisjoint(self._removed)
        else:
            streams, task_id = before, "" if change.before is None else change.before.task_id
            is_reuse = any(self._appeared[stream][1] != task_id for stream in streams & self._appeared.keys())
        seen = self._removed if change.after is None else self._appeared
        for stream in streams:
            seen.pop(stream, None)
            seen[stream] = now, task_id
        return is_reuse


def _streams(entry: Entry | None) -> frozenset[bytes]:
    return frozenset() if entry is None else frozenset(entry.task.stream_digests)


def _is_restart(change: Change) -> bool:
    return (
        change.before is not None
        and change.after is not None
        and _fixed_while_running(change.before) != _fixed_while_running(change.after)
    )


def _fixed_while_running(entry: Entry) -> tuple[object, ...]:
    configuration = entry.configuration
    sei = configuration.sei
    return configuration.region, configuration.idle_timeout_seconds, None if sei is None else sei.payload_type


MOST_VIOLATIONS: Final = 10_000  # that are remembered without a database
OpenSince: TypeAlias = Mapping[str, float]
"""Unix time at which open violations of one version of a rule were first seen, by TaskId; empty: the whole app."""
RuleVersion: TypeAlias = tuple[str, ...]  # see `Rule.version`: the first two parts are the rule's name and severity


class HistoryError(Exception):
    """The past can't be read now; `str()` says why."""


class HistoryFilter(Struct, frozen=True, kw_only=True):
    """Which changes or violations, newest first. An empty text matches everything."""

    account: str = ""
    app_id: str = ""
    task_id: str = ""
    change: str = ""  # added, removed or modified
    field: str = ""  # a group of fields that changed
    rule: str = ""
    severity: str = ""
    ended: bool = False  # of violations: whether only those that have ended, by the time of their end
    since: float = -inf  # Unix time
    until: float = inf
    before: int | None = None  # only smaller numbers
    limit: int = 100

    def matches(self, change: RecordedChange) -> bool:
        """Whether a change matches, its number apart."""
        return (
            self._is_of(change)
            and self.since <= change.noticed <= self.until
            and self.change in {"", change.change}
            and (not self.field or any(field.field == self.field for field in change.fields))
        )

    def matches_violation(self, violation: "PastViolation") -> bool:
        """Whether a violation matches, its number apart."""
        time = violation.resolved if self.ended else violation.opened
        return (
            self._is_of(violation)
            and self.rule in {"", violation.rule}
            and self.severity in {"", violation.severity}
            and time is not None
            and self.since <= time <= self.until
        )

    def _is_of(self, one: "RecordedChange | PastViolation") -> bool:
        return (
            self.account in {"", one.account}
            and self.app_id in {"", one.app_id}
            and self.task_id in {"", one.task_id}
            and (self.before is None or one.number < self.before)
        )


class PastViolation(Struct, frozen=True):
    """A violation that was open at some time. Times are Unix times."""

    number: int
    account: str
    app_id: str
    task_id: str  # empty: of the app as a whole
    rule: str
    severity: str
    message: str
    opened: float
    resolved: float | None  # None: it is open
    why: str | None  # why it has ended


class SavedApp(Struct, frozen=True):
    """One app as an earlier process accepted it."""

    account: str
    app_id: str
    endpoint: str
    sweep: Sweep | None  # None: another version wrote its tasks, which this one can't read, or only some were written
    last_update_began: float | None
    entries: list[Entry]  # empty without `sweep`
    first_seen: Mapping[str, float]  # unix time, by TaskId; only without `sweep`
    violations: Mapping[RuleVersion, OpenSince]

    @property
    def last_known(self) -> float:
        """Unix time of the last reading."""
        return max(self.sweep.began if self.sweep else 0.0, self.last_update_began or 0.0)


class Past(Protocol):
    """Answers questions about the past; each may raise HistoryError."""

    async def changes(self, wanted: HistoryFilter) -> Sequence[RecordedChange]:
        """Return changes, newest first."""

    async def violations(self, wanted: HistoryFilter) -> Sequence[PastViolation]:
        """Return violations, newest first."""

    async def apps(self) -> Collection[tuple[str, str]]:
        """Return account and AppId of apps that something is known of."""

    async def remembered_since(self, now: float) -> float:
        """Return a Unix time after which no change was forgotten."""


class History:
    """The newest changes and ended violations of this process; each change is logged, up to this many a second."""

    def __init__(self, clock: Clock, *, newest: int = NEWEST, lines_per_second: int = LINES_PER_SECOND) -> None:
        self._clock = clock
        self._changes: deque[RecordedChange] = deque(maxlen=newest)
        self._violations: deque[PastViolation] = deque(maxlen=MOST_VIOLATIONS)
        self._recorded = 0
        self._began = clock.now()
        self._lines = LimitedLines(
            "more tasks changed than are logged one by one", clock, per_second=lines_per_second, counted="tasks"
        )
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
            recorded.append(
                RecordedChange(
                    number=self._recorded,
                    noticed=now,
                    account=account,
                    app_id=app_id,
                    task_id=change.task_id,
                    change=kind_of(change),
                    fields=field_changes(change, push_auth) if change.before and change.after else (),
                    earliest=earliest,
                    notes=own_notes,
                )
            )
            self._lines.write(logging.INFO, f"task {recorded[-1].change}", partial(_line, recorded[-1]))
        self._changes.extend(recorded)
        return tuple(recorded)

    def ended(self, violation: PastViolation) -> None:
        """Remember a violation that has ended; it gets the next number."""
        self._violations.appendleft(violation)

    def flush(self) -> None:
        """Say how many changes were not logged one by one, when their second is over; called about every second."""
        self._notes.forget(self._clock.monotonic())
        self._lines.flush()

    async def changes(self, wanted: HistoryFilter) -> Sequence[RecordedChange]:
        """Return changes, newest first."""
        return list(islice(filter(wanted.matches, reversed(self._changes)), wanted.limit))

    async def violations(self, wanted: HistoryFilter) -> Sequence[PastViolation]:
        """Return violations, newest first."""
        return list(islice(filter(wanted.matches_violation, self._violations), wanted.limit))

    async def apps(self) -> Collection[tuple[str, str]]:
        """Return account and AppId of apps that something is known of."""
        return {(change.account, change.app_id) for change in self._changes}

    async def remembered_since(self, now: float) -> float:  # noqa: ARG002 - as `Past` has it
        """Return a Unix time after which no change was forgotten."""
        forgets = len(self._changes) == self._changes.maxlen
        return self._changes[0].noticed if forgets else self._began
