"""Services and lists on which an exact reading could fail, and a collector in a world that has one of them."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from structlog.testing import capture_logs

from exporter.collector.rate_limiter import Limiter
from exporter.collector.status import Intervals
from exporter.config.capacity import pace_of, sweep_requests_of
from exporter.config.model import Collection
from exporter.core.collection_state import State
from exporter.simulator.faults import Fault
from exporter.simulator.fleet import Rates
from exporter.simulator.listing import Variants
from tests.support.moving_world import APP, LAG_SECONDS, Reader, Scene, World
from tests.support.virtual_time import VirtualClock, run

BUDGETS = (1, 4, 40)  # requests a second
INTERVAL_SECONDS = 1.0
SWEEP_INTERVAL_SECONDS = 20.0  # as configured; stretched where the budget does not suffice
BASELINE_SECONDS = 600.0  # within this many seconds a first sweep is accepted where the list can be read
STALE_AFTER_SECONDS = 600.0
CHURN_INTERVALS = 8  # this many sweep intervals the list changes
SETTLING_SWEEPS = 4  # this many sweeps are accepted while it is at rest, though the service still answers as it does
LONGEST_SETTLING_INTERVALS = 60  # within this many sweep intervals at rest all deleted tasks have to be gone


class Enemy(NamedTuple):
    """What is wrong with a list or a service, and what can be asked of a reading all the same."""

    name: str
    tasks: int = 600
    saved_per_second: float = 0.005  # tasks that are saved again without a change, as a share of the list
    changes_per_second: float = 0.6  # Changes, creations and deletions in equal parts
    tied: bool = False
    variants: Mapping[str, Any] = MappingProxyType({})
    faults: tuple[Fault, ...] = ()
    from_start: bool = True  # whether the service answers so from the start, not only after the first accepted sweep
    half_way: Callable[[World], None] = lambda _world: None  # what happens once, in the middle
    ends: frozenset[State] = frozenset({State.OK})
    """In one of these states it ends; where it is `ok`, all is shown as it is."""
    grace_intervals: int = 0
    """This many sweep intervals after the first sweep until what is wrong has left traces that are recognised."""


def _deleted(number: int) -> Callable[[World], None]:
    return lambda world: world.service.churn.burst("delete", APP, number, world.clock.now())


def _failing(name: str, *, count: int | None = None, seconds: float | None = None) -> Callable[[World], None]:
    def begin(world: World) -> None:
        world.service.faults.add(Fault(name, kind="page", count=count))
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, world.service.faults.clear, name)

    return begin


NEVER_SURE = frozenset({State.OK, State.PARTIAL})
REFUSED_LOOKUPS = (
    "rejected_throttling",
    "unknown_code",
    "unknown_code_user_limit",
    "no_such_action",
    "internal_error",
    "forbidden",
    "hang",
    "other_tasks",
    "not_found_page",
)


def enemies() -> Iterator[Enemy]:
    """Yield all of them."""
    yield Enemy("saved again, 1 %/s", tasks=5_000, saved_per_second=0.01)
    yield Enemy("saved again, 8 %/s", tasks=2_000, saved_per_second=0.08)
    for ties in ("by_page_size", "by_page_no", "changing"):
        yield Enemy(f"tied, {ties}", tasks=400, tied=True, variants={"ties": ties}, ends=NEVER_SURE)
    yield Enemy("cut list", variants={"listed_rows": 250}, from_start=False, ends=frozenset({State.PARTIAL}))
    yield Enemy("tied 3,000, by_page_size", tasks=3_000, tied=True, variants={"ties": "by_page_size"}, ends=NEVER_SURE)
    yield Enemy("cut by a few rows", variants={"listed_rows": 580}, from_start=False, ends=NEVER_SURE)
    yield Enemy(
        "cut by a few rows, look-ups refused",
        variants={"listed_rows": 580},
        faults=(Fault("unknown_code", kind="look_up"),),
        from_start=False,
        ends=NEVER_SURE,
    )
    for tasks, listed in ((150, 100), (90, 50)):
        yield Enemy(
            f"cut to {listed} of {tasks}",
            tasks=tasks,
            changes_per_second=3.0,
            variants={"listed_rows": listed},
            from_start=False,
            ends=frozenset({State.PARTIAL}),
        )
    yield Enemy(
        "cut by a few rows at rest, look-ups refused",
        saved_per_second=0.0,
        changes_per_second=0.0,
        variants={"listed_rows": 580},
        faults=(Fault("unknown_code", kind="look_up"),),
        from_start=False,
        ends=NEVER_SURE,
    )
    yield Enemy("cut from the start", variants={"listed_rows": 250}, grace_intervals=4, ends=frozenset({State.PARTIAL}))
    yield Enemy(
        "refused beyond a row", variants={"deepest_row": 250}, from_start=False, ends=frozenset({State.LIMIT_EXCEEDED})
    )
    for kind, cap in (("page_size", 50), ("page_size", 20), ("rows", 50), ("rows", 20), ("always", 20)):
        ends = frozenset({State.OK, State.INVALID_RESPONSE} if kind == "always" else {State.OK})
        yield Enemy(f"capped, {kind} {cap}", variants={"page_cap": cap, "page_cap_kind": kind}, ends=ends)
    yield Enemy("capped later, page_size 50", variants={"page_cap": 50, "page_cap_kind": "page_size"}, from_start=False)
    yield Enemy("refused behind the end", variants={"past_end": "invalid_param"})
    yield Enemy("last page again behind the end", variants={"past_end": "last_page"})
    yield Enemy("changed rows stay in place", variants={"changed_task_moves": False})
    yield Enemy("a short page", half_way=_failing("short_page", count=1))
    yield Enemy("a short page at first", faults=(Fault("short_page", kind="page", count=1),))
    yield Enemy("short pages", faults=(Fault("short_page", 0.05, kind="page"),), ends=NEVER_SURE)
    for name in REFUSED_LOOKUPS:
        refused = Fault(name, kind="look_up")
        faults = (refused, Fault("short_page", 0.02, kind="page"))
        ends = frozenset({State.OK, State.INVALID_RESPONSE} if name == "other_tasks" else {State.OK})
        yield Enemy(f"look-up: {name}", faults=faults, from_start=False, ends=ends)
    yield Enemy("a replica 0.3 s behind", variants={"lag_seconds": 0.3})
    yield Enemy("a replica 1 s behind", variants={"lag_seconds": 1.0})
    yield Enemy("500 of 2,000 deleted", tasks=2_000, half_way=_deleted(500))
    yield Enemy("500 of 900 deleted", tasks=900, half_way=_deleted(500))
    throttled = (Fault("throttled_400_wait", 0.7, kind="look_up"),)
    yield Enemy("500 of 900 deleted, look-ups throttled", tasks=900, half_way=_deleted(500), faults=throttled)
    yield Enemy(
        "empty from now on, many deleted, look-ups throttled",
        changes_per_second=6.0,
        half_way=_failing("empty_list"),
        faults=throttled,
        ends=frozenset({State.PARTIAL}),
    )
    yield Enemy("500 deleted, saved again, 1 %/s", tasks=2_000, saved_per_second=0.01, half_way=_deleted(500))
    yield Enemy(
        "500 deleted, look-ups refused",
        tasks=2_000,
        half_way=_deleted(500),
        faults=(Fault("rejected_throttling", kind="look_up"),),
    )
    yield Enemy("500 deleted, a replica 1 s behind", tasks=2_000, variants={"lag_seconds": 1.0}, half_way=_deleted(500))
    yield Enemy(
        "all deleted, look-ups refused",
        tasks=300,
        changes_per_second=0.0,
        half_way=_deleted(300),
        faults=(Fault("unknown_code", kind="look_up"),),
        ends=frozenset({State.PARTIAL}),
    )
    yield Enemy("all deleted", tasks=300, changes_per_second=0.0, half_way=_deleted(300))
    yield Enemy("empty for three answers", half_way=_failing("empty_list", count=3))
    yield Enemy("empty for 5 s", half_way=_failing("empty_list", seconds=5))
    yield Enemy(
        "empty for 5 s, look-ups refused",
        faults=(Fault("unknown_code", kind="look_up"),),
        half_way=_failing("empty_list", seconds=5),
    )
    yield Enemy("empty for 60 s", half_way=_failing("empty_list", seconds=60))
    yield Enemy(
        "empty from now on, many deleted",
        changes_per_second=6.0,
        half_way=_failing("empty_list"),
        ends=frozenset({State.PARTIAL}),
    )
    yield Enemy("empty from now on", half_way=_failing("empty_list"), ends=frozenset({State.PARTIAL}))


ENEMIES = {enemy.name: enemy for enemy in enemies()}


class Findings(NamedTuple):
    """What became of one run."""

    broken: list[str]  # Laws, each with what broke it
    gone_alive: int
    wrong_ok: int  # looks at a wrong picture whose state was `ok`
    ok_percent: float  # of all looks after the first sweep
    requests_per_sweep: float


def observe(enemy: Enemy, requests_per_second: int, seed: int) -> Findings:
    """Read an enemy's list within a budget, and return what became of it."""
    with capture_logs():
        return run(_observe(enemy, requests_per_second, seed))


