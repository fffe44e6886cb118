"""A reading on demand: what it tells, and that the collection beside it goes on as if nothing were."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from exporter.collector.collector import Collector
from exporter.collector.rate_limiter import Priority
from exporter.collector.reading import Window
from exporter.collector.status import Kind, SweepReport
from exporter.config.model import App, Collection
from exporter.core.collection_state import State
from exporter.rules.rule_set import RuleSet
from exporter.service.on_demand import PAUSE_SECONDS, SHARE, FreshSweeps, _FreshSweep
from exporter.simulator.faults import Fault
from exporter.web.view import SweepStart
from tests.support.monitored import until
from tests.support.virtual_time import on_virtual_time
from tests.support.virtual_world import World, playing

KEY = ("production", "app-1")
AT_REST = Collection(interval_seconds=3600, sweep_interval_seconds=3600, stale_after_seconds=7200)


class Scene(NamedTuple):
    """Two apps that were read once, and who reads on demand."""

    world: World
    sweeps: FreshSweeps

    @property
    def collector(self) -> Collector:
        return self.world.monitor.apps[KEY].collector

    @property
    def report(self) -> SweepReport:
        """What is told of the newest reading of the app."""
        reported = self.sweeps.report(*KEY)
        assert reported is not None
        return reported

    async def read(self) -> SweepReport:
        """Read the app, and return what is reported at the end."""
        assert self.sweeps.start(*KEY) is SweepStart.STARTED
        await until(lambda: self.report.ended)
        return self.report

    async def leave_only(self, app_id: str, **changes: Any) -> None:
        """Configure no other app."""
        (account,) = self.world.config.accounts
        left = account.changed(apps=(App(id=app_id),), **changes)
        await self.world.monitor.apply(self.world.config.changed(accounts=(left,)), RuleSet.empty())


@asynccontextmanager
async def scene(
    *, tasks: int = 60, rate: float = 50.0, faults: Sequence[Fault] = (), collection: Collection = AT_REST
) -> AsyncIterator[Scene]:
    """Read an app with some tasks and one with 30 as the collection does; then faults begin."""
    apps = {"app-1": tasks, "app-2": 30}
    async with playing(apps=apps, requests_per_second=rate, collection=collection) as world:
        await until(lambda: all(app.collector.status.up for app in world.monitor.apps.values()))
        world.service.faults.active += faults
        played = Scene(world, FreshSweeps(world.monitor, world.clock))
        try:
            yield played
        finally:
            await played.sweeps.close()


@on_virtual_time
async def test_every_request_is_reported() -> None:
    """The whole list is read; each request says what it asked for, how long it waited and took, and what it brought."""
    async with scene(tasks=250) as played:
        reported = await played.read()
    assert (reported.state, reported.reason, reported.tasks) == (State.OK, "", 250)
    assert [request.number for request in reported.requests] == list(range(1, reported.requests_sent + 1))
    assert reported.requests[0].asked_for == "page 1 of 100 rows: 1 to 100"
    for request in reported.requests:
        assert request.attempt == 1
        assert (request.state, request.rows is None) in {(State.OK, False), (None, True)}
        assert request.reason.startswith("given up") is (request.state is None)
        assert request.duration_seconds is not None
        assert 0 < request.duration_seconds < reported.seconds
        assert 0 <= request.waited_seconds <= request.sent_after_seconds <= reported.seconds
    assert sum(request.rows or 0 for request in reported.requests) > 250
    assert reported.sweep is not None
    assert reported.sweep.requests == reported.requests_sent


@on_virtual_time
async def test_what_is_under_way_at_the_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that has ended reports no request as under way, though one may be answered later."""
    monkeypatch.setattr("exporter.service.on_demand.LONGEST_SECONDS", 0.3)
    async with scene(faults=[Fault("slow")]) as played:
        reported = await played.read()
    (request,) = reported.requests
    assert (reported.state, request.state, request.reason[:8]) == (State.TIMEOUT, None, "given up")
    assert request.duration_seconds == pytest.approx(0.3)


