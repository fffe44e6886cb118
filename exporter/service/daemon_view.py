"""What the web side is given to show: the daemon's parts, seen through the web's `View`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from exporter.collector.collector import Collector
from exporter.collector.past import Past
from exporter.collector.status import Kind, StatusTracker, SweepReport
from exporter.config.model import App, Config
from exporter.core.clock import Clock
from exporter.metrics.aggregates import AppReport
from exporter.metrics.exposition import Body, Exposition
from exporter.metrics.negotiation import Format
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule_set import RuleSet
from exporter.service.budget_leases import BudgetLeases
from exporter.service.monitor import AppKey, Monitor, configured_intervals
from exporter.service.on_demand import FreshSweeps
from exporter.service.recorder import Recorder
from exporter.service.task_publisher import TaskSeries
from exporter.service.trends import Trends
from exporter.service.views import PolicyView, TaskViews
from exporter.web.view import (
    AppView,
    BudgetView,
    FindingKind,
    FindingsView,
    RuleView,
    SweepStart,
    TasksView,
    TaskView,
    Trend,
)


class InForce(Struct, frozen=True):
    """A configuration that the daemon runs by."""

    config: Config
    """All of it, also what other exporters collect."""
    rule_set: RuleSet
    redacted: str
    """The configuration as YAML, without secrets."""


class Lifecycle(Protocol):
    """Start, reload and health of the process."""

    async def reload(self) -> str | None:
        """Load the configuration; return why it is refused, None when it is in force."""

    def ready(self) -> str | None:
        """Return why not to rely on the exporter yet; None when it is ready."""

    def healthy(self) -> str | None:
        """Return why to restart the process; None when it is healthy."""


class DaemonView:
    """The web's `View` of a daemon; `in_force` is what it runs by just now."""

    def __init__(
        self,
        monitor: Monitor,
        leases: BudgetLeases,
        recorder: Recorder,
        *,
        lifecycle: Lifecycle,
        exposition: Exposition[AppReport],
        task_series: TaskSeries,
        metrics: SelfMetrics,
        clock: Clock,
    ) -> None:
        self._monitor = monitor
        self._leases = leases
        self._recorder = recorder
        self._exposition = exposition
        self._task_series = task_series
        self._metrics = metrics
        self._clock = clock
        self.reload, self.ready, self.healthy = lifecycle.reload, lifecycle.ready, lifecycle.healthy
        self.in_force = InForce(Config(accounts=()), RuleSet.empty(), "")
        self._policy_view = PolicyView(
            monitor.policy,
            lambda: [app.collector.status for app in monitor.apps.values()],
            lambda: self.in_force.rule_set,
            clock,
        )
        self._task_views = TaskViews(self._collectors, self._policy_view.of_task, monitor.policy.push_keys)
        self.trends = Trends(self.statuses, self._policy_view.violations, clock)
        self.fresh_sweeps = FreshSweeps(
            self._collectors,
            monitor.requests_of,
            lambda: monitor.config.collection.max_tasks_per_app,
            monitor.supervisor,
            clock,
        )

    def statuses(self) -> Sequence[AppView]:
        """Return all configured apps, in the order of the configuration."""
        return [self._shown(account.name, app) for account in self.in_force.config.accounts for app in account.apps]

    def _shown(self, account: str, app: App) -> AppView:
        key = (account, app.id)
        own = self._monitor.apps.get(key)
        if own is None:
            holder = self._leases.holder_of(account)
            reason = f"collected by another exporter: {holder}" if holder else "no exporter collects it now"
            intervals = configured_intervals(self.in_force.config.collection)
            status = StatusTracker(account, app).status(intervals, at=self._clock.monotonic())
            return AppView(replace(status, reason=reason), None, collected_by=holder)
        report = own.publisher.report
        return AppView(
            report.status,
            _tasks_by_region_and_mode(report),
            next_update=self._monitor.next_turn(key, Kind.UPDATE),
            next_sweep=self._monitor.next_turn(key, Kind.SWEEP),
        )

    def trend(self, account: str = "", app_id: str = "") -> Trend:
        """Return the last hours of one app, or of all together."""
        return self.trends.of(account, app_id)

    def budgets(self) -> Sequence[BudgetView]:
        """Return the budgets that this exporter uses, in the order of the configuration."""
        budgets = self._monitor.budgets()
        if self._leases.sharing is None:
            return budgets
        return [each for each in budgets if any(map(self._leases.lease_of, each.accounts))]

    def tasks(self, account: str, app_id: str) -> TasksView | None:
        """Return the tasks of one app."""
        return self._task_views.tasks(account, app_id)

    def task(self, account: str, app_id: str, task_id: str) -> TaskView | None:
        """Return one task and what its rules say about it."""
        return self._task_views.task(account, app_id, task_id)

    def collect_now(self, account: str, app_id: str) -> SweepStart:
        """Begin to read an app's whole list, beside its collection."""
        return self.fresh_sweeps.start(account, app_id)

    def sweep_report(self, account: str, app_id: str) -> SweepReport | None:
        """Return how the newest such reading goes or went."""
        return self.fresh_sweeps.report(account, app_id)

    def metrics(self, exposition_format: Format, *, gzip: bool) -> Body:
        """Return the ready bytes of the exposition."""
        return self._exposition.body(exposition_format, gzip=gzip)

    def task_metrics(self, exposition_format: Format, *, gzip: bool) -> Body | None:
        """Return the ready bytes of the exposition of single tasks, while it is switched on."""
        return self._task_series.body(exposition_format, gzip=gzip)

    def past(self) -> Past:
        """Return what answers questions about the past."""
        return self._recorder.past

    def findings(self, kind: FindingKind, app: AppKey | None = None) -> Iterator[FindingsView]:
        """Return the findings of one kind, by app and rule."""
        return self._policy_view.findings(kind, app)

    def rules(self) -> Iterator[RuleView]:
        """Return all rules, also those that are switched off."""
        return self._policy_view.rules()

    def redacted_config(self) -> str:
        """Return the configuration in force, without secrets."""
        return self.in_force.redacted

    def request_finished(self, path_template: str, code: int) -> None:
        """Count an answered request."""
        self._metrics.request_answered(path_template, code)

    def _collectors(self) -> Mapping[AppKey, Collector]:
        return {key: app.collector for key, app in self._monitor.apps.items()}


def _tasks_by_region_and_mode(report: AppReport) -> Mapping[tuple[str, str], int] | None:
    if report.aggregates is None:
        return None
    return {(region, mode): tasks for (region, mode), tasks in report.aggregates.counts("tasks").items()}