async def _observe(enemy: Enemy, requests_per_second: int, seed: int) -> Findings:
    clock = VirtualClock()
    third = enemy.changes_per_second / 3
    rates = Rates(update=third, create=third, delete=third, resave=enemy.saved_per_second * enemy.tasks)
    variants = Variants().changed(enemy.variants)
    scene = Scene(
        enemy.tasks,
        rates,
        seed,
        variants if enemy.from_start else Variants(),
        small_rows=True,
        tied=enemy.tied,
        requests_per_second=requests_per_second,
    )
    world = World(scene, clock)
    if enemy.from_start:
        _add_faults(enemy, world)
    intervals = intervals_of(enemy.tasks, requests_per_second)
    reader = Reader(world, Limiter(requests_per_second, clock=clock), intervals)
    loops = [asyncio.ensure_future(loop) for loop in reader.loops()]
    with suppress(TimeoutError):
        async with asyncio.timeout(BASELINE_SECONDS):
            await reader.ready.wait()
    if not enemy.from_start:
        world.set_variants(variants)
        _add_faults(enemy, world)
    world.comparison.looks.clear()
    sweep_interval = intervals.sweep_interval_seconds

    async def until(condition: Callable[[], bool], *, within_intervals: float) -> None:
        end = clock.monotonic() + within_intervals * sweep_interval
        while clock.monotonic() < end and not condition():
            await clock.sleep(1)

    await until(lambda: reader.collector.status.state in enemy.ends, within_intervals=enemy.grace_intervals)
    if enemy.grace_intervals:
        world.comparison.wrong_ok.clear()
    await clock.sleep(CHURN_INTERVALS / 2 * sweep_interval)
    enemy.half_way(world)
    await clock.sleep(CHURN_INTERVALS / 2 * sweep_interval)
    world.service.churn.set_rates(Rates(), clock.now())
    settled_from = clock.now()
    ends = enemy.ends
    if len(world.comparison.task_ids) <= enemy.variants.get("listed_rows", -1):
        ends = frozenset({State.OK})  # so few are left that the list is not cut any more

    def is_settled() -> bool:
        swept = sum(sweep.began > settled_from for sweep in reader.sweeps) >= SETTLING_SWEEPS
        return swept and not world.comparison.ghosts_in(reader.shown, deleted_before=settled_from)

    def has_ended() -> bool:
        seen_enough = clock.now() > settled_from + SETTLING_SWEEPS * sweep_interval
        return is_settled() if State.OK in ends else seen_enough and reader.collector.status.state in ends

    await until(has_ended, within_intervals=LONGEST_SETTLING_INTERVALS)
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    return _findings(enemy, world, reader, settled_from, ends)


