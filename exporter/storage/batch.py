"""What an app's readings bring for the database until it is written."""

import secrets
from collections.abc import Mapping
from functools import partial
from math import inf
from typing import TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collector.inventory import Change, Entry, Inventory
from exporter.collector.past import OpenSince, RuleVersion, SavedApp
from exporter.collector.status import Sweep
from exporter.core.push_auth import DEFAULTS, PushAuthSettings

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


class Waiting(Struct):
    """What is new of an app since its last batch was made."""

    account: str
    app_id: str
    since: float  # monotonic time of the oldest reading in it
    lease: tuple[str, int] | None = None  # budget and term under which it was read; not written under another term
    changes: list[NoticedChange] = field(default_factory=list)
    violations: list[ViolationEvent] = field(default_factory=list)
    all_tasks: bool = False  # whether all tasks are written, and others go
    all_violations: bool = False  # whether all open violations are, and others have ended
    began: float | None = None
    """Unix time of the first reading, if this process does not know what is stored of the app: to be compared with."""


class Batch(Waiting, kw_only=True):
    """What one transaction writes about one app: what is new, and the app as it is then."""

    endpoint: str  # the service that it was read from
    sweep: Sweep  # the last accepted one
    last_update: float | None
    made: float  # Unix time
    tasks: dict[str, Entry | None]  # all, or those that were added or modified; None: removed
    open_violations: Mapping[RuleVersion, OpenSince] = {}  # with `all_violations`
    messages: Mapping[tuple[RuleVersion, str], str] = {}  # of open violations that came with a baseline
    push_auth: PushAuthSettings = DEFAULTS  # who signs the URLs of a host
    token: str = field(default_factory=partial(secrets.token_hex, 8))
    """In the database it says that this very batch was written."""

    def beside(self, saved: SavedApp, began: float) -> tuple["Batch", SavedApp]:
        """Compare with what is stored; return what to write, and of what is stored what this process did not know.

        What changed from what is stored to the first reading comes first: it happened between the two. Tasks that the
        first reading did not show may be gone, or its list was cut: see `Collector.check_stored`.
        """
        stored, current = Inventory(), Inventory()
        stored.restore(saved.entries)
        stored.remember_first_seen(saved.first_seen)
        # As a task was before its first change, it was read first.
        first_read = self.tasks | {each.change.task_id: each.change.before for each in reversed(self.changes)}
        changes = stored.accept(filter(None, first_read.values()), now=began)
        absent = [task_id for task_id, entry in first_read.items() if entry is None]
        changes += stored.remove(absent, settled_before=inf, at=began)
        current.restore(filter(None, self.tasks.values()))
        older = [each for each in stored if (now := current.get(each.task_id)) and each.first_seen < now.first_seen]
        tasks = self.tasks | {change.task_id: change.after for change in current.age(older)}
        earliest = min(began, saved.last_known)
        missed = [NoticedChange(change, began, earliest) for change in changes if saved.sweep is not None]
        unseen = [entry for entry in saved.entries if entry.task_id not in first_read]
        return replace(self, tasks=tasks, changes=missed + self.changes), replace(saved, entries=older, unseen=unseen)
