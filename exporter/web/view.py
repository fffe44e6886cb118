"""What the web side is given to show: a read-only view of the daemon that answers at once."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from exporter.collect.history import RecordedChange
from exporter.collect.status import Status
from exporter.metrics.exposition import Body
from exporter.metrics.formats import Format
from exporter.policy.rule import Rule


class AppView(Struct, frozen=True):
    """One app as it is shown."""

    status: Status
    tasks: Mapping[tuple[str, str], int] | None
    """Number of tasks by (task_region, mix_mode); None while there is no data or it is withdrawn."""


class FindingKind(StrEnum):
    """What there is to say about a task that does not plainly pass a rule."""

    VIOLATION = "violation"
    EXEMPTED = "exempted"
    UNEVALUABLE = "unevaluable"


class FindingDetail(Struct, frozen=True):
    """What people read about one finding."""

    message: str | None = None
    exemption: str | None = None
    """The exemption's name, of an exempted one."""
    reason: str | None = None
    """Why the rule can't be evaluated."""


class FindingsView(Struct, frozen=True):
    """All findings of one kind that one rule has in one app, as they are at this moment.

    What costs much is a function: it is called for what is shown alone.
    """

    account: str
    app_id: str
    rule: Rule
    data_available: bool
    """False: frozen, as of the last good data."""
    count: int
    """How many there are."""
    task_ids: Callable[[], Collection[str]]
    """Returns their TaskIds, in any order; that of a finding about the app as a whole is empty."""
    since: Mapping[str, float]
    """By TaskId, for those of which it is known: wall-clock seconds since when it is seen."""
    detail: Callable[[str], FindingDetail]


class RuleTotals(Struct, frozen=True):
    """How it stands with a rule over all apps; what is frozen counts as it was last."""

    violations: int = 0
    evaluated: int = 0
    not_applicable: int = 0
    exempted: int = 0
    unevaluable: int = 0
    oldest_violation: float | None = None
    """Wall-clock seconds."""


class RuleView(Struct, frozen=True):
    """One rule as it is shown."""

    rule: Rule
    why_off: str | None = None
    """Why it is not in force; None: it is."""
    totals: RuleTotals | None = None
    """None while there is no app that it was evaluated for."""
    reasons: Callable[[], Sequence[str]] = tuple
    """Returns some reasons why it can't be evaluated for tasks."""


class View(Protocol):
    """What every request is answered from. Nothing here waits, and nothing here raises."""

    def statuses(self) -> Sequence[AppView]:
        """Return all configured apps, in the order of the configuration."""

    def metrics(self, exposition_format: Format, *, gzip: bool) -> Body:
        """Return the ready bytes of the exposition."""

    def task_metrics(self, exposition_format: Format, *, gzip: bool) -> Body | None:
        """Return the ready bytes of the exposition of single tasks; None while it is switched off."""

    def changes(self) -> Iterator[RecordedChange]:
        """Return the remembered changes of all apps, newest first."""

    def changes_remembered_since(self) -> float:
        """Return a time, in seconds since 1970, after which no change has been forgotten."""

    def findings(self, kind: FindingKind) -> Iterable[FindingsView]:
        """Return the findings of one kind, in one group for each app and rule that has any, in any order."""

    def rules(self) -> Iterable[RuleView]:
        """Return all rules, also those that are switched off, each name once, in any order."""

    def ready(self) -> str | None:
        """Return why the exporter is not ready to be relied upon; None when it is."""

    def healthy(self) -> str | None:
        """Return why the process should be restarted; None when it should not."""

    def redacted_config(self) -> str:
        """Return the configuration in force as YAML, with `<secret>` for each secret."""

    def request_finished(self, path_template: str, code: int) -> None:
        """Take note of an answered request, for the exporter's own metrics."""
