"""What the web side is given to show: the daemon's parts, seen through the web's `View`."""

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from exporter.collector.past import Past
from exporter.collector.status import Kind, Status, StatusTracker
from exporter.config.model import App, Config
from exporter.core.clock import Clock
from exporter.metrics.aggregates import AppReport
from exporter.metrics.exposition import Exposition
from exporter.metrics.self_metrics import HTTP_REQUESTS, SelfMetrics
from exporter.rules.app_engine import AppPolicy
from exporter.rules.cel_language import STOPPED
from exporter.rules.engine import PolicyEngine
from exporter.rules.findings import AnyRule, RuleReport
from exporter.rules.rule import AppKey, Outcome, Severity
from exporter.rules.rule_set import RuleSet
from exporter.service.app_publisher import TaskSeries
from exporter.service.budget_leases import BudgetLeases
from exporter.service.monitor import Monitor, intervals_of
from exporter.service.on_demand import FreshSweeps
from exporter.service.recorder import Recorder
from exporter.web.view import (
    AppView,
    BudgetView,
    FindingDetail,
    FindingKind,
    FindingsView,
    RuleView,
    TaskFinding,
    TasksView,
    TaskView,
    TotalsDocument,
    Trend,
    severest_first,
)

MOST_REASONS: Final = 3
LOOKED_AT_FOR_REASONS: Final = 30
"""This many tasks that a rule can't be evaluated for, at most a third of them of one app: most have the same reason."""

SAMPLE_SECONDS: Final = 60.0
MOST_SAMPLES: Final = 360
ALL_APPS: Final = ("", "")
_UNKNOWN: Final = -1

_KINDS: Final[Mapping[FindingKind, tuple[Outcome, Callable[[RuleReport], int]]]] = {
    FindingKind.VIOLATION: (Outcome.VIOLATION, attrgetter("violations")),
    FindingKind.EXEMPTED: (Outcome.EXEMPT, attrgetter("exempted")),
    FindingKind.UNEVALUABLE: (Outcome.ERROR, attrgetter("unevaluable")),
}
"""The outcome of each kind, and how many findings of it a report counts."""