def _add_faults(enemy: Enemy, world: World) -> None:
    for fault in enemy.faults:
        world.service.faults.add(msgspec.structs.replace(fault))  # they count down


def intervals_of(tasks: int, requests_per_second: float) -> Intervals:
    """Return the effective intervals of an app, as the program computes them."""
    pace = pace_of(
        apps=1,
        sweep_requests=sweep_requests_of(tasks),
        requests_per_second=requests_per_second,
        collection=Collection(
            interval_seconds=INTERVAL_SECONDS,
            sweep_interval_seconds=SWEEP_INTERVAL_SECONDS,
            stale_after_seconds=STALE_AFTER_SECONDS,
        ),
    )
    return Intervals(pace.interval_seconds, pace.sweep_interval_seconds, pace.stale_after_seconds, pace.stretch_ratio)


def _findings(enemy: Enemy, world: World, reader: Reader, settled_from: float, ends: frozenset[State]) -> Findings:
    comparison, status = world.comparison, reader.collector.status
    busiest = max(world.service.statistics.busiest_second.values())
    missing = comparison.missing_from(reader.shown, created_before=settled_from)
    ghosts = comparison.ghosts_in(reader.shown, deleted_before=settled_from - LAG_SECONDS)
    may_stay = status.doubtful_tasks if any(fault.kind == "look_up" for fault in enemy.faults) else 0
    laws = {
        f"{comparison.gone_alive} existing tasks reported removed": comparison.gone_alive,
        f"{len(comparison.wrong_ok)} looks at a wrong `ok`, first {comparison.wrong_ok[:1]}": comparison.wrong_ok,
        f"{len(comparison.readded)} tasks added again and again": comparison.readded,
        f"{comparison.changed_back} changes back to an older version": comparison.changed_back,
        f"{busiest} requests in one second": busiest > world.scene.requests_per_second,
        f"ends as {status.state}: {status.reason}": status.state not in ends,
        f"ends with {len(missing)} missing": status.state is State.OK and missing,
        f"ends with {len(ghosts)} deleted tasks, {status.doubtful_tasks} in doubt": status.state is State.OK
        and len(ghosts) > may_stay,
    }
    looks = sum(comparison.looks.values())
    return Findings(
        [law for law, is_broken in laws.items() if is_broken],
        comparison.gone_alive,
        len(comparison.wrong_ok),
        100 * comparison.looks[State.OK] / max(1, looks),
        sum(sweep.requests for sweep in reader.sweeps) / max(1, len(reader.sweeps)),
    )
