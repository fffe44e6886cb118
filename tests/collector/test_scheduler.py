"""When each app is read: spread, never stacked, skips counted, and not led astray by the wall clock."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta, tzinfo
from functools import wraps
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from exporter.collector.collector import Collector
from exporter.collector.scheduler import Every, Schedule, Skip
from exporter.collector.status import Kind
from tests.support.virtual_time import VirtualClock, on_virtual_time, run

DAY_SECONDS = 86_400.0
START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeCollector:
    """Notes its turns."""

    def __init__(self, clock: VirtualClock, name: str = "app", *, interval: float = 1.0, sweep: float = 10.0) -> None:
        self.account = "account"
        self.app = SimpleNamespace(id=name)
        self.status = SimpleNamespace(interval_seconds=interval, sweep_interval_seconds=sweep)
        self.turns: dict[Kind, list[float]] = {kind: [] for kind in Kind}
        self.takes_seconds = {Kind.UPDATE: 0.1, Kind.SWEEP: 0.5}
        self.pauses_until = {Kind.UPDATE: 0.0, Kind.SWEEP: 0.0}
        self.crowded_kinds: set[Kind] = set()
        self.wants_sweep = self.wants_another = self.sweeping = False
        self.ended: list[Kind] = []
        self._clock = clock

    def pause_ends_at(self, kind: Kind) -> float:
        """Return until when it pauses."""
        return self.pauses_until[kind]

    def crowded(self, kind: Kind) -> bool:
        return kind in self.crowded_kinds

    async def update(self) -> None:
        await self._turn(Kind.UPDATE)

    async def sweep(self) -> None:
        """Take a while, and perhaps want another."""
        self.wants_sweep, self.sweeping = False, True
        await self._turn(Kind.SWEEP)
        self.wants_sweep, self.wants_another, self.sweeping = self.wants_another, False, False

    async def _turn(self, kind: Kind) -> None:
        self.turns[kind].append(self._clock.monotonic())
        await asyncio.sleep(self.takes_seconds[kind])
        self.ended.append(kind)


class Scene:
    """A schedule on virtual time, and the turns that it skips."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.skips: Counter[tuple[str, Skip]] = Counter()
        self.failures: list[BaseException] = []

    def collector(self, name: str = "app", *, interval: float = 1.0, sweep: float = 10.0) -> FakeCollector:
        """Return a collector that is read from now on."""
        collector = FakeCollector(self.clock, name, interval=interval, sweep=sweep)
        self.schedule.add(cast("Collector", collector))
        return collector

    def begin(self) -> None:
        self.schedule = Schedule(
            attempt=self._attempt, failed=self.failures.append, clock=self.clock, skipped=self._skipped
        )
        self.schedule.start()

    async def seconds_pass(self, seconds: int) -> None:
        """Let time pass, looking at the clock each second as the daemon does."""
        for _ in range(seconds):
            await asyncio.sleep(1)
            self.schedule.look_at_clock()

    async def _attempt(self, collector: Collector, kind: Kind) -> None:
        await (collector.update() if kind is Kind.UPDATE else collector.sweep())

    def _skipped(self, _account: str, app_id: str, reason: Skip, /) -> None:
        self.skips[app_id, reason] += 1


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """APScheduler looks at the wall clock by itself: it sees the simulated one."""
    scene = Scene()

    class SimulatedDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # a plain one is what is wanted
            return datetime.fromtimestamp(scene.clock.now(), tz)

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", SimulatedDatetime)
    return scene


