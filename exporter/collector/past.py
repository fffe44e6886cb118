"""What can be asked about the past, and what answers without a database: what this process remembers."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from math import inf
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from exporter.collector.change_history import RecordedChange
from exporter.collector.inventory import Entry
from exporter.collector.status import Sweep

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
    sweep: Sweep | None  # None: a version of the program wrote it whose tasks this one can't read
    last_update_began: float | None
    entries: list[Entry]  # empty without `sweep`
    first_seen: Mapping[str, float]  # unix time, by TaskId; only without `sweep`
    violations: Mapping[RuleVersion, OpenSince]
    unseen: list[Entry] = []
    """Tasks that the first reading of a process did not show that began without this."""

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

    def close(self) -> None:
        """Close all connections."""


class MemoryPast:
    """The newest changes and ended violations of this process; both functions are those of `History`."""

    def __init__(
        self, newest_changes: Callable[[], Iterable[RecordedChange]], changes_since: Callable[[], float]
    ) -> None:
        self._newest_changes = newest_changes
        self._changes_since = changes_since
        self._violations: deque[PastViolation] = deque(maxlen=MOST_VIOLATIONS)

    def ended(self, violation: PastViolation) -> None:
        """Remember a violation that has ended; it gets the next number."""
        self._violations.appendleft(violation)

    async def changes(self, wanted: HistoryFilter) -> Sequence[RecordedChange]:
        """Return changes, newest first."""
        return list(islice(filter(wanted.matches, self._newest_changes()), wanted.limit))

    async def violations(self, wanted: HistoryFilter) -> Sequence[PastViolation]:
        """Return violations, newest first."""
        return list(islice(filter(wanted.matches_violation, self._violations), wanted.limit))

    async def apps(self) -> Collection[tuple[str, str]]:
        """Return account and AppId of apps that something is known of."""
        return {(change.account, change.app_id) for change in self._newest_changes()}

    async def remembered_since(self, now: float) -> float:  # noqa: ARG002 - as `Past` has it
        """Return a Unix time after which no change was forgotten."""
        return self._changes_since()

    def close(self) -> None:
        """Do nothing: there are no connections."""
