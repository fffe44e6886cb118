"""Series about single tasks, while they are switched on: noted immediately, rendered in a thread."""

import asyncio
from collections.abc import Iterable, Sequence

from msgspec import Struct

from exporter.collector.entry import Entry
from exporter.collector.inventory import Change, Inventory
from exporter.config.model import PerTask
from exporter.core.threads import Worker
from exporter.metrics.exposition import TASKS_PATH, Body, Exposition
from exporter.metrics.negotiation import Format
from exporter.metrics.per_task_families import ListedTask, StableSubset, per_task_families
from exporter.metrics.self_metrics import SelfMetrics


class TaskSeries:
    """Publishes the tasks of all apps one by one; while it is switched off it keeps nothing."""

    def __init__(self, metrics: SelfMetrics) -> None:
        self._metrics = metrics
        self._settings = PerTask()
        self._switched_on: _SwitchedOn | None = None
        self._shown: _SwitchedOn | None = None
        """What is served: after a change of the limit the one before, until the new one has been published."""
        self._at_work = asyncio.Lock()

    def configure(self, settings: PerTask) -> None:
        """Switch on or off, or take on another limit. All apps are to be followed then."""
        if settings == self._settings:
            return
        self._settings = settings
        self._switched_on = _SwitchedOn(settings.max_series, self._metrics) if settings.enabled else None
        if self._switched_on is None:
            self._shown = None
            self._metrics.path_closed(TASKS_PATH)
        elif self._shown is None:
            self._shown = self._switched_on

    def follow(
        self, account: str, app_id: str, inventory: Inventory, changes: Iterable[Change], *, available: bool
    ) -> None:
        """Take note of an app's tasks, what changed in them since the last call, and whether they may be published."""
        if self._switched_on is not None:
            self._switched_on.follow((account, app_id), inventory, changes, available=available)

    def forget(self, account: str, app_id: str) -> None:
        """Take note that an app is gone."""
        if self._switched_on is not None:
            self._switched_on.withdraw((account, app_id))

    async def publish(self) -> None:
        """Make what was noted visible to the next scrape. Rendering and compressing leave the event loop alone."""
        async with self._at_work:
            publishing = self._switched_on
            if publishing is None:
                return
            await publishing.publish()
            if self._switched_on is publishing:
                self._shown = publishing
            elif self._switched_on is None:
                self._metrics.path_closed(TASKS_PATH)

    def body(self, exposition_format: Format, *, gzip: bool) -> Body | None:
        """Return the ready bytes; None while it is switched off."""
        return None if self._shown is None else self._shown.exposition.body(exposition_format, gzip=gzip)


class _News(Struct, frozen=True):
    """What is to be done about an app."""

    app: tuple[str, str]
    tasks: Sequence[tuple[str, Entry | None]]  # by TaskId; None: gone
    whole: bool  # whether these are all that there are


class _SwitchedOn:
    """What there is only while the series are published.

    `_apps` and `_news` belong to the event loop; `_subset`, and the exposition but for its ready bytes, to the one that
    publishes.
    """

    def __init__(self, max_series: int, metrics: SelfMetrics) -> None:
        self.exposition = Exposition(per_task_families(), metrics, path=TASKS_PATH, own_metrics_follow=False)
        self._metrics = metrics
        self._subset = StableSubset(max_series)
        self._worker = Worker("render series of tasks")
        self._apps: set[tuple[str, str]] = set()  # those whose tasks are shown
        self._news: list[_News] = []

    def follow(self, app: tuple[str, str], inventory: Inventory, changes: Iterable[Change], *, available: bool) -> None:
        """Take note of all tasks of an app, of those that changed, or that none may be shown."""
        if not available:
            self.withdraw(app)
        elif app not in self._apps:
            self._apps.add(app)
            self._news.append(_News(app, [(entry.task_id, entry) for entry in inventory], whole=True))
        else:
            changed = [task.task_id for change in changes if (task := change.after or change.before)]
            if changed:
                self._news.append(_News(app, [(task_id, inventory.get(task_id)) for task_id in changed], whole=False))

    def withdraw(self, app: tuple[str, str]) -> None:
        """Take note that nothing of an app may be shown."""
        if app in self._apps:
            self._apps.discard(app)
            self._news.append(_News(app, (), whole=True))

    async def publish(self) -> None:
        """Publish what was noted."""
        if self._news:
            news, self._news = self._news, []
            try:
                await self._worker.run(self._take_in, news)
            except BaseException:
                self._news = [*news, *self._news]
                raise
        await self.exposition.publish_off_loop()
        self._metrics.omitted(TASKS_PATH, series=self._subset.omitted_series)

    def _take_in(self, news: Iterable[_News]) -> None:
        """Find out which tasks have room now, and render what has changed of them."""
        for each in news:
            if each.whole:
                self._subset.remove_app(*each.app)
            for task_id, entry in each.tasks:
                if entry is None:
                    self._subset.remove(*each.app, task_id)
                else:
                    self._subset.put(ListedTask(*each.app, entry))
        for shard, tasks in self._subset.take_changes():
            key = (f"{shard:04}",)
            if tasks:
                self.exposition.update(key, tasks)
            else:
                self.exposition.remove(key)