def on_schedule(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Let a test be run on virtual time with a schedule that has begun, and end that."""

    async def play(scene: Scene, **parameters: float) -> None:
        scene.begin()
        try:
            await test(scene, **parameters)
        finally:
            scene.schedule.stop()
            await asyncio.sleep(0)

    @wraps(test)
    def run_test(scene: Scene, **parameters: float) -> None:
        run(play(scene, **parameters), at_most_seconds=5000)

    return run_test


def apart(turns: list[float]) -> list[float]:
    """Return the times between turns."""
    return [round(later - earlier, 3) for earlier, later in pairwise(turns)]


@on_schedule
async def test_updates_and_sweeps_come_at_their_intervals(scene: Scene) -> None:
    """The first sweep begins within a second; then each kind keeps its own rhythm."""
    app = scene.collector(interval=1, sweep=10)
    await scene.seconds_pass(31)
    assert app.turns[Kind.SWEEP][0] <= 1.0
    assert apart(app.turns[Kind.SWEEP]) == [10, 10, 10]
    assert set(apart(app.turns[Kind.UPDATE])) == {1}
    assert len(app.turns[Kind.UPDATE]) >= 30
    assert not scene.skips


@on_schedule
async def test_apps_are_spread_over_the_interval(scene: Scene) -> None:
    """No two of a hundred apps are updated at the same moment, and no tenth of the interval is crowded."""
    apps = [scene.collector(f"app-{number}", interval=10, sweep=60) for number in range(100)]
    await scene.seconds_pass(10)
    phases = [app.turns[Kind.UPDATE][0] % 10 for app in apps]
    assert len(set(phases)) == 100
    assert max(Counter(int(phase) for phase in phases).values()) <= 12


@on_schedule
async def test_a_turn_is_never_stacked_on_one_that_still_runs(scene: Scene) -> None:
    """What takes longer than its interval leaves turns out, and for sweeps that is counted."""
    app = scene.collector(interval=1, sweep=2)
    app.takes_seconds = {Kind.UPDATE: 2.5, Kind.SWEEP: 5.0}
    await scene.seconds_pass(24)
    assert set(apart(app.turns[Kind.UPDATE])) == {3}
    assert set(apart(app.turns[Kind.SWEEP])) == {6}
    assert 6 <= scene.skips["app", Skip.STILL_RUNNING] <= 8


@on_schedule
async def test_a_pause_after_failures_leaves_turns_out(scene: Scene) -> None:
    """As long as an app pauses it is not asked, and the sweeps that were due are counted."""
    app = scene.collector(interval=1, sweep=2)
    app.pauses_until = {Kind.UPDATE: 5.0, Kind.SWEEP: 5.0}
    await scene.seconds_pass(8)
    assert min(app.turns[Kind.UPDATE] + app.turns[Kind.SWEEP]) >= 5.0
    assert scene.skips == {("app", Skip.BACKOFF): 3}


@on_schedule
async def test_a_budget_that_does_not_suffice_leaves_turns_out(scene: Scene) -> None:
    """A turn that could only queue up behind others is counted instead."""
    app = scene.collector(interval=1, sweep=5)
    app.crowded_kinds = {Kind.SWEEP}
    await scene.seconds_pass(11)
    assert app.turns[Kind.SWEEP] == []
    assert scene.skips == {("app", Skip.BUDGET): 3}


@on_schedule
async def test_a_wanted_sweep_for_which_the_budget_does_not_suffice_is_left_out_once(scene: Scene) -> None:
    """It is tried again at its turn, or after the next update, not all the time."""
    app = scene.collector(interval=1, sweep=5)
    await scene.seconds_pass(3)
    app.crowded_kinds, app.wants_sweep = {Kind.SWEEP}, True
    await scene.seconds_pass(5)
    assert 1 <= scene.skips["app", Skip.BUDGET] <= 7


@on_schedule
async def test_stretched_intervals_are_heeded(scene: Scene) -> None:
    """When the effective interval changes, turns come at the new one."""
    app = scene.collector(interval=1)
    await scene.seconds_pass(5)
    app.status.interval_seconds = 4.0
    turns_before = len(app.turns[Kind.UPDATE])
    await scene.seconds_pass(20)
    assert set(apart(app.turns[Kind.UPDATE][turns_before:])) == {4}


@on_schedule
async def test_a_turn_that_was_laid_at_a_stretched_interval_is_brought_forward(scene: Scene) -> None:
    """When the interval shrinks again, nobody waits for the turn that was laid hours away."""
    app = scene.collector(interval=1, sweep=10)
    app.status = SimpleNamespace(interval_seconds=3600, sweep_interval_seconds=36_000)
    await scene.seconds_pass(3)
    app.status = SimpleNamespace(interval_seconds=1, sweep_interval_seconds=10)
    await scene.seconds_pass(12)
    assert len(app.turns[Kind.UPDATE]) >= 10
    assert len(app.turns[Kind.SWEEP]) == 2


@on_schedule
async def test_a_wanted_sweep_does_not_wait_for_its_turn(scene: Scene) -> None:
    """After an update that wants one, a sweep runs at once, and its rhythm goes on from there."""
    app = scene.collector(interval=1, sweep=300)
    await scene.seconds_pass(5)
    app.wants_sweep = True
    await scene.seconds_pass(3)
    assert len(app.turns[Kind.SWEEP]) == 2


@on_schedule
async def test_a_sweep_that_wants_another_gets_it_at_once(scene: Scene) -> None:
    """Two sweeps in a row need not wait for an update between them, and none counts as left out."""
    app = scene.collector(interval=60, sweep=300)
    app.wants_another = True
    await scene.seconds_pass(5)
    assert apart(app.turns[Kind.SWEEP]) == [0.5]
    assert not scene.skips


@on_schedule
async def test_a_wanted_sweep_waits_for_the_end_of_a_pause(scene: Scene) -> None:
    """What failed is tried again when its pause is over, long before its turn."""
    app = scene.collector(interval=60, sweep=300)
    app.wants_another = True
    app.pauses_until[Kind.SWEEP] = 0.0
    await asyncio.sleep(0.9)
    app.pauses_until[Kind.SWEEP] = 4.0
    await scene.seconds_pass(10)
    assert len(app.turns[Kind.SWEEP]) == 2
    assert app.turns[Kind.SWEEP][1] == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("jump_seconds", [DAY_SECONDS, -DAY_SECONDS, 3700.5, -3700.5])
@pytest.mark.parametrize("after_seconds", [0.05, 0.5, 0.95])
@on_schedule
async def test_a_wall_clock_that_jumps_stalls_nothing(scene: Scene, jump_seconds: float, after_seconds: float) -> None:
    """After a jump turns go on within two intervals, none of them many times over."""
    app = scene.collector(interval=1, sweep=10)
    await scene.seconds_pass(5)
    await asyncio.sleep(after_seconds)
    jumped = scene.clock.monotonic()
    scene.clock.set_back(-jump_seconds)
    await scene.seconds_pass(40)
    updates = [turn for turn in app.turns[Kind.UPDATE] if turn > jumped]
    sweeps = [turn for turn in app.turns[Kind.SWEEP] if turn > jumped]
    assert updates[0] - jumped < 3
    assert 36 <= len(updates) <= 42
    assert max(apart(updates)) <= 2
    assert 3 <= len(sweeps) <= 5
    assert max(apart(sweeps)) <= 20


@pytest.mark.parametrize("jump_seconds", [DAY_SECONDS, -DAY_SECONDS])
@on_schedule
async def test_an_interval_that_shrinks_after_a_jump_counts_from_then_on(scene: Scene, jump_seconds: float) -> None:
    """Whichever turns the jump had made due: none waits as long as it would have by the interval before."""
    app = scene.collector(interval=1, sweep=500)
    await scene.seconds_pass(5)
    scene.clock.set_back(-jump_seconds)
    await scene.seconds_pass(5)
    app.status.sweep_interval_seconds = 10
    app.turns[Kind.SWEEP].clear()
    await scene.seconds_pass(30)
    assert len(app.turns[Kind.SWEEP]) >= 2


@on_schedule
async def test_an_app_that_is_removed_is_read_no_more(scene: Scene) -> None:
    """A turn that runs is finished, and none follows; other apps go on."""
    gone, stays = scene.collector("gone"), scene.collector("stays")
    await scene.seconds_pass(3)
    scene.schedule.remove(cast("Collector", gone))
    turns = len(gone.turns[Kind.UPDATE])
    await scene.seconds_pass(5)
    assert len(gone.turns[Kind.UPDATE]) == turns
    assert len(stays.turns[Kind.UPDATE]) >= 7


@on_schedule
async def test_stopping_cancels_what_runs(scene: Scene) -> None:
    """After the end no turn begins, and one that runs does not go on."""
    app = scene.collector(interval=1)
    app.takes_seconds[Kind.SWEEP] = 100.0
    await scene.seconds_pass(3)
    scene.schedule.stop()
    turns = len(app.turns[Kind.UPDATE])
    await asyncio.sleep(200)
    assert len(app.turns[Kind.UPDATE]) == turns
    assert Kind.SWEEP not in app.ended
    scene.schedule.start()  # which is stopped again at the end


@on_schedule
async def test_a_turn_that_stopping_cancels_brings_no_sweep_forward(scene: Scene) -> None:
    """A collector that wants a sweep as the schedule stops is no error."""
    collector = scene.collector(interval=100, sweep=1000)
    await asyncio.sleep(1)
    collector.takes_seconds[Kind.UPDATE] = 500
    await asyncio.sleep(100)
    collector.wants_sweep = True
    scene.schedule.stop()
    await asyncio.sleep(1)
    scene.schedule.look_at_clock()
    scene.schedule.start()  # which is stopped again at the end
    assert scene.failures == []


def test_turns_that_were_missed_are_left_out_and_the_phase_is_kept() -> None:
    """However long ago the last turn was, the next comes after now, in step with it, and is found in one step."""
    every = Every(lambda: 10.0)
    assert every.get_next_fire_time(None, START) == START
    now = START + timedelta(days=365, seconds=3)
    following = every.get_next_fire_time(START, now)
    assert following > now
    assert (following - now).total_seconds() <= 10
    assert (following - START).total_seconds() % 10 == 0


@on_schedule
async def test_a_process_that_stood_still_makes_up_for_one_turn(scene: Scene) -> None:
    """However many turns it missed, one comes at once, and those after it are in step with those before."""
    app = scene.collector(interval=10, sweep=1000)
    await scene.seconds_pass(25)
    phase = app.turns[Kind.UPDATE][-1] % 10
    resumed = scene.clock.monotonic() + 1003
    asyncio.get_running_loop()._now = resumed  # type: ignore[attr-defined] # as if it had been stopped
    await scene.seconds_pass(30)
    made_up_for, *regular = [turn for turn in app.turns[Kind.UPDATE] if turn >= resumed]
    assert made_up_for == pytest.approx(resumed)
    assert [turn % 10 for turn in regular] == pytest.approx([phase] * 3)


@on_virtual_time
async def test_an_interval_beyond_all_dates_stops_no_other_app(scene: Scene) -> None:
    """One app whose budget lets it be read once in a million years leaves the turns of the others alone."""
    scene.begin()
    seldom, often = scene.collector("seldom", interval=1e14, sweep=1e14), scene.collector("often")
    await scene.seconds_pass(20)
    assert len(often.turns[Kind.UPDATE]) >= 19
    assert seldom.turns[Kind.SWEEP]


@on_virtual_time
async def test_what_fails_in_the_schedule_itself_is_reported(scene: Scene) -> None:
    """An exception outside of an attempt is the supervisor's, and the next turns come all the same."""
    scene.begin()
    collector = scene.collector()
    collector.crowded = lambda _kind: 1 / 0  # type: ignore[assignment,return-value]
    await scene.seconds_pass(3)
    assert {type(failure) for failure in scene.failures} == {ZeroDivisionError}
    del collector.crowded
    await scene.seconds_pass(20)
    assert collector.turns[Kind.UPDATE]
    assert collector.turns[Kind.SWEEP]
