"""What the web side can show: a read-only view of the daemon that never waits."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Final, Protocol

from msgspec import Struct

from exporter.collector.inventory import Entry
from exporter.collector.past import Past
from exporter.collector.status import Status, SweepReport
from exporter.core.task import MIXED, SINGLE
from exporter.metrics.exposition import Body, Format
from exporter.rules.facts import PushKey
from exporter.rules.rule import SEVERITIES, Outcome, Rule, Severity
from exporter.web.responses import TIMES, about

SEVEREST_FIRST: Final = tuple(reversed(SEVERITIES))


def severest_first(violations: Mapping[Severity, int]) -> Mapping[Severity, int]:
    """Return the counts that are not 0, the severest first."""
    return {severity: violations[severity] for severity in SEVEREST_FIRST if violations.get(severity)}


class ModeCount(Struct, frozen=True):
    """Number of tasks of one mode."""

    mode: str
    count: int
    quota: int | None

    @property
    def used(self) -> float | None:
        """The used part of the quota; None without one."""
        return self.count / self.quota if self.quota else None


class AppView(Struct, frozen=True):
    """One app."""

    status: Status
    tasks: Mapping[tuple[str, str], int] | None
    """By (task_region, mix_mode); None while there is no data or it is withdrawn."""
    violations: Mapping[Severity, int] | None = None  # as of the last good data, severest first; None: not known
    next_update: float | None = None  # Unix time; None: not scheduled
    next_sweep: float | None = None
    collected_by: str | None = None
    """Address, or else name, of the other exporter that collects it; empty: none is known. None: this one does."""

    @property
    def modes(self) -> Sequence[ModeCount]:
        """Tasks by mode, if they are known; other modes have no quota and are there if they have any."""
        if self.tasks is None:
            return ()
        quotas = {SINGLE: self.status.quota_single, MIXED: self.status.quota_mixed}
        counts = Counter(dict.fromkeys(quotas, 0))
        for (_, mode), count in self.tasks.items():
            counts[mode] += count
        return [ModeCount(mode, count, quotas.get(mode)) for mode, count in counts.items() if count or mode in quotas]

    @property
    def used(self) -> float | None:
        """The used part of its fullest quota; None: there is no quota, or no data."""
        return max((mode.used for mode in self.modes if mode.used is not None), default=None)

    @property
    def by_severity(self) -> Sequence[int] | None:
        """Its violations of each severity, severest first."""
        return None if self.violations is None else [self.violations.get(severity, 0) for severity in SEVEREST_FIRST]

    @property
    def updated(self) -> float | None:
        """When the last successful update or accepted sweep began: a sweep brings an app up to date, too."""
        began = (self.status.last_update_began, self.status.last_sweep_began)
        return max((at for at in began if at is not None), default=None)

    @property
    def withdrawn(self) -> bool:
        """Whether there was data that is not shown any more."""
        return self.tasks is None and self.status.last_sweep_began is not None


class Trend(Struct, frozen=True):
    """Numbers of tasks and violations, the latest last; None: not known then."""

    seconds: float  # between two samples
    tasks: Sequence[int | None] = ()
    violations: Sequence[int | None] = ()


class BudgetView(Struct, frozen=True):
    """A request budget that accounts share, in requests per second."""

    accounts: tuple[str, ...]
    configured_rate: float
    effective_rate: float  # below the configured one after throttling
    needed_rate: float  # for the configured intervals and the known number of tasks
    waiting: int  # requests waiting for a permit


class TasksView(Struct, frozen=True):
    """The accepted tasks of one app."""

    status: Status  # if `data_available` is False, the tasks are those of the last good data
    entries: Sequence[Entry]  # in any order; a copy
    push_keys: Callable[[Entry], Sequence[PushKey]] = lambda _entry: ()  # of each output, as they are now


class TaskFinding(Struct, frozen=True):
    """The outcome of one rule for one task."""

    rule: Rule
    outcome: Outcome
    since: float | None  # Unix time at which a violation was first seen; None for other outcomes
    detail: "FindingDetail"


class TaskView(Struct, frozen=True):
    """One task and the outcome of its rules."""

    status: Status
    entry: Entry
    findings: tuple[TaskFinding, ...]  # in the order of the rules
    push_keys: Sequence[PushKey] = ()  # of each output


class SweepStart(StrEnum):
    """Result of a request to read an app now."""

    STARTED = "started"
    BUSY = "busy"  # another reading is running
    TOO_SOON = "too_soon"  # the last one of this app ended less than a minute ago
    UNKNOWN = "unknown"


class FindingKind(StrEnum):
    """Outcomes other than a plain pass."""

    VIOLATION = "violation"
    EXEMPTED = "exempted"
    UNEVALUABLE = "unevaluable"


class FindingDetail(Struct, frozen=True):
    """Texts of one finding."""

    message: str | None = None
    exemption: str | None = None  # name of the exemption, if exempted
    reason: str | None = None  # why the rule can't be evaluated


class FindingsView(Struct, frozen=True):
    """All findings of one kind of one rule in one app. Functions are called only for what is shown."""

    account: str
    app_id: str
    rule: Rule
    owner: str  # of the rule, else of the app; may be empty
    data_available: bool  # False: frozen, as of the last good data
    count: int
    task_ids: Callable[[], Collection[str]]  # in any order; the TaskId of a finding about the whole app is empty
    since: Mapping[str, float]  # Unix time at which it was first seen, where known, by TaskId
    detail: Callable[[str], FindingDetail]


class TotalsDocument(Struct, frozen=True, rename=TIMES):
    """Counts of a rule over all apps; frozen findings count as they were."""

    violations: Annotated[int, about("Tasks that violate it.")] = 0
    evaluated: Annotated[int, about("Tasks that it was evaluated for.")] = 0
    not_applicable: Annotated[int, about("Tasks that it does not apply to.")] = 0
    exempted: Annotated[int, about("Tasks whose violation is exempted.")] = 0
    unevaluable: Annotated[int, about("Tasks that it can't be evaluated for.")] = 0
    oldest_violation: Annotated[
        float | None, about("Since when the oldest violation is seen, in seconds since 1970; null: there is none.")
    ] = None


class RuleView(Struct, frozen=True):
    """One rule."""

    rule: Rule
    why_off: str | None = None  # why it is not in force; None: it is
    why_stopped: str | None = None
    """Why it is in force but no longer evaluated, with frozen findings; None: it is evaluated."""
    totals: TotalsDocument | None = None  # None: it was not evaluated for any app
    reasons: Callable[[], Sequence[str]] = tuple  # returns some reasons why it can't be evaluated for tasks


class View(Protocol):
    """The source of every response. Nothing here waits or raises."""

    def statuses(self) -> Sequence[AppView]: ...  # all configured apps, in the order of the configuration
    def trend(self, account: str = "", app_id: str = "") -> Trend: ...  # of one app, or of all together
    def metrics(self, exposition_format: Format, *, gzip: bool) -> Body: ...
    def task_metrics(self, exposition_format: Format, *, gzip: bool) -> Body | None: ...  # None: it is disabled
    def budgets(self) -> Sequence[BudgetView]: ...  # in the order of the configuration
    def tasks(self, account: str, app_id: str) -> TasksView | None: ...  # None: there is no such app
    def task(self, account: str, app_id: str, task_id: str) -> TaskView | None: ...  # None: it is unknown
    # Starts reading an app's whole list within the budget, beside its collection.
    def collect_now(self, account: str, app_id: str) -> SweepStart: ...
    def sweep_report(self, account: str, app_id: str) -> SweepReport | None: ...  # the newest that was started
    def past(self) -> Past: ...
    # A group for each app and rule with any, in any order; of one app, or all.
    def findings(self, kind: FindingKind, app: tuple[str, str] | None = None) -> Iterable[FindingsView]: ...
    def rules(self) -> Iterable[RuleView]: ...  # also disabled ones, in any order
    async def reload(self) -> str | None: ...  # why the configuration is refused; None: it is in force
    def ready(self) -> str | None: ...  # why the exporter is not ready
    def healthy(self) -> str | None: ...  # why the process should be restarted
    def redacted_config(self) -> str: ...  # the configuration in force as YAML, with `<secret>` for each secret
    def request_finished(self, path_template: str, code: int) -> None: ...  # counts a response
