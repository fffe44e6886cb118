"""What an app's readings bring for the database until it is written."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from msgspec import Struct, field

from exporter.collector.inventory import Change, Entry
from exporter.collector.status import Sweep

MOST_WAITING: Final = 100_000
"""Changes, and events of violations, that wait for the database, for each app; the oldest beyond are lost."""

OpenSince: TypeAlias = Mapping[str, float]
"""Unix time at which open violations of one version of a rule were first seen, by TaskId; empty: the whole app."""
RuleVersion: TypeAlias = tuple[str, ...]  # see `Rule.version`: the first two parts are the rule's name and severity


class NoticedChange(Struct, frozen=True):
    """A change of a task. Times are Unix times."""

    change: Change
    noticed: float
    earliest: float | None
    """It happened between this and `noticed`, if it may have happened before this process; else None."""


class Opened(Struct, frozen=True):
    """A violation that opened."""

    version: RuleVersion
    task_id: str
    since: float
    message: str


class Resolved(Struct, frozen=True):
    """A violation that ended."""

    version: RuleVersion
    task_id: str
    at: float
    why: str


class OpenNow(Struct, frozen=True):
    """All violations of an app that are open: others have ended."""

    violations: Mapping[RuleVersion, OpenSince]
    at: float


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
    violations: list[Opened | Resolved | OpenNow] = field(default_factory=list)  # in the order in which they happened
    token: str = ""  # Random; in the database it says that this very batch was written

    def add(self, newer: "Batch") -> tuple[int, int]:
        """Take in a newer batch of the same app; return how many changes and events of violations were lost."""
        self.endpoint, self.sweep, self.last_update = newer.endpoint, newer.sweep, newer.last_update
        self.tasks = newer.tasks if newer.all_tasks else self.tasks | newer.tasks
        self.all_tasks |= newer.all_tasks
        self.changes += newer.changes
        self.violations += newer.violations
        lost = max(0, len(self.changes) - MOST_WAITING), max(0, len(self.violations) - MOST_WAITING)
        del self.changes[: lost[0]], self.violations[: lost[1]]
        return lost


class SavedApp(Struct, frozen=True):
    """One app as it was written."""

    account: str
    app_id: str
    endpoint: str
    sweep: Sweep | None  # None: written by a version of the program whose tasks this one can't read
    last_update_began: float | None
    entries: list[Entry]  # empty without `sweep`
    first_seen: Mapping[str, float]  # unix time, by TaskId; only without `sweep`
    violations: Mapping[RuleVersion, OpenSince]