class PolicyView:
    """Answers the policy's part of the web's `View`."""

    def __init__(
        self,
        policy: PolicyEngine,
        statuses: Callable[[], Iterable[Status]],
        rule_set: Callable[[], RuleSet],
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._statuses = statuses
        self._rule_set = rule_set
        self._clock = clock

    def findings(self, kind: FindingKind, app: AppKey | None = None) -> Iterator[FindingsView]:
        """Yield the findings of one kind, in one group for each app and rule that has any; `app` None: of all apps."""
        outcome, count_of = _KINDS[kind]
        for status in self._statuses():
            if app not in {None, status.key}:
                continue
            policy, reports = self._policy.app(status.key), self._reports(status.key)
            # Without a report it is what an earlier process left open, which may be frozen for long.
            known = ((each.rule, each.since) for each in policy.findings())
            for rule, since in known if policy.report is not None else policy.counted.remembered():
                report = reports.get(rule.rule.name)
                count = 0 if report is None else count_of(report)
                is_open = outcome is Outcome.VIOLATION and (count or policy.report is None)
                if count or is_open:
                    yield FindingsView(
                        *status.key,
                        rule=rule.rule,
                        owner=rule.rule.owner or status.owner,
                        data_available=status.data_available,
                        count=len(since) if is_open else count,  # the report may be older
                        task_ids=since.keys if is_open else partial(_task_ids, outcome, policy, rule),
                        since=since if is_open else {},
                        detail=partial(self._detail, outcome, policy, rule),
                    )

    def of_task(self, key: AppKey, task_id: str) -> Iterator[TaskFinding]:
        """Yield what has come of each rule for one task, in the order of the rules."""
        policy = self._policy.app(key)
        for findings in policy.findings():
            outcome = policy.outcome(findings.rule, task_id)
            if outcome is not None:
                yield TaskFinding(
                    findings.rule.rule,
                    outcome,
                    since=findings.since.get(task_id),
                    detail=self._detail(outcome, policy, findings.rule, task_id),
                )

    def rules(self) -> Iterator[RuleView]:
        """Yield all rules, also those that are switched off."""
        rule_set = self._rule_set()
        reports: dict[str, dict[AppKey, RuleReport]] = {}
        for status in self._statuses():
            for name, report in self._reports(status.key).items():
                reports.setdefault(name, {})[status.key] = report
        in_force = {rule.name: rule for rule in rule_set.all_rules()}
        stopped = rule_set.stopped()
        for name, rule in in_force.items():
            of_apps = reports.get(name, {})
            yield RuleView(
                rule,
                why_stopped=STOPPED if name in stopped else None,
                totals=_totals(of_apps.values()) if of_apps else None,
                reasons=partial(self._reasons, [key for key, report in of_apps.items() if report.unevaluable], name),
            )
        for off in rule_set.off:
            if off.rule.name not in in_force:
                yield RuleView(off.rule, why_off=off.why)

    def _reports(self, key: AppKey) -> dict[str, RuleReport]:
        report = self._policy.app(key).report
        return {} if report is None else {rule.rule: rule for rule in report.rules}

    def _detail(self, outcome: Outcome, policy: AppPolicy, rule: AnyRule, task_id: str) -> FindingDetail:
        match outcome:
            case Outcome.ERROR:
                return FindingDetail(reason=policy.reason(rule, task_id))
            case Outcome.EXEMPT:
                exemption = rule.rule.exemption_of(task_id, self._clock.now())
                return FindingDetail(policy.text(rule, task_id), None if exemption is None else exemption.name)
            case Outcome.VIOLATION:
                return FindingDetail(policy.text(rule, task_id))
        return FindingDetail()

    def _reasons(self, keys: Iterable[AppKey], name: str) -> Sequence[str]:
        reasons: dict[str, None] = {}
        looked_at = 0
        for policy in map(self._policy.app, keys):
            for rule in (findings.rule for findings in policy.findings() if findings.rule.rule.name == name):
                for task_id in islice(policy.tasks_with(Outcome.ERROR, rule), LOOKED_AT_FOR_REASONS // 3):
                    reasons[policy.reason(rule, task_id)] = None
                    looked_at += 1
            if len(reasons) >= MOST_REASONS or looked_at >= LOOKED_AT_FOR_REASONS:
                break
        return tuple(islice(reasons, MOST_REASONS))


def _task_ids(outcome: Outcome, policy: AppPolicy, rule: AnyRule) -> Collection[str]:
    return list(policy.tasks_with(outcome, rule))


def _totals(reports: Collection[RuleReport]) -> TotalsDocument:
    oldest = [report.oldest_violation for report in reports if report.oldest_violation is not None]
    counts = ("violations", "evaluated", "not_applicable", "exempted", "unevaluable")
    sums = {name: sum(getattr(report, name) for report in reports) for name in counts}
    return TotalsDocument(**sums, oldest_violation=min(oldest, default=None))


def violations_of(report: AppReport, policy: AppPolicy) -> Mapping[Severity, int] | None:
    """Return an app's violations, severest first; None: not all tasks have been evaluated, or nothing is known now.

    While there is no data they are frozen: those last found, also by an earlier process.
    """
    counts = Counter[Severity]()
    if report.policy is not None:
        for found in report.policy.rules:
            counts[found.severity] += found.violations
    elif not report.status.data_available:
        for rule, since in policy.counted.remembered():
            counts[rule.rule.severity] += len(since)
    is_known = counts.total() or (report.policy is not None and report.status.data_available)
    return severest_first(counts) if is_known else None


class Trends:
    """Samples all apps, and their violations where these are known, once a minute; 6 hours of one app take 3 KiB."""

    def __init__(self, statuses: Callable[[], Iterable[AppView]], clock: Clock) -> None:
        self._statuses = statuses
        self._clock = clock
        self._samples: dict[AppKey, tuple[array[int], array[int]]] = {}

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await self._clock.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        """Add one sample of each app, and of all apps together; forget apps that are gone."""
        now = {app.status.key: _counts(app) for app in self._statuses()}
        now[ALL_APPS] = _sum(tasks for tasks, _ in now.values()), _sum(count for _, count in now.values())
        self._samples = {key: self._samples.get(key) or (array("i"), array("i")) for key in now}
        for key, counts in now.items():
            for samples, count in zip(self._samples[key], counts, strict=True):
                samples.append(_UNKNOWN if count is None else count)
                del samples[:-MOST_SAMPLES]

    def of(self, account: str = "", app_id: str = "") -> Trend:
        """Return the samples of one app, or of all together."""
        tasks, violations = self._samples.get((account, app_id), ((), ()))
        return Trend(SAMPLE_SECONDS, _known(tasks), _known(violations))


def _counts(app: AppView) -> tuple[int | None, int | None]:
    """Return the numbers of tasks and of violations, which are frozen, and thus not known, while there is no data."""
    if app.tasks is None:
        return None, None
    return sum(app.tasks.values()), None if app.violations is None else sum(app.violations.values())


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _known(samples: Iterable[int]) -> Sequence[int | None]:
    return [None if count == _UNKNOWN else count for count in samples]


class InForce(Struct, frozen=True):
    """A configuration that the daemon runs by."""

    config: Config  # all of it, also what other exporters collect
    rule_set: RuleSet
    redacted: str  # the configuration as YAML, without secrets


class DaemonView:
    """The web's `View` of a daemon; `in_force` is what it runs by just now."""

    def __init__(
        self,
        monitor: Monitor,
        leases: BudgetLeases,
        recorder: Recorder,
        *,
        reload: Callable[[], Coroutine[Any, Any, str | None]],
        ready: Callable[[], str | None],
        healthy: Callable[[], str | None],
        exposition: Exposition[AppReport],
        task_series: TaskSeries,
        metrics: SelfMetrics,
        clock: Clock,
    ) -> None:
        self._monitor = monitor
        self._leases = leases
        self._recorder = recorder
        self.metrics, self.task_metrics = exposition.body, task_series.body
        self.request_finished = partial(metrics.count, HTTP_REQUESTS)
        self._clock = clock
        self.reload, self.ready, self.healthy = reload, ready, healthy
        self.in_force = InForce(Config(accounts=()), RuleSet.empty(), "")
        policy_view = PolicyView(
            monitor.policy,
            lambda: [app.collector.status for app in monitor.apps.values()],
            lambda: self.in_force.rule_set,
            clock,
        )
        self.findings, self.rules, self._of_task = policy_view.findings, policy_view.rules, policy_view.of_task
        self.trends = Trends(self.statuses, clock)
        self.trend = self.trends.of
        self.fresh_sweeps = FreshSweeps(monitor, clock)
        self.collect_now, self.sweep_report = self.fresh_sweeps.start, self.fresh_sweeps.report

    def statuses(self) -> Sequence[AppView]:
        """Return all configured apps, in the order of the configuration."""
        return [self._shown(account.name, app) for account in self.in_force.config.accounts for app in account.apps]

    def _shown(self, account: str, app: App) -> AppView:
        key = (account, app.id)
        own = self._monitor.apps.get(key)
        if own is None:
            holder = self._leases.holder_of(account)
            reason = f"collected by another exporter: {holder}" if holder else "no exporter collects it now"
            intervals = intervals_of(self.in_force.config.collection)
            status = StatusTracker(account, app).status(intervals, at=self._clock.monotonic())
            return AppView(replace(status, reason=reason), None, collected_by=holder)
        report = own.report
        return AppView(
            report.status,
            None
            if report.aggregates is None
            else {(region, mode): n for (region, mode), n in report.aggregates.counts("tasks").items()},
            violations_of(report, self._monitor.policy.app(key)),
            next_update=self._monitor.next_turn(key, Kind.UPDATE),
            next_sweep=self._monitor.next_turn(key, Kind.SWEEP),
        )

    def budgets(self) -> Sequence[BudgetView]:
        """Return the budgets that this exporter uses, in the order of the configuration."""
        budgets = self._monitor.budgets()
        if self._leases.sharing is None:
            return budgets
        return [each for each in budgets if any(map(self._leases.lease_of, each.accounts))]

    def tasks(self, account: str, app_id: str) -> TasksView | None:
        """Return the tasks of one app; None: there is no such app."""
        collector = self._monitor.collector((account, app_id))
        if collector is None:
            return None
        push_keys = self._monitor.policy.app(collector.key).push_keys
        return TasksView(collector.status, tuple(collector.inventory), push_keys)

    def task(self, account: str, app_id: str, task_id: str) -> TaskView | None:
        """Return one task; None: it is not known, or there is no such app."""
        collector = self._monitor.collector((account, app_id))
        entry = None if collector is None else collector.inventory.get(task_id)
        if collector is None or entry is None:
            return None
        push_keys = self._monitor.policy.app(collector.key).push_keys(entry)
        return TaskView(collector.status, entry, tuple(self._of_task(collector.key, task_id)), push_keys)

    def past(self) -> Past:
        """Return what answers questions about the past."""
        return self._recorder.past

    def redacted_config(self) -> str:
        """Return the configuration in force, without secrets."""
        return self.in_force.redacted
