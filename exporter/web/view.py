"""What the web side is given to show: a read-only view of the daemon that answers at once."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from exporter.collect.history import RecordedChange
from exporter.collect.inventory import Entry
from exporter.collect.status import Status
from exporter.collect.sweep_report import SweepReport
from exporter.metrics.exposition import Body
from exporter.metrics.formats import Format
from exporter.policy.rule import Outcome, Rule


class AppView(Struct, frozen=True):
    """One app as it is shown."""

    status: Status
    tasks: Mapping[tuple[str, str], int] | None
    """Number of tasks by (task_region, mix_mode); None while there is no data or it is withdrawn."""
    next_update: float | None = None
    """Wall-clock seconds when it is due; None: nothing is laid."""
    next_sweep: float | None = None


class BudgetView(Struct, frozen=True):
    """The budget of requests that some accounts share, as it stands now. Rates are requests in a second."""

    accounts: tuple[str, ...]
    configured_rate: float
    effective_rate: float
    """Less than the configured one after throttling."""
    needed_rate: float
    """What the configured intervals ask for, given the numbers of tasks that are known."""
    waiting: int
    """Requests that wait for their turn."""


class TasksView(Struct, frozen=True):
    """The accepted tasks of one app, as they are at this moment."""

    status: Status
    """Where `data_available` is False, the tasks are those of the last good data."""
    entries: Sequence[Entry]
    """In any order; a copy, so that it may be looked through in slices."""


class TaskFinding(Struct, frozen=True):
    """What has come of one rule for one task."""

    rule: Rule
    outcome: Outcome
    since: float | None
    """Wall-clock seconds since when a violation is seen; None for other outcomes."""
    detail: "FindingDetail"


class TaskView(Struct, frozen=True):
    """One task and what its rules say about it."""

    status: Status
    entry: Entry
    findings: tuple[TaskFinding, ...]
    """Of every rule that it was judged by, in the order of the rules."""


class SweepStart(StrEnum):
    """What has come of the wish to read an app at once."""

    STARTED = "started"
    BUSY = "busy"
    """Another one is under way; there is one at a time."""
    TOO_SOON = "too_soon"
    """The last one of this app ended less than a minute ago."""
    UNKNOWN = "unknown"
    """There is no such app."""


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
    owner: str
    """Of the rule, else of the app; empty where nobody is named."""
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
    why_stopped: str | None = None
    """Why it is not evaluated any more, though in force: its findings are frozen. None: it is evaluated."""
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

    def budgets(self) -> Sequence[BudgetView]:
        """Return the budgets of all accounts, in the order of the configuration."""

    def tasks(self, account: str, app_id: str) -> TasksView | None:
        """Return the tasks of one app; None: there is no such app."""

    def task(self, account: str, app_id: str, task_id: str) -> TaskView | None:
        """Return one task; None: it is not known, or there is no such app."""

    def collect_now(self, account: str, app_id: str) -> SweepStart:
        """Begin to read an app's whole list within the budget, beside its collection and without touching it."""

    def sweep_report(self, account: str, app_id: str) -> SweepReport | None:
        """Return how the newest reading that `collect_now` began goes or went; None: there was none."""

    def changes(self) -> Iterator[RecordedChange]:
        """Return the remembered changes of all apps, newest first."""

    def changes_remembered_since(self) -> float:
        """Return a time, in seconds since 1970, after which no change has been forgotten."""

    def findings(self, kind: FindingKind) -> Iterable[FindingsView]:
        """Return the findings of one kind, in one group for each app and rule that has any, in any order."""

    def rules(self) -> Iterable[RuleView]:
        """Return all rules, also those that are switched off, each name once, in any order."""

    async def reload(self) -> str | None:
        """Take on the configuration as it stands now; return why it is refused, and None when it is in force."""

    def ready(self) -> str | None:
        """Return why the exporter is not ready to be relied upon; None when it is."""

    def healthy(self) -> str | None:
        """Return why the process should be restarted; None when it should not."""

    def redacted_config(self) -> str:
        """Return the configuration in force as YAML, with `<secret>` for each secret."""

    def request_finished(self, path_template: str, code: int) -> None:
        """Take note of an answered request, for the exporter's own metrics."""
