"""All apps of a configuration: opened, collected on schedule, published, and closed."""

import random
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet

import structlog

from exporter.aliyun.parse_task import Interner
from exporter.aliyun.transport import open_session
from exporter.collector.collector import Collector
from exporter.collector.inventory import Change
from exporter.collector.past import SavedApp
from exporter.collector.rate_limiter import Priority
from exporter.collector.reading import AppRows, ReadingTurns
from exporter.collector.scheduler import Schedule
from exporter.collector.status import Intervals, Kind
from exporter.config.capacity import Forecast, GroupLoad, forecast
from exporter.config.model import App, Collection, Config
from exporter.core.clock import Clock
from exporter.core.collection_state import Component
from exporter.core.threads import Worker
from exporter.metrics.aggregates import AppReport
from exporter.metrics.exposition import Exposition
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.engine import PolicyEngine
from exporter.rules.findings import FindingEvents
from exporter.rules.rule import AppKey
from exporter.rules.rule_set import RuleSet
from exporter.service.accounts import Accesses, OpenSession
from exporter.service.app_publisher import AppPublisher, TaskSeries
from exporter.service.recorder import RecordedApp, Recorder
from exporter.service.supervisor import Supervisor
from exporter.web.view import BudgetView


class Monitor:
    """Runs a configuration, and keeps what the next one leaves unchanged; `events` receives the findings."""

    def __init__(
        self,
        exposition: Exposition[AppReport],
        metrics: SelfMetrics,
        *,
        clock: Clock,
        rng: random.Random,
        changed: Callable[[], None] = lambda: None,
        events: FindingEvents | None = None,
        lease_of: Callable[[str], tuple[str, int] | None] = lambda _account: None,
        open_session: OpenSession = open_session,
    ) -> None:
        self._exposition = exposition
        self._metrics = metrics
        self._clock = clock
        self._changed = changed
        self.task_series = TaskSeries(metrics)
        self.supervisor = Supervisor(metrics.internal_error, clock)  # what everything runs under
        self._schedule = Schedule(
            attempt=self.supervisor.attempt,
            failed=lambda error: self.supervisor.failed(Component.SCHEDULE, error),
            clock=clock,
            skipped=metrics.sweep_skipped,
        )
        self._check_sums = Worker("check sums")
        self.config = Config(accounts=())  # the one in force
        self.accesses = Accesses(metrics, clock=clock, rng=rng, open_session=open_session)
        self.apps: dict[AppKey, AppPublisher] = {}  # each with its collector, in the order of the configuration
        self._removed: list[AppPublisher] = []
        self._share = Interner()
        self._reading_turns = ReadingTurns(clock.monotonic)
        self.recorder = Recorder(
            events or FindingEvents(),
            app=self._recorded,
            apps=lambda: list(self.apps),
            older=self._age,
            failed=lambda error: self.supervisor.failed(Component.STORAGE, error),
            keep_running=lambda run: self.supervisor.keep_running(Component.STORAGE, run),
            clock=clock,
            lease_of=lease_of,
        )
        """Writes what is new to the database; without one it keeps the newest changes of all apps."""
        self.policy = PolicyEngine(
            clock, events=self.recorder, changed=self._publish_app, failed=self._rules_failed, works=self._rules_work
        )
        self._started = False

    def collector(self, key: AppKey) -> Collector | None:
        """Return what collects an app; None: it is not configured."""
        app = self.apps.get(key)
        return None if app is None else app.collector

    def next_turn(self, key: AppKey, kind: Kind) -> float | None:
        """Return when an app is to be read next, in wall-clock seconds; None: it is not scheduled."""
        return self._schedule.next_turn(self.apps[key].collector, kind)

    def restore(self, saved: Iterable[SavedApp]) -> None:
        """Begin with what an earlier process accepted, for the apps that are configured and were not read yet."""
        with self.policy.restoring():
            for app in saved:
                self._restore(app)

    def _restore(self, app: SavedApp) -> None:
        key = (app.account, app.app_id)
        if key not in self.apps or self.apps[key].collector.status.sweep is not None:
            return
        if app.endpoint != self.accesses[app.account].endpoint:
            structlog.get_logger().info(
                "saved tasks are not used: they are of another endpoint",
                account=app.account,
                app_id=app.app_id,
                endpoint=app.endpoint,
            )
            return
        with self.supervisor.guarded(Component.STORAGE, key):
            self.policy.restore(key, app.violations)
            with self.recorder.restoring(app):
                self.apps[key].collector.restore(app)

    def _age(self, saved: SavedApp, tasks: Sequence[Change]) -> None:
        """Let violations of an app that began without its stored data be as old as that says; publish its tasks."""
        key = (saved.account, saved.app_id)
        app = self.apps.get(key)
        if app is not None:
            with self.supervisor.guarded(Component.STORAGE, key):
                self.policy.restore(key, saved.violations)
                app.aged(tasks)

    def _recorded(self, key: AppKey) -> RecordedApp | None:
        app = self.apps.get(key)
        if app is None:
            return None
        return RecordedApp(app.collector, self.accesses[key[0]].endpoint, self.policy.app(key).counted.saved)

    def start(self) -> None:
        """Begin to collect on schedule."""
        self._started = True
        self._schedule.start()

    async def close(self) -> None:
        """Stop collecting and close all connections."""
        if self._started:
            self._schedule.stop()
        for app in self.apps.values():
            await app.close()
        await self.close_removed()
        await self.accesses.close()

    async def apply(self, config: Config, rule_set: RuleSet) -> None:
        """Run another configuration: all of it takes effect in one step; `close_removed` has to follow.

        An account keeps the data of its apps while its endpoint is the same, and its budget in any case; a rule keeps
        its findings while what it expects is the same. Raises UsageError for a CA file; nothing has changed then.
        """
        kept = await self.accesses.apply(config)  # it waits for nothing unless it fails
        self.config = config
        self.task_series.configure(config.metrics.per_task)
        self._replace_apps(kept)
        self.policy.apply(
            rule_set, [(key, app.collector.app, app.collector.inventory) for key, app in self.apps.items()]
        )
        self._metrics.rules_loaded(rule_set.all_rules())
        for key, app in self.apps.items():
            self._publish_app(key)
            app.show_tasks()
        self.look_at_budget()
        self._changed()

    async def close_removed(self) -> None:
        """End what `apply` has removed."""
        removed, self._removed = self._removed, []
        for publisher in removed:
            await publisher.close()
        await self.accesses.close_replaced()

    def look_at_clock(self) -> None:
        """Withdraw what has become too old; to be called about every second."""
        with self.supervisor.guarded(Component.SCHEDULE):
            self._schedule.look_at_clock()
        with self.supervisor.guarded(Component.RULES):
            self.policy.tick()
        for key, app in self.apps.items():
            with self.supervisor.guarded(Component.STATUS, key):
                app.collector.look_at_clock()
                app.look_at_clock()
        self.recorder.history.flush()

    def look_at_budget(self) -> None:
        """Fit the intervals to the numbers of tasks and to the budgets as they are now."""
        for access in self.accesses.values():
            access.metrics.rate(access.limiter.granted_requests_per_second)
        for outlook in self.forecasts():
            intervals = intervals_of(outlook.pace)
            for key, app in self.apps.items():
                if key[0] in outlook.accounts:
                    with self.supervisor.guarded(Component.STATUS, key):
                        app.collector.set_intervals(intervals)

    def forecasts(self) -> tuple[Forecast, ...]:
        """Return what is to be expected of each budget at the rates and numbers of tasks as they are now."""
        known_tasks = {
            key: len(app.collector.inventory) for key, app in self.apps.items() if app.collector.status.sweep
        }
        rates = {name: access.limiter.effective_requests_per_second for name, access in self.accesses.items()}
        return forecast(self.config, known_tasks, rates)

    def budgets(self) -> tuple[BudgetView, ...]:
        """Return the state of each budget."""
        configured = {account.name: account.requests_per_second for account in self.config.accounts}
        return tuple(
            BudgetView(
                accounts=outlook.accounts,
                configured_rate=min(configured[name] for name in outlook.accounts),
                effective_rate=outlook.requests_per_second,
                needed_rate=outlook.pace.update_requests_per_second + outlook.pace.sweep_requests_per_second,
                waiting=sum(self.accesses[outlook.accounts[0]].limiter.waiting(priority) for priority in Priority),
            )
            for outlook in self.forecasts()
        )

    def _replace_apps(self, kept: AbstractSet[str]) -> None:
        before, self.apps = self.apps, {}
        for account in self.config.accounts:
            for app in account.apps:
                key = (account.name, app.id)
                if key in before and account.name in kept:
                    known = self.apps[key] = before.pop(key)
                    known.collector.configure(app, max_tasks=self.config.collection.max_tasks_per_app)
                    known.configure(self.config.metrics.buckets, self.config.policy.push_auth_settings)
                else:
                    self._remove(before.pop(key, None))
                    self.apps[key] = self._add(account.name, app)
        for left in before.values():
            self._remove(left)

    def _add(self, account: str, app: App) -> AppPublisher:
        key = (account, app.id)

        def publish(report: AppReport) -> None:
            self._exposition.update(key, report)
            self._changed()

        collection = self.config.collection
        publisher = AppPublisher(
            self.config.metrics.buckets,
            publish,
            self.policy,
            self.recorder,
            self.task_series,
            supervisor=self.supervisor,
            worker=self._check_sums,
            clock=self._clock,
            push_auth=self.config.policy.push_auth_settings,
        )
        collector = Collector(
            account=account,
            app=app,
            requests=self.accesses[account].requests.of_app(app.id),
            rows=AppRows(app.id, self._share, self._reading_turns),
            max_tasks=collection.max_tasks_per_app,
            intervals=intervals_of(collection),
            clock=self._clock,
            events=publisher,
        )
        self._metrics.add_app(account, app.id)
        publisher.show(collector)
        self._schedule.add(collector)
        return publisher

    def _publish_app(self, key: AppKey) -> None:
        app = self.apps.get(key)
        if app is not None:
            with self.supervisor.guarded(Component.STATUS, key):
                app.publish()

    def _rules_failed(self, key: AppKey, error: Exception) -> None:
        if key in self.apps:
            self.supervisor.app_failed(self.apps[key].collector, Component.RULES, error)
        else:
            self.supervisor.failed(Component.RULES, error, key)

    def _rules_work(self, key: AppKey) -> None:
        if key in self.apps:
            self.supervisor.app_works(self.apps[key].collector, Component.RULES)

    def _remove(self, app: AppPublisher | None) -> None:
        if app is None:
            return
        key = app.collector.key
        self._schedule.remove(app.collector)
        app.leave()
        self._removed.append(app)
        self._exposition.remove(key)
        self.task_series.follow(key, app.collector.inventory, (), available=False)
        self._metrics.remove_app(*key)
        self.supervisor.forget(key)


def intervals_of(source: Collection | GroupLoad) -> Intervals:
    """Return the intervals that are configured, or that a budget stretches."""
    stretch_ratio = 1.0 if isinstance(source, Collection) else source.stretch_ratio
    return Intervals(source.interval_seconds, source.sweep_interval_seconds, source.stale_after_seconds, stretch_ratio)
