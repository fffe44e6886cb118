"""What the web side is given to show: the daemon's parts, seen through the web's `View`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from exporter.collector.collector import Collector
from exporter.collector.past import Past
from exporter.collector.status import Kind, StatusTracker
from exporter.config.model import App, Config
from exporter.core.clock import Clock
from exporter.metrics.aggregates import AppReport
from exporter.metrics.exposition import Exposition
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule import AppKey
from exporter.rules.rule_set import RuleSet
from exporter.service.budget_leases import BudgetLeases
from exporter.service.monitor import Monitor, intervals_of
from exporter.service.on_demand import FreshSweeps
from exporter.service.recorder import Recorder
from exporter.service.task_publisher import TaskSeries
from exporter.service.views import PolicyView, TaskViews, Trends
from exporter.web.view import AppView, BudgetView


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
        self.metrics, self.task_metrics = exposition.body, task_series.body
        self.request_finished = metrics.request_answered
        self._clock = clock
        self.reload, self.ready, self.healthy = lifecycle.reload, lifecycle.ready, lifecycle.healthy
        self.in_force = InForce(Config(accounts=()), RuleSet.empty(), "")
        policy_view = PolicyView(
            monitor.policy,
            lambda: [app.collector.status for app in monitor.apps.values()],
            lambda: self.in_force.rule_set,
            clock,
        )
        self.findings, self.rules = policy_view.findings, policy_view.rules
        task_views = TaskViews(
            self._collectors, policy_view.of_task, lambda app, entry: monitor.policy.app(app).push_keys(entry)
        )
        self.tasks, self.task = task_views.tasks, task_views.task
        self.trends = Trends(self.statuses, policy_view.violations, clock)
        self.trend = self.trends.of
        self.fresh_sweeps = FreshSweeps(
            self._collectors,
            monitor.requests_of,
            lambda: monitor.config.collection.max_tasks_per_app,
            monitor.supervisor,
            clock,
        )
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
        report = own.publisher.report
        return AppView(
            report.status,
            _tasks_by_region_and_mode(report),
            next_update=self._monitor.next_turn(key, Kind.UPDATE),
            next_sweep=self._monitor.next_turn(key, Kind.SWEEP),
        )

    def budgets(self) -> Sequence[BudgetView]:
        """Return the budgets that this exporter uses, in the order of the configuration."""
        budgets = self._monitor.budgets()
        if self._leases.sharing is None:
            return budgets
        return [each for each in budgets if any(map(self._leases.lease_of, each.accounts))]

    def past(self) -> Past:
        """Return what answers questions about the past."""
        return self._recorder.past

    def redacted_config(self) -> str:
        """Return the configuration in force, without secrets."""
        return self.in_force.redacted

    def _collectors(self) -> Mapping[AppKey, Collector]:
        return {key: app.collector for key, app in self._monitor.apps.items()}


def _tasks_by_region_and_mode(report: AppReport) -> Mapping[tuple[str, str], int] | None:
    if report.aggregates is None:
        return None
    return {(region, mode): tasks for (region, mode), tasks in report.aggregates.counts("tasks").items()}
