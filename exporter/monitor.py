"""All apps of a configuration: opened, collected on schedule, published, and closed."""

import random
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

from msgspec import Struct
from msgspec.structs import replace

from exporter.access import Access, OpenSession
from exporter.aliyun.interning import Interner
from exporter.aliyun.transport import open_session
from exporter.clock import Clock
from exporter.collect.collector import Collector
from exporter.collect.history import History
from exporter.collect.intervals import Intervals
from exporter.collect.limiter import Limiter
from exporter.collect.rows import AppRows
from exporter.collect.schedule import Schedule
from exporter.collect.state_file import SavedApp
from exporter.config.forecast import Pace, forecast
from exporter.config.limiter_groups import limiter_groups
from exporter.config.model import Account, App, Collection, Config
from exporter.metrics.exposition import Exposition
from exporter.metrics.report import AppReport
from exporter.metrics.self_metrics import SelfMetrics
from exporter.picture import Picture
from exporter.task_series import TaskSeries

AppKey = tuple[str, str]
"""Account and AppId."""


class MonitoredApp(Struct, frozen=True):
    """One app and what is known of it."""

    collector: Collector
    picture: Picture


class Monitor:
    """Runs what a configuration asks for, and keeps what another one leaves unchanged.

    Args:
        exposition: Where reports are published.
        metrics: The exporter's own.
        clock: For everything.
        rng: For pauses between attempts.
        changed: Called when there is something new to publish.
        task_series: Where single tasks are published; None: nowhere.
        open_session: Opens what carries requests.
    """

    def __init__(
        self,
        exposition: Exposition[AppReport],
        metrics: SelfMetrics,
        *,
        clock: Clock,
        rng: random.Random,
        changed: Callable[[], None],
        task_series: TaskSeries | None = None,
        open_session: OpenSession = open_session,
    ) -> None:
        self._exposition = exposition
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._changed = changed
        self._task_series = task_series
        self._open_session = open_session
        self._schedule = Schedule(clock=clock, skipped=metrics.sweep_skipped)
        self._config = Config(accounts=())
        self._accesses: dict[str, Access] = {}
        self._apps: dict[AppKey, MonitoredApp] = {}
        self._share = Interner()
        self.history = History(clock)
        """The newest changes of all apps."""
        self._started = False

    @property
    def apps(self) -> Mapping[AppKey, MonitoredApp]:
        """All apps in the order of the configuration."""
        return self._apps

    def restore(self, saved: Iterable[SavedApp]) -> None:
        """Begin with what an earlier process accepted, for the apps that are configured."""
        for app in saved:
            known = self._apps.get((app.account, app.app_id))
            if known is not None:
                known.collector.restore(app)

    def start(self) -> None:
        """Begin to collect on schedule."""
        self._started = True
        self._schedule.start()

    async def close(self) -> None:
        """Stop collecting and give up all connections."""
        if self._started:
            self._schedule.stop()
        for app in self._apps.values():
            await app.picture.close()
        for access in self._accesses.values():
            await access.close()

    async def apply(self, config: Config) -> None:
        """Run another configuration. Accounts and apps that it leaves as they are keep data, budget and turns.

        Raises:
            ValueError: a CA file can't be used; nothing has changed then.
        """
        kept = _unchanged_accounts(self._config, config)
        accesses = await self._open_accesses(config, kept)
        given_up = [access for name, access in self._accesses.items() if accesses.get(name) is not access]
        for key in self._accesses.keys() - accesses.keys():
            self._metrics.remove_account(key)
        self._config, self._accesses = config, accesses
        if self._task_series is not None:
            await self._task_series.configure(config.metrics.per_task)
        await self._replace_apps(kept)
        for access in given_up:
            await access.close()
        self.look_at_budget()
        self._changed()

    def look_at_clock(self) -> None:
        """Withdraw what has become too old; to be called about every second."""
        self._schedule.look_at_clock()
        self.history.flush()
        for app in self._apps.values():
            app.collector.look_at_clock()

    def look_at_budget(self) -> None:
        """Fit the intervals to the numbers of tasks and to the budgets as they are now."""
        known_tasks = {
            key: len(app.collector.inventory) for key, app in self._apps.items() if app.collector.status.sweep
        }
        rates = {name: access.limiter.effective_requests_per_second for name, access in self._accesses.items()}
        for name, rate in rates.items():
            self._accesses[name].metrics.rate(rate)
        for outlook in forecast(_at_rates(self._config, rates), known_tasks):
            intervals = _intervals(outlook.pace)
            for key, app in self._apps.items():
                if key[0] in outlook.accounts:
                    app.collector.set_intervals(intervals)

    async def _open_accesses(self, config: Config, kept: AbstractSet[str]) -> dict[str, Access]:
        """Return an access for each account: those that are kept, and new ones for the others; all or none."""
        accesses: dict[str, Access] = {}
        rates: list[tuple[Limiter, float]] = []
        try:
            for group in limiter_groups(config.accounts):
                known = [self._accesses[account.name].limiter for account in group if account.name in self._accesses]
                rate = min(account.requests_per_second for account in group)
                limiter = known[0] if known else Limiter(rate, clock=self._clock)
                rates.append((limiter, rate))
                for account in group:
                    before = self._accesses.get(account.name)
                    is_kept = before is not None and account.name in kept and before.limiter is limiter
                    accesses[account.name] = before if before and is_kept else self._open(account, limiter, config)
        except ValueError:
            for name, access in accesses.items():
                if access is not self._accesses.get(name):
                    await access.close()
            for account in config.accounts:
                if account.name not in self._accesses:
                    self._metrics.remove_account(account.name)
            raise
        for limiter, rate in rates:
            limiter.set_rate(rate)
        return {account.name: accesses[account.name] for account in config.accounts}

    def _open(self, account: Account, limiter: Limiter, config: Config) -> Access:
        return Access(
            account,
            limiter,
            self._metrics.add_account(account.name),
            request_timeout_seconds=config.collection.request_timeout_seconds,
            clock=self._clock,
            rng=self._rng,
            open_session=self._open_session,
        )

    async def _replace_apps(self, kept: AbstractSet[str]) -> None:
        """Let go of the apps that are no more as they were, and add those that are new."""
        before, self._apps = self._apps, {}
        for account in self._config.accounts:
            for app in account.apps:
                key = (account.name, app.id)
                known = before.get(key)
                if known is not None and account.name in kept and known.collector.app == app:
                    self._apps[key] = before.pop(key)
                else:
                    await self._remove(before.pop(key, None))
                    self._apps[key] = self._add(account.name, app)
        for left in before.values():
            await self._remove(left)

    def _add(self, account: str, app: App) -> MonitoredApp:
        key = (account, app.id)

        def publish(report: AppReport) -> None:
            self._exposition.update(key, report)
            self._changed()

        collection = self._config.collection
        picture = Picture(self._config.metrics.buckets, publish, self.history, self._task_series)
        collector = Collector(
            account=account,
            app=app,
            requests=self._accesses[account].requests.of_app(app.id),
            rows=AppRows(app.id, self._share),
            max_tasks=collection.max_tasks_per_app,
            intervals=_configured(collection),
            clock=self._clock,
            events=picture,
        )
        self._metrics.add_app(account, app.id)
        picture.show(collector)
        self._schedule.add(collector)
        return MonitoredApp(collector, picture)

    async def _remove(self, app: MonitoredApp | None) -> None:
        if app is None:
            return
        collector = app.collector
        self._schedule.remove(collector)
        await app.picture.close()
        self._exposition.remove((collector.account, collector.app.id))
        if self._task_series is not None:
            self._task_series.forget(collector.account, collector.app.id)
        self._metrics.remove_app(collector.account, collector.app.id)


def _unchanged_accounts(before: Config, now: Config) -> AbstractSet[str]:
    """Return the names of accounts that both have, with the same settings, whatever apps."""
    if (before.collection, before.metrics.buckets) != (now.collection, now.metrics.buckets):
        return set()
    known = {account.name: replace(account, apps=()) for account in before.accounts}
    return {account.name for account in now.accounts if known.get(account.name) == replace(account, apps=())}


def _at_rates(config: Config, rates: Mapping[str, float]) -> Config:
    """Return the configuration with the rates that are in force."""
    return replace(
        config,
        accounts=tuple(replace(account, requests_per_second=rates[account.name]) for account in config.accounts),
    )


def _configured(collection: Collection) -> Intervals:
    return Intervals(
        interval_seconds=collection.interval_seconds,
        sweep_interval_seconds=collection.sweep_interval_seconds,
        stale_after_seconds=collection.stale_after_seconds,
        stretch_ratio=1.0,
    )


def _intervals(pace: Pace) -> Intervals:
    return Intervals(
        interval_seconds=pace.interval_seconds,
        sweep_interval_seconds=pace.sweep_interval_seconds,
        stale_after_seconds=pace.stale_after_seconds,
        stretch_ratio=pace.stretch_ratio,
    )
