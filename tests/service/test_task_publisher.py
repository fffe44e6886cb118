"""Series about single tasks: switched on and off, followed as apps change, published from a thread."""

import asyncio
import gzip
import threading
from collections.abc import Iterable

import pytest

from exporter.collector.inventory import Change, Entry, Inventory
from exporter.config.model import PerTask
from exporter.core.task import Configuration, Task
from exporter.metrics.exposition import Format
from exporter.metrics.family import sections
from exporter.metrics.self_metrics import SelfMetrics
from exporter.service.app_publisher import TaskSeries
from tests.metrics.builders import configuration

ON = PerTask(enabled=True)
LARGE = configuration(idle_timeout_seconds=60)  # 5 series; a plain task has 4


class App:
    """An app's tasks, and the series that follow them."""

    def __init__(self, series: TaskSeries, app_id: str = "live") -> None:
        self.series = series
        self.app_id = app_id
        self.inventory = Inventory()
        self.readings = 0

    def accept(
        self, task_ids: Iterable[str], task_configuration: Configuration | None = None, *, available: bool = True
    ) -> None:
        self.readings += 1
        fresh = [
            Entry.of(_task(task_id, task_configuration or configuration(), self.readings), sent_at=10.0 * self.readings)
            for task_id in task_ids
        ]
        self._follow(self.inventory.accept(fresh, now=1000.0 * self.readings), available=available)

    def remove(self, *task_ids: str) -> None:
        self._follow(self.inventory.remove(task_ids, settled_before=1e9, at=1e9), available=True)

    def withdraw(self) -> None:
        self._follow([], available=False)

    def _follow(self, changes: list[Change], *, available: bool) -> None:
        self.series.follow(("prod", self.app_id), self.inventory, changes, available=available)


def _task(task_id: str, task_configuration: Configuration, number: int) -> Task:
    """Return a version of a task."""
    digest = hash((task_id, number)) & 0xFFFF_FFFF_FFFF_FFFF
    return Task(task_id=task_id, channel_id="c", configuration=task_configuration, row_digest=digest, digests=bytes(32))


@pytest.fixture
def metrics() -> SelfMetrics:
    """The exporter's own metrics."""
    return SelfMetrics(version="1")


@pytest.fixture
def series(metrics: SelfMetrics) -> TaskSeries:
    """What is tested, switched off."""
    return TaskSeries(metrics)


def _text(series: TaskSeries) -> str:
    """Return what a scrape sees."""
    body = series.body(Format.TEXT, gzip=False)
    assert body is not None
    return b"".join(body.chunks).decode()


def _infos(series: TaskSeries) -> set[tuple[str, str]]:
    """Return AppId and TaskId of the tasks that have series."""
    lines = [line for line in _text(series).splitlines() if line.startswith("rtcmpu_task_info{")]
    return {(line.split('app_id="')[1].split('"')[0], line.split('task_id="')[1].split('"')[0]) for line in lines}


async def test_while_switched_off_nothing_is_kept(series: TaskSeries, metrics: SelfMetrics) -> None:
    """There is no body, no series is told of, and following an app leaves no trace."""
    series.configure(PerTask(enabled=False, max_series=5))
    App(series).accept(["task-1"])
    await series.publish()
    assert series.body(Format.TEXT, gzip=False) is None
    assert series._switched_on is None
    assert b"/metrics/tasks" not in metrics.render()[False]


async def test_tasks_come_change_and_go(series: TaskSeries) -> None:
    """Each publication has the tasks as they are then, with the times at which they were noticed."""
    series.configure(ON)
    app = App(series)
    app.accept(["task-1", "task-2"])
    assert _infos(series) == set()
    await series.publish()
    assert _infos(series) == {("live", "task-1"), ("live", "task-2")}
    app.accept(["task-2", "task-3"], LARGE)
    app.remove("task-1")
    await series.publish()
    assert _infos(series) == {("live", "task-2"), ("live", "task-3")}
    labels = 'account="prod",app_id="live",task_id="task-2"'
    for name, value in (
        ("first_seen_timestamp_seconds", "1000.0"),
        ("last_changed_timestamp_seconds", "2000.0"),
        ("config_idle_timeout_seconds", "60.0"),
    ):
        assert f"rtcmpu_task_{name}{{{labels}}} {value}\n" in _text(series)


