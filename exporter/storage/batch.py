"""What an app's readings bring for the database until it is written."""

from collections.abc import Mapping
from math import inf
from typing import Final, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collector.inventory import Change, Entry
from exporter.collector.past import OpenSince, RuleVersion, SavedApp
from exporter.collector.status import Sweep
from exporter.core.push_auth import DEFAULTS, PushAuthSettings

MOST_WAITING: Final = 100_000
"""Changes, and events of violations, that wait for the database, for each app; the oldest beyond are lost."""

AppKey: TypeAlias = tuple[str, str]  # account and AppId


class NoticedChange(Struct, frozen=True):
    """A change of a task. Times are Unix times."""

    change: Change
    noticed: float
    earliest: float | None
    """It happened between this and `noticed`, if it may have happened before this process; else None."""
    notes: tuple[str, ...] = ()


class ViolationEvent(Struct, frozen=True):
    """A violation that opened, or ended."""

    version: RuleVersion
    task_id: str
    at: float
    message: str = ""
    why: str | None = None  # why it ended; None: it opened


class OpenNow(Struct, frozen=True):
    """All violations of an app that are open: others have ended."""

    violations: Mapping[RuleVersion, OpenSince]
    at: float
    messages: Mapping[tuple[RuleVersion, str], str] = {}  # of those that were found since the last of these


class Batch(Struct):
    """What one transaction writes about one app."""

    account: str
    app_id: str
    endpoint: str  # the service that it was read from
    sweep: Sweep  # the last accepted one
    last_update: float | None
    since: float  # monotonic time of the oldest reading in it
    all_tasks: bool = False  # whether `tasks` are all that there are, so that others go
    tasks: dict[str, Entry | None] = field(default_factory=dict)  # tasks that were added or modified; None: removed
    changes: list[NoticedChange] = field(default_factory=list)
    violations: list[ViolationEvent | OpenNow] = field(default_factory=list)  # in the order in which they happened
    token: str = ""  # Random; in the database it says that this very batch was written
    began: float | None = None
    """Unix time of the first reading, if this process does not know what is stored of the app: to be compared with."""
    push_auth: PushAuthSettings = DEFAULTS  # who signs the URLs of a host
    lease: tuple[str, int] | None = None  # budget and term under which it was read; not written under another term

    def add(self, newer: "Batch") -> tuple[int, bool]:
        """Take in a newer batch of the same app and lease.

        Returns:
            How many changes were lost, and whether events of violations were and no `OpenNow` makes up for them.
        """
        self.endpoint, self.sweep, self.last_update = newer.endpoint, newer.sweep, newer.last_update
        self.tasks = newer.tasks if newer.all_tasks else self.tasks | newer.tasks
        self.all_tasks |= newer.all_tasks
        self.began = newer.began if self.began is None else self.began
        self.changes += newer.changes
        self.violations += newer.violations
        lost, events_lost = (max(0, len(each) - MOST_WAITING) for each in (self.changes, self.violations))
        del self.changes[:lost], self.violations[:events_lost]
        return lost, bool(events_lost) and OpenNow not in map(type, self.violations)

    def beside(self, saved: SavedApp, began: float) -> tuple["Batch", SavedApp]:
        """Compare with what is stored; return what to write, and of what is stored what this process did not know.

        What changed from what is stored to the first reading comes first: it happened between the two. Tasks that the
        first reading did not show may be gone, or its list was cut: see `Collector.check_stored`.
        """
        stored = {entry.task_id: entry for entry in saved.entries}
        first_seen = saved.first_seen or {task_id: entry.first_seen for task_id, entry in stored.items()}
        older = {
            task_id: _older(entry, first_seen[task_id], stored.get(task_id))
            for task_id, entry in self.tasks.items()
            if entry is not None and first_seen.get(task_id, inf) <= entry.first_seen <= began
        }
        # As a task was before its first change, it was read first.
        first_read = self.tasks | {each.change.task_id: each.change.before for each in reversed(self.changes)}
        earliest = min(began, saved.last_known)
        missed = [
            NoticedChange(Change(stored.get(task_id), entry), began, earliest)
            for task_id, entry in first_read.items()
            if saved.sweep is not None and not _is_same(stored.get(task_id), entry)
        ]
        unseen = [entry for task_id, entry in stored.items() if task_id not in first_read]
        known = replace(self, tasks=self.tasks | older, changes=missed + self.changes)
        return known, replace(saved, entries=list(older.values()), unseen=unseen)


def _is_same(before: Entry | None, after: Entry | None) -> bool:
    return before is after if before is None or after is None else after.same_content(before)


def _older(entry: Entry, first_seen: float, stored: Entry | None) -> Entry:
    """Return an entry with the times that are stored of it."""
    known = stored or entry
    is_unchanged = entry.last_changed == entry.first_seen and known.same_content(entry)
    last_changed = (known if is_unchanged else entry).last_changed
    return entry.at(first_seen=first_seen, last_changed=last_changed, start_known=known.start_known)
