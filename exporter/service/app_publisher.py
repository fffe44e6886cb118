"""From what was collected about one app to what is published about it and about its single tasks."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from exporter.collector.collector import Collector, CollectorEvents
from exporter.collector.inventory import Change, Entry, Inventory
from exporter.collector.task_diff import ChangeCounts
from exporter.config.model import Buckets, PerTask
from exporter.core.clock import Clock
from exporter.core.collection_state import Component
from exporter.core.push_auth import DEFAULTS, PushAuthSettings
from exporter.core.task import signed_times
from exporter.core.threads import Worker
from exporter.metrics.aggregates import Aggregates, AppReport
from exporter.metrics.exposition import TASKS_PATH, Body, Exposition, Format
from exporter.metrics.per_task_families import ListedTask, StableSubset, per_task_families
from exporter.metrics.self_metrics import SERIES_OMITTED, SelfMetrics
from exporter.rules.engine import PolicyEngine
from exporter.rules.rule import AppKey
from exporter.service.recorder import Recorder
from exporter.service.supervisor import Supervisor

MOST_CHANGES_DURING_CHECK: Final = 100_000  # with more changes a comparison begins again


class AppPublisher(CollectorEvents):
    """Keeps one app's aggregates in step with the inventory of its `collector`."""

    collector: Collector

    def __init__(
        self,
        buckets: Buckets,
        publish: Callable[[AppReport], None],
        policy: PolicyEngine,
        recorder: Recorder,
        task_series: "TaskSeries",
        *,
        supervisor: Supervisor,
        worker: Worker,
        clock: Clock,
        push_auth: PushAuthSettings = DEFAULTS,
    ) -> None:
        self._buckets = buckets
        self._push_auth = push_auth
        self._clock = clock
        self._publish = publish
        self._policy = policy
        self._recorder = recorder
        self._task_series = task_series
        self._supervisor = supervisor
        self._worker = worker
        self._counts = ChangeCounts()
        self._aggregates = Aggregates(buckets, push_auth, clock.now())
        self._check: asyncio.Task[None] | None = None
        self._changes_since_check: list[Change] = []
        self._closed = False

    @property
    def report(self) -> AppReport:
        """What may be published now."""
        status = self.collector.status
        aggregates = self._aggregates if status.data_available else None
        return AppReport(status, aggregates, self._counts, self._policy.app(self.collector.key).report)

    def show(self, collector: Collector) -> None:
        """Say whose events will come, and publish its state."""
        self.collector = collector
        self.publish()

    def publish(self) -> None:
        """Publish the app as it is now. What can't be rendered is withdrawn, so that its status is always seen."""
        try:
            self._publish(self.report)
        except Exception:
            status = replace(self.collector.status, up=False, data_available=False)
            self._publish(AppReport(status, None))
            raise

    def collected(self, changes: Sequence[Change], *, baseline: bool) -> None:
        """Bring sums and findings up to date, remember what has changed since the baseline, and publish."""
        if self._closed:
            return
        try:
            self._take_in(changes, baseline=baseline)
        finally:
            self.publish()
        self.show_tasks(changes)

    def aged(self, tasks: Sequence[Change]) -> None:
        """Publish tasks that are older than was known, as changes to the same."""
        available = self.collector.status.data_available
        self._policy.collected(self.collector.key, tasks, baseline=False, available=available)
        self.publish()
        self.show_tasks(tasks)

    def look_at_clock(self) -> None:
        """Publish push keys that have another state now; to be called about every second."""
        if self._aggregates.advance(self._clock.now()) and self.collector.status.data_available:
            self.publish()

    def configure(self, buckets: Buckets, push_auth: PushAuthSettings) -> None:
        """Take on other settings; sums by those before are published until the new ones are counted."""
        if (buckets, push_auth) == (self._buckets, self._push_auth):
            return
        self._buckets, self._push_auth = buckets, push_auth
        if self._check is not None:
            self._check.cancel()
        self._count_anew()

    def swept(self) -> None:
        """Compare the running sums with sums recomputed from all tasks, in a thread."""
        if self._check is None and not self._closed:
            self._count_anew()

    def leave(self) -> None:
        """Ignore further events: a turn may still run to its end. A running comparison ends."""
        self._closed = True
        if self._check is not None:
            self._check.cancel()

    async def close(self) -> None:
        """Do as `leave`, and wait for the end of a comparison."""
        self.leave()
        if self._check is not None:
            await asyncio.gather(self._check, return_exceptions=True)

    def show_tasks(self, changes: Sequence[Change] = ()) -> None:
        """Publish tasks one by one: those that changed, or all where they are not published yet."""
        available = self.collector.status.data_available
        self._task_series.follow(self.collector.key, self.collector.inventory, changes, available=available)

    def _take_in(self, changes: Sequence[Change], *, baseline: bool) -> None:
        key = self.collector.key
        _apply(changes, self._aggregates)
        recorder = self._recorder
        recorded = (
            ()
            if baseline
            else recorder.history.record(*key, changes, earliest=recorder.earliest(key), push_auth=self._push_auth)
        )
        for each in recorded:
            self._counts.count(each.change, (change.field for change in each.fields))
        if self._check is not None:
            self._changes_since_check += changes
            if len(self._changes_since_check) > MOST_CHANGES_DURING_CHECK:
                self._check.cancel()
                self._count_anew()
        self._policy.collected(key, changes, baseline=baseline, available=self.collector.status.data_available)
        recorder.collected(self.collector, changes, baseline=baseline, notes=[each.notes for each in recorded])

    def _count_anew(self) -> None:
        entries = list(self.collector.inventory)
        self._changes_since_check = []
        empty = Aggregates(self._buckets, self._push_auth, self._clock.now())
        self._check = asyncio.create_task(self._compare(entries, empty))

    async def _compare(self, entries: list[Entry], empty: Aggregates) -> None:
        """Compare once. A comparison that fails or is cancelled leaves nothing behind."""
        try:
            with self._supervisor.guarded(Component.CHECK_SUMS, self.collector.key):
                recomputed = await self._worker.run(_sums_of, entries, empty)
                _apply(self._changes_since_check, recomputed)
                self._replace_wrong_sums(recomputed)
        finally:
            if self._check is asyncio.current_task():
                self._check, self._changes_since_check = None, []

    def _replace_wrong_sums(self, recomputed: Aggregates) -> None:
        running = self._aggregates
        if recomputed.same_as(running):
            return
        settings, before = ((sums.buckets, sums.push_auth.settings) for sums in (recomputed, running))
        if settings == before:
            structlog.get_logger().error(
                "the running sums were wrong and are replaced: please report this",
                account=self.collector.account,
                app_id=self.collector.app.id,
            )
        recomputed.advance(self._clock.now())
        self._aggregates = recomputed
        self.publish()