async def test_all_formats_say_the_same(series: TaskSeries) -> None:
    """OpenMetrics ends as it must, and gzip holds the same bytes."""
    series.configure(ON)
    App(series).accept(["task-1"])
    await series.publish()
    for exposition_format in Format:
        plain, packed = (series.body(exposition_format, gzip=packs) for packs in (False, True))
        assert plain is not None
        assert packed is not None
        assert gzip.decompress(b"".join(packed.chunks)) == b"".join(plain.chunks)
        assert b"".join(plain.chunks).endswith(b"# EOF\n") == (exposition_format is not Format.TEXT)


async def test_withdrawn_data_goes_and_comes_back_whole(series: TaskSeries) -> None:
    """While an app's data is too old its tasks have no series; then all of them are back, as they are by then."""
    series.configure(ON)
    app, other = App(series), App(series, "other")
    app.accept(["task-1", "task-2"])
    other.accept(["task-1"])
    app.withdraw()
    app.withdraw()
    await series.publish()
    assert _infos(series) == {("other", "task-1")}
    app.accept(["task-3"], available=False)
    await series.publish()
    assert _infos(series) == {("other", "task-1")}
    app.accept([])
    await series.publish()
    assert _infos(series) == {("live", "task-1"), ("live", "task-2"), ("live", "task-3"), ("other", "task-1")}


async def test_the_limit_holds_over_all_apps_and_is_reported(series: TaskSeries, metrics: SelfMetrics) -> None:
    """No more series than allowed are published, and how many are and are not is known; more room shows more."""
    series.configure(PerTask(enabled=True, max_series=50))
    apps = [App(series, app_id) for app_id in ("one", "two")]
    for app in apps:
        app.accept([f"{app.app_id}-{number}" for number in range(10)])
    await series.publish()
    assert len(_infos(series)) == 12
    own = metrics.render()[False]
    assert b'rtcmpu_exporter_series{path="/metrics/tasks"} 48.0\n' in own
    assert b'rtcmpu_exporter_series_omitted{path="/metrics/tasks"} 32.0\n' in own
    series.configure(PerTask(enabled=True, max_series=80))
    for app in apps:
        app.accept([])
    await series.publish()
    assert len(_infos(series)) == 20
    assert b'rtcmpu_exporter_series_omitted{path="/metrics/tasks"} 0.0\n' in metrics.render()[False]


async def test_another_limit_leaves_no_gap(series: TaskSeries) -> None:
    """What was published is served until the next publication, which needs no news of the tasks."""
    series.configure(ON)
    App(series).accept([f"task-{number}" for number in range(20)])
    await series.publish()
    for limit, shown in ((40, 10), (1000, 20)):
        before = _infos(series)
        series.configure(PerTask(enabled=True, max_series=limit))
        assert _infos(series) == before
        await series.publish()
        assert len(_infos(series)) == shown


async def test_switched_off_while_it_publishes_it_is_off(series: TaskSeries, metrics: SelfMetrics) -> None:
    """A publication that ends later brings neither the path nor its own metrics back."""
    series.configure(ON)
    App(series).accept(["task-1"])
    publishing = asyncio.create_task(series.publish())
    await asyncio.sleep(0)
    series.configure(PerTask())
    await publishing
    assert series.body(Format.TEXT, gzip=False) is None
    assert b"/metrics/tasks" not in metrics.render()[False]


async def test_nothing_new_renders_nothing(series: TaskSeries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishing again and again costs nothing while no task changes."""
    series.configure(ON)
    App(series).accept(["task-1"])
    await series.publish()
    monkeypatch.setattr("exporter.metrics.exposition._compressed", None)
    await series.publish()
    assert _infos(series) == {("live", "task-1")}


async def test_rendering_leaves_the_loop_alone(series: TaskSeries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are looked for in a thread while the loop goes on; what changes meanwhile is published next."""
    loop, started, may_go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def slow(*args: object) -> object:
        loop.call_soon_threadsafe(started.set)
        may_go_on.wait(5)
        return sections(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("exporter.metrics.exposition.sections", slow)
    series.configure(ON)
    app = App(series)
    app.accept(["task-1"])
    publishing = asyncio.create_task(series.publish())
    await started.wait()
    app.accept(["task-2"])
    assert _infos(series) == set()
    may_go_on.set()
    await publishing
    assert _infos(series) == {("live", "task-1")}
    await series.publish()
    assert _infos(series) == {("live", "task-1"), ("live", "task-2")}
