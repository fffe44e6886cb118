"""From what was collected about one app to what is published about it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog
from msgspec.structs import replace

from exporter.collector.change_history import History
from exporter.collector.collector import Collector
from exporter.collector.entry import Entry
from exporter.collector.inventory import Change
from exporter.collector.task_diff import ChangeCounts
from exporter.config.model import Buckets
from exporter.core.clock import Clock
from exporter.core.collection_state import Component
from exporter.core.push_auth import DEFAULTS, PushAuthSettings
from exporter.core.task import signed_times
from exporter.core.threads import Worker
from exporter.metrics.aggregates import Aggregates, AppReport
from exporter.rules.engine import PolicyEngine
from exporter.service.recorder import Recorder
from exporter.service.supervisor import Supervisor
from exporter.service.task_publisher import TaskSeries

MOST_CHANGES_DURING_CHECK: Final = 100_000  # with more changes a comparison begins again


class AppPublisher:
    """Keeps one app's aggregates in step with its inventory, as the collector's `CollectorEvents`.

    Args:
        history: Where changes after the baseline are remembered.
    """

    def __init__(
        self,
        buckets: Buckets,
        publish: Callable[[AppReport], None],
        history: History,
        policy: PolicyEngine,
        task_series: TaskSeries,
        *,
        recorder: Recorder | None = None,
        supervisor: Supervisor,
        worker: Worker,
        clock: Clock,
        push_auth: PushAuthSettings = DEFAULTS,
    ) -> None:
        self._buckets = buckets
        self._push_auth = push_auth
        self._clock = clock
        self._publish = publish
        self._history = history
        self._policy = policy
        self._task_series = task_series
        self._recorder = recorder
        self._supervisor = supervisor
        self._worker = worker
        self._counts = ChangeCounts()
        self._aggregates = Aggregates(buckets, push_auth, clock.now())
        self._collector: Collector | None = None
        self._check: asyncio.Task[None] | None = None
        self._changes_since_check: list[Change] = []
        self._closed = False

    @property
    def report(self) -> AppReport:
        """What may be published now."""
        status = self._shown.status
        return AppReport(
            status,
            self._aggregates if status.data_available else None,
            self._counts,
            self._policy.app((status.account, status.app_id)).report,
        )

    def show(self, collector: Collector) -> None:
        """Say whose events will come, and publish its state."""
        self._collector = collector
        self.publish()

    def publish(self) -> None:
        """Publish the app as it is now. What can't be rendered is withdrawn, so that its status is always seen."""
        try:
            self._publish(self.report)
        except Exception:
            status = replace(self._shown.status, up=False, data_available=False)
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
        self._follow_tasks(changes)

    def aged(self, tasks: Sequence[Change]) -> None:
        """Publish tasks that are older than was known, as changes to the same."""
        status = self._shown.status
        key = (status.account, status.app_id)
        self._policy.collected(key, tasks, baseline=False, available=status.data_available)
        self.publish()
        self._follow_tasks(tasks)

    def look_at_clock(self) -> None:
        """Publish push keys that have another state now; to be called about every second."""
        if self._aggregates.advance(self._clock.now()) and self._shown.status.data_available:
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

    def show_tasks(self) -> None:
        """Publish all tasks one by one where they are not."""
        self._follow_tasks([])

    def _take_in(self, changes: Sequence[Change], *, baseline: bool) -> None:
        status = self._shown.status
        key = (status.account, status.app_id)
        _apply(changes, self._aggregates)
        earliest = None if self._recorder is None else self._recorder.earliest(key)
        recorded = () if baseline else self._history.record(*key, changes, earliest=earliest, push_auth=self._push_auth)
        for each in recorded:
            self._counts.count(each.change, (change.field for change in each.fields))
        if self._check is not None:
            self._changes_since_check += changes
            if len(self._changes_since_check) > MOST_CHANGES_DURING_CHECK:
                self._check.cancel()
                self._count_anew()
        self._policy.collected(key, changes, baseline=baseline, available=status.data_available)
        if self._recorder is not None:
            notes = [each.notes for each in recorded]
            self._recorder.collected(self._shown, changes, baseline=baseline, notes=notes)

    def _follow_tasks(self, changes: Sequence[Change]) -> None:
        status, inventory = self._shown.status, self._shown.inventory
        self._task_series.follow(status.account, status.app_id, inventory, changes, available=status.data_available)

    def _count_anew(self) -> None:
        entries = list(self._shown.inventory)
        self._changes_since_check = []
        empty = Aggregates(self._buckets, self._push_auth, self._clock.now())
        self._check = asyncio.create_task(self._compare(entries, empty))

    async def _compare(self, entries: list[Entry], empty: Aggregates) -> None:
        """Compare once. A comparison that fails or is cancelled leaves nothing behind."""
        try:
            with self._supervisor.guarded(Component.CHECK_SUMS, (self._shown.account, self._shown.app.id)):
                recomputed = await self._worker.run(_sums_of, entries, empty)
                _apply(self._changes_since_check, recomputed)
                self._replace_wrong_sums(recomputed)
        finally:
            if self._check is asyncio.current_task():
                self._check, self._changes_since_check = None, []

    def _replace_wrong_sums(self, recomputed: Aggregates) -> None:
        has_same_settings = self._aggregates.has_settings(recomputed.buckets, recomputed.push_auth.settings)
        if has_same_settings and not recomputed.same_as(self._aggregates):
            structlog.get_logger().error(
                "the running sums were wrong and are replaced: please report this",
                account=self._shown.account,
                app_id=self._shown.app.id,
            )
        if not recomputed.same_as(self._aggregates):
            recomputed.advance(self._clock.now())
            self._aggregates = recomputed
            self.publish()

    @property
    def _shown(self) -> Collector:
        if self._collector is None:
            raise RuntimeError("show() comes first")
        return self._collector


def _sums_of(entries: Iterable[Entry], aggregates: Aggregates) -> Aggregates:
    """Add all tasks to aggregates."""
    aggregates.add_all((entry.configuration, entry.push_times) for entry in entries)
    return aggregates


def _apply(changes: Iterable[Change], aggregates: Aggregates) -> None:
    for change in changes:
        if change.before is not None:
            aggregates.remove(change.before.configuration, signed_times(change.before.push_times))
        if change.after is not None:
            aggregates.add(change.after.configuration, signed_times(change.after.push_times))