def _sums_of(entries: Iterable[Entry], aggregates: Aggregates) -> Aggregates:
    aggregates.add_all((entry.configuration, entry.push_times) for entry in entries)
    return aggregates


def _apply(changes: Iterable[Change], aggregates: Aggregates) -> None:
    for change in changes:
        if change.before is not None:
            aggregates.remove(change.before.configuration, signed_times(change.before.push_times))
        if change.after is not None:
            aggregates.add(change.after.configuration, signed_times(change.after.push_times))


class TaskSeries:
    """Publishes the tasks of all apps one by one; while it is switched off it keeps nothing."""

    def __init__(self, metrics: SelfMetrics) -> None:
        self._metrics = metrics
        self._switched_on: _SwitchedOn | None = None

    def configure(self, settings: PerTask) -> None:
        """Switch on or off, or take on another limit. All apps are to be followed then."""
        if not settings.enabled:
            self._switched_on = None
            self._metrics.path_closed(TASKS_PATH)
            return
        if self._switched_on is None:
            self._switched_on = _SwitchedOn(self._metrics)
        self._switched_on.max_series = settings.max_series

    def follow(self, app: AppKey, inventory: Inventory, changes: Iterable[Change], *, available: bool) -> None:
        """Take note of what changed in an app's tasks since the last call, and whether they may be published."""
        if self._switched_on is not None:
            self._switched_on.follow(app, inventory, changes, available=available)

    async def publish(self) -> None:
        """Make what was noted visible to the next scrape. Rendering and compressing leave the event loop alone."""
        publishing = self._switched_on
        if publishing is not None:
            await publishing.publish()
            if self._switched_on is not publishing:
                self._metrics.path_closed(TASKS_PATH)

    def body(self, exposition_format: Format, *, gzip: bool) -> Body | None:
        """Return the ready bytes; None while it is switched off."""
        return None if self._switched_on is None else self._switched_on.exposition.body(exposition_format, gzip=gzip)


class _News(Struct, frozen=True):
    app: AppKey
    tasks: Sequence[tuple[str, Entry | None]]  # by TaskId; None: gone
    whole: bool  # whether these are all that there are


class _SwitchedOn:
    """`_apps` and `_news` belong to the event loop, `_subset` and the exposition to the publishing thread."""

    def __init__(self, metrics: SelfMetrics) -> None:
        self.exposition = Exposition(per_task_families(), metrics, path=TASKS_PATH, own_metrics_follow=False)
        self.max_series = 0
        self._metrics = metrics
        self._subset = StableSubset(0)
        self._worker = Worker("render series of tasks")
        self._apps: set[AppKey] = set()  # those whose tasks are shown
        self._news: list[_News] = []

    def follow(self, app: AppKey, inventory: Inventory, changes: Iterable[Change], *, available: bool) -> None:
        """Take note of all tasks of an app, of those that changed, or that none may be shown."""
        if not available:
            if app in self._apps:
                self._apps.discard(app)
                self._news.append(_News(app, (), whole=True))
        elif app not in self._apps:
            self._apps.add(app)
            self._news.append(_News(app, [(entry.task_id, entry) for entry in inventory], whole=True))
        else:
            changed = [change.task_id for change in changes]
            if changed:
                self._news.append(_News(app, [(task_id, inventory.get(task_id)) for task_id in changed], whole=False))

    async def publish(self) -> None:
        """Publish what was noted."""
        if self._news or self._subset.max_series != self.max_series:
            news, self._news = self._news, []
            try:
                await self._worker.run(self._take_in, news)
            except BaseException:
                self._news = [*news, *self._news]
                raise
        await self.exposition.publish_off_loop()
        self._metrics.set(SERIES_OMITTED, self._subset.omitted_series, TASKS_PATH)

    def _take_in(self, news: Iterable[_News]) -> None:
        for each in news:
            if each.whole:
                self._subset.remove_app(*each.app)
            for task_id, entry in each.tasks:
                if entry is None:
                    self._subset.remove(*each.app, task_id)
                else:
                    self._subset.put(ListedTask(*each.app, entry))
        self._subset.max_series = self.max_series
        for shard, tasks in self._subset.take_changes():
            key = (f"{shard:04}",)
            if tasks:
                self.exposition.update(key, tasks)
            else:
                self.exposition.remove(key)