@on_virtual_time
async def test_the_collection_is_left_alone() -> None:
    """Status, tasks and number of attempts are what they were: what was read is compared, not published."""
    async with scene() as played:
        before = (played.collector.status, list(played.collector.inventory))
        same = (await played.read()).difference
        assert same is not None
        assert (same.only_read, same.only_known, same.changed) == (0, 0, 0)
        await played.world.clock.sleep(PAUSE_SECONDS)
        played.world.service.fleet.delete("app-1", before[1][0].task.task_id)
        played.world.service.fleet.update("app-1", before[1][1].task.task_id, {"MaxIdleTime": 77})
        played.world.service.fleet.create("app-1", {"TaskId": "new", "AppId": "app-1"})
        reported = await played.read()
        assert (played.collector.status, list(played.collector.inventory)) == before
    difference = reported.difference
    assert difference is not None
    assert (difference.only_read, difference.only_known, difference.changed) == (1, 1, 1)


@on_virtual_time
async def test_retries_are_reported() -> None:
    """A request that fails and is sent again is there twice, with the reason of the first."""
    async with scene(faults=[Fault("internal_error", count=1)]) as played:
        reported = await played.read()
    assert reported.state is State.OK
    first, second = reported.requests[:2]
    assert (first.attempt, first.state, first.rows) == (1, State.SERVER_ERROR, None)
    assert first.reason
    assert (second.asked_for, second.attempt, second.state) == (first.asked_for, 2, State.OK)
    assert second.waited_seconds > 0.05


@on_virtual_time
async def test_a_failed_reading_says_why() -> None:
    """What ends a reading is its outcome, and nothing is claimed about tasks."""
    async with scene(faults=[Fault("blocked_by_proxy")]) as played:
        reported = await played.read()
        assert played.collector.status.state is State.OK
    assert reported.state is State.NETWORK_ERROR
    assert reported.reason
    assert (reported.tasks, reported.sweep, reported.difference) == (None, None, None)
    assert reported.requests[-1].reason == reported.reason


@on_virtual_time
async def test_there_is_one_reading_at_a_time() -> None:
    """Anyone who asks while one is under way is refused, for whichever app; afterwards the next one may begin."""
    async with scene(faults=[Fault("slow", count=1)]) as played:
        assert played.sweeps.start(*KEY) is SweepStart.STARTED
        await until(lambda: bool(played.report.requests))
        assert played.sweeps.start("production", "app-2") is SweepStart.BUSY
        assert (played.report.ended, played.report.state) == (False, State.PENDING)
        assert played.report.requests[0].state is None
        await until(lambda: played.report.ended)
        assert played.sweeps.start("production", "app-2") is SweepStart.STARTED


@on_virtual_time
async def test_an_app_that_is_not_configured_is_not_read() -> None:
    """It is unknown, before and after a reload took it away."""
    async with scene(tasks=3) as played:
        assert played.sweeps.start("production", "app-9") is SweepStart.UNKNOWN
        await played.read()
        await played.leave_only("app-2")
        assert played.sweeps.start(*KEY) is SweepStart.UNKNOWN
        assert played.sweeps.report(*KEY) is None


@on_virtual_time
async def test_a_reload_that_takes_the_app_away_ends_its_reading() -> None:
    """Nothing more is sent for it, nothing fails, and another app can be read."""
    async with scene(tasks=2000, rate=4.0) as played:
        asked = played.world.service.statistics.by_app
        before = asked["app-1"]
        assert played.sweeps.start(*KEY) is SweepStart.STARTED
        await until(lambda: len(played.report.requests) > 1)
        sent = played.report.requests_sent
        await played.leave_only("app-2", requests_per_second=50)
        await until(lambda: played.sweeps.start("production", "app-2") is SweepStart.STARTED)
        assert asked["app-1"] - before <= sent


