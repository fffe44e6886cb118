"""Tests of what becomes of collected changes."""

import asyncio
import json
from collections.abc import MutableMapping, Sequence
from typing import Any, cast

import msgspec
import pytest
import structlog

from exporter.aliyun.parse_task import Interner
from exporter.collector.collector import Collector
from exporter.collector.inventory import Entry, Inventory
from exporter.collector.past import HistoryFilter
from exporter.collector.reading import AppRows
from exporter.collector.status import Status
from exporter.config.model import App, Buckets
from exporter.core.clock import SystemClock
from exporter.core.task import Task
from exporter.core.threads import Worker
from exporter.metrics.aggregates import AppReport
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.engine import PolicyEngine
from exporter.rules.findings import FindingEvents, FindingLog
from exporter.service.app_publisher import AppPublisher, TaskSeries
from exporter.service.recorder import Recorder
from exporter.service.supervisor import Supervisor
from tests.metrics.builders import STATUS, configuration
from tests.support.rows import change
from tests.support.virtual_time import finished, hanging_call


class FakeCollector:
    """What a publisher looks at of a collector."""

    def __init__(self) -> None:
        self.account = "prod"
        self.app = App(id="live")
        self.key = ("prod", "live")
        self.status: Status = STATUS
        self.inventory = Inventory()


class Shown:
    """A publisher of a fake collector, and all that it published."""

    def __init__(self) -> None:
        self.collector = FakeCollector()
        self.reports: list[AppReport] = []
        clock = SystemClock()
        recorder = Recorder(
            FindingEvents(),
            app=lambda _: None,
            apps=list,
            older=lambda *_: None,
            failed=lambda _: None,
            keep_running=lambda run: run(),
            clock=clock,
        )
        self.history = recorder.history
        policy = PolicyEngine(clock, events=FindingLog(clock), changed=lambda _: None)
        self.metrics = SelfMetrics(version="0")
        self.worker = Worker("check sums")
        self.publisher = AppPublisher(
            Buckets(),
            self.reports.append,
            policy,
            recorder,
            TaskSeries(self.metrics),
            supervisor=Supervisor(self.metrics.internal_error, clock),
            worker=self.worker,
            clock=clock,
        )
        self.publisher.show(cast("Collector", self.collector))

    def collect(self, *numbers: int, region: str = "CN-Shanghai") -> None:
        fresh = [Entry.of(_task(number, region), sent_at=float(number)) for number in numbers]
        self.publisher.collected(self.collector.inventory.accept(fresh, now=0.0), baseline=False)

    def published(self) -> dict[tuple[str, ...], int]:
        """Return the tasks that were published last, by region and mode."""
        aggregates = self.reports[-1].aggregates
        assert aggregates is not None
        return dict(aggregates.counts("tasks"))

    async def checked(self) -> None:
        """Tell that a sweep was accepted, and wait for the comparison."""
        self.publisher.swept()
        await self.comparison()

    async def comparison(self) -> None:
        """Wait for the comparison that is under way."""
        assert self.publisher._check is not None
        await self.publisher._check


def _task(number: int, region: str = "CN-Shanghai") -> Task:
    row = {"TaskId": f"task-{number}", "Region": region, "MixMode": "1", "ChannelId": str(number)}
    task = AppRows("live", Interner()).read(msgspec.Raw(json.dumps(row).encode()))
    assert task is not None
    return task


def _errors(logs: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [log for log in logs if log["log_level"] == "error"]


def test_what_comes_changes_and_goes_is_published() -> None:
    """Each step is published with sums that are right."""
    shown = Shown()
    assert shown.published() == {}

    shown.collect(1, 2)
    assert shown.published() == {("CN-Shanghai", "mixed"): 2}

    moved = _task(2, "AP-Singapore")
    shown.publisher.collected([change(before=_task(2), after=moved)], baseline=False)
    assert shown.published() == {("CN-Shanghai", "mixed"): 1, ("AP-Singapore", "mixed"): 1}

    shown.publisher.collected([change(before=_task(1), after=None)], baseline=False)
    assert shown.published() == {("AP-Singapore", "mixed"): 1}


async def test_a_wrong_sum_is_found_and_mended() -> None:
    """Sums that have gone wrong are replaced after the next sweep, published, and reported as an error."""
    shown = Shown()
    shown.collect(1, 2, 3)
    shown.publisher._aggregates.add(configuration(region="EMAA-Saudi"))
    shown.collect(4)
    assert shown.published() == {("CN-Shanghai", "mixed"): 4, ("EMAA-Saudi", "mixed"): 1}

    with structlog.testing.capture_logs() as logs:
        await shown.checked()

    assert shown.published() == {("CN-Shanghai", "mixed"): 4}
    (error,) = _errors(logs)
    assert (error["account"], error["app_id"]) == ("prod", "live")
    assert "sums were wrong" in error["event"]
    shown.collect(5)
    assert shown.published() == {("CN-Shanghai", "mixed"): 5}


async def test_changes_during_the_comparison_are_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is collected while the sums are recomputed counts in both, whenever the thread is done."""
    shown = Shown()
    shown.collect(1, 2, 3)
    made, go_on = asyncio.Event(), asyncio.Event()
    in_thread = shown.worker.run

    async def held(*args: object) -> object:
        made_again: object = await in_thread(*args)  # type: ignore[arg-type]
        made.set()
        await go_on.wait()
        return made_again

    monkeypatch.setattr(shown.worker, "run", held)
    with structlog.testing.capture_logs() as logs:
        shown.publisher.swept()
        await made.wait()
        shown.collect(4)
        shown.publisher.collected([change(before=_task(1), after=None)], baseline=False)
        published = len(shown.reports)
        go_on.set()
        await shown.comparison()

    assert _errors(logs) == []
    assert len(shown.reports) == published, "right sums are left as they are"
    assert shown.published() == {("CN-Shanghai", "mixed"): 3}


async def test_after_its_end_nothing_is_published_any_more() -> None:
    """A turn that still runs when an app is removed can't bring its series back."""
    shown = Shown()
    shown.collect(1)
    published = len(shown.reports)
    shown.publisher.swept()
    await shown.publisher.close()

    shown.collect(2)
    shown.publisher.swept()

    assert len(shown.reports) == published
    assert [change.task_id for change in finished(shown.history.changes(HistoryFilter()))] == ["task-1"]
    assert shown.publisher._check is None or shown.publisher._check.done()


async def test_a_comparison_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a thread that failed the next sweep compares again, and what came meanwhile is not kept."""
    shown = Shown()
    shown.collect(1)
    shown.publisher._aggregates.add(configuration())
    with monkeypatch.context() as patch:
        patch.setattr("exporter.service.app_publisher._sums_of", lambda *_: 1 / 0)
        await shown.checked()
        shown.collect(2)
    assert shown.publisher._check is None
    assert shown.publisher._changes_since_check == []
    await shown.checked()
    assert shown.published() == {("CN-Shanghai", "mixed"): 2}


async def test_a_comparison_keeps_a_bounded_number_of_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a thread hangs, changes are not collected without end: the comparison begins again from all tasks."""
    monkeypatch.setattr("exporter.service.app_publisher.MOST_CHANGES_DURING_CHECK", 10)
    shown = Shown()
    with hanging_call() as hang:
        monkeypatch.setattr("exporter.service.app_publisher._sums_of", hang)
        shown.publisher.swept()
        for number in range(100):
            shown.collect(number)
            assert len(shown.publisher._changes_since_check) <= 10
            await asyncio.sleep(0)
    await shown.publisher.close()