@on_virtual_time
async def test_of_very_many_requests_only_the_first_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are counted."""
    monkeypatch.setattr("exporter.service.on_demand.MOST_REQUESTS", 2)
    async with scene(tasks=250) as played:
        reported = await played.read()
    assert (reported.state, [request.number for request in reported.requests]) == (State.OK, [1, 2])
    assert reported.requests_sent > 2


@on_virtual_time
async def test_what_is_under_way_ends_with_the_process() -> None:
    """Closing does not wait for the service."""
    async with scene(faults=[Fault("hang")]) as played:
        assert played.sweeps.start(*KEY) is SweepStart.STARTED
        await until(lambda: bool(played.report.requests))
        async with asyncio.timeout(5):
            await played.sweeps.close()


@on_virtual_time
async def test_budgets_and_turns_are_shown() -> None:
    """A budget says what is configured, needed and allowed; throttling lowers what is allowed now."""
    collection = Collection(interval_seconds=10, sweep_interval_seconds=20, stale_after_seconds=60)
    async with scene(tasks=3, collection=collection) as played:
        (budget,) = played.world.monitor.budgets()
        assert (budget.accounts, budget.configured_rate, budget.effective_rate) == (("production",), 50.0, 50.0)
        assert budget.needed_rate == pytest.approx(2 / 10 + (1 + 6) / 20, rel=0.5)
        assert budget.waiting == 0
        played.world.monitor.accesses["production"].requests.limiter.throttled(None)
        (budget,) = played.world.monitor.budgets()
        assert (budget.configured_rate, budget.effective_rate) == (50.0, 25.0)
        turn = played.world.monitor.next_turn(KEY, Kind.SWEEP)
        assert turn is not None
        assert 0 < turn - played.world.clock.now() <= 20


@on_virtual_time
async def test_a_reading_takes_a_small_part_of_the_budget() -> None:
    """While a large app is read on demand, at most two of its requests wait or run, and updates keep their turns."""
    collection = Collection(interval_seconds=2, sweep_interval_seconds=600, stale_after_seconds=1200)
    async with scene(tasks=4000, rate=5.0, collection=collection) as played:
        world, sweeps = played.world, played.sweeps
        assert sweeps.start(*KEY) is SweepStart.STARTED
        requests = world.monitor.accesses["production"].requests
        most_waiting = 0
        while not (report := played.report).ended:
            await world.clock.sleep(0.05)
            most_waiting = max(most_waiting, *(requests.limiter.waiting(priority) for priority in Priority))
            for collector in [app.collector for app in world.monitor.apps.values()]:
                began = collector.status.last_update_began or world.clock.now()
                assert world.clock.now() - began < 5, "an update is late"
        assert (report.state, report.tasks) == (State.OK, 4000)
        assert most_waiting <= 4
        flying = [(reported.sent_after_seconds, reported.duration_seconds or 0.0) for reported in report.requests]
        for sent, _ in flying:
            assert sum(began <= sent < began + lasted for began, lasted in flying) <= 2
            assert sum(sent <= other < sent + 10 for other, _ in flying) <= 2 + SHARE * 5 * 10
        assert sweeps.start(*KEY) is SweepStart.TOO_SOON
        assert sweeps.start("production", "app-2") is SweepStart.STARTED
        await world.clock.sleep(PAUSE_SECONDS)
        assert sweeps.start(*KEY) is SweepStart.STARTED


@on_virtual_time
async def test_sweeps_come_before_a_reading() -> None:
    """While other sweeps use the whole budget, a reading on demand waits."""
    async with scene(tasks=30, rate=5.0) as played:
        world = played.world
        requests = world.monitor.accesses["production"].requests
        fetch = requests.of_app("app-2").window(Priority.SWEEP)

        async def sweep_on() -> None:
            while True:
                await fetch(Window(1, 10))

        sweeping = [asyncio.create_task(sweep_on()) for _ in range(10)]
        await world.clock.sleep(2)
        assert played.sweeps.start(*KEY) is SweepStart.STARTED
        await world.clock.sleep(20)
        assert played.report.requests == ()
        for each in sweeping:
            each.cancel()
        await asyncio.gather(*sweeping, return_exceptions=True)
        await world.clock.sleep(5)
        assert played.report.state is State.OK


@on_virtual_time
async def test_what_has_ended_keeps_nothing_alive() -> None:
    """After a reading, well or not, nothing but its report is kept of it, nor of an app that a reload took away."""
    async with scene(tasks=150, faults=[Fault("blocked_by_proxy", page_no=2)]) as played:
        old = weakref.ref(played.collector)
        await played.read()
        await played.leave_only("app-2")
        await played.world.monitor.close_removed()

        def is_gone() -> bool:
            gc.collect()
            return old() is None and not any(isinstance(one, _FreshSweep) for one in gc.get_objects())

        await until(is_gone)
        assert played.sweeps._sweeps


@on_virtual_time
async def test_a_bug_is_an_internal_error_of_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is: the report ends with that state, the failure is counted, and the collection is not concerned."""
    async with scene(tasks=3) as played:
        monkeypatch.setattr(Collector, "_sweep", lambda _self: 1 / 0)
        reported = await played.read()
        assert (reported.state, played.collector.status.state) == (State.INTERNAL_ERROR, State.OK)
    assert reported.reason.startswith("internal error: ZeroDivisionError")
