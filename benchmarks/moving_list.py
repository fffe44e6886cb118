"""Reading a list that moves: naive paging beside updates, sweeps and look-ups.

Ninety simulated seconds after a warm-up, at 50 requests/s and round trips of 20 to 80 ms. Of all events 60 % are
changes, 15 % creations, 15 % deletions and 10 % tasks that are saved again without a change (which nobody waits for).
`python -m benchmarks.moving_list --full` takes eight seeds and adds what the vendor does not exclude; `--seeds 4` takes
fewer, `--only TEXT` some of the rows.
"""

import argparse
import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from statistics import fmean
from typing import NamedTuple

import msgspec
from structlog.testing import capture_logs

from benchmarks.report import percentile, show
from exporter.aliyun.parse_task import row_digest
from exporter.collector.rate_limiter import Limiter, Priority
from exporter.collector.status import Intervals
from exporter.simulator.fleet import Burst, Rates
from exporter.simulator.listing import Variants
from tests.support.moving_world import APP, Reader, Scene, World
from tests.support.virtual_time import VirtualClock, run

INTERVALS = Intervals(
    interval_seconds=0.25, sweep_interval_seconds=0, stale_after_seconds=1000, interval_stretch_ratio=1
)
"""Sweeps follow one another without a pause."""
SECONDS = 90
PAGE = 100
IN_FLIGHT = 16

SEEDS = (1,)
FULL_SEEDS = (101, 102, 103, 104, 105, 106, 107, 108)  # not used while the engine was tuned

SIZES = (2_000, 20_000, 100_000)
EVENTS_PER_SECOND = (1.0, 10.0, 100.0)


NOTE = (
    "missing: tasks that existed throughout a sweep and are not shown after it, mean and most; gone alive: tasks that "
    "were declared gone and existed; unmoved: changes that only a sweep could find; delays in seconds; "
    f"{SECONDS} simulated seconds at 50 requests/s, round trips of 20 to 80 ms"
)


COST_INTERVALS = Intervals(
    interval_seconds=10, sweep_interval_seconds=60, stale_after_seconds=1000, interval_stretch_ratio=1
)
COST_SIZES = (240, 2_000, 20_000)
COST_SECONDS = 600
COST_COLUMNS = ("tasks", "events/s", "pages", "sweep", "lookups", "repaired tasks")
COST_NOTE = (
    f"requests, mean of the sweeps of {COST_SECONDS} simulated seconds; pages: what paging by 100 needs; "
    "lookups: after a sweep, until the next one"
)


class Case(NamedTuple):
    """One thing to simulate."""

    title: str
    scene: Scene
    naive: bool = False
    burst: tuple[Burst, int] | None = None  # happens twice, all at once


class Outcome(NamedTuple):
    """What one design got right in one scene. Delays in seconds."""

    missing: list[int]
    gone_alive: int
    requests: int
    change_delays: list[float]
    deletion_delays: list[float]
    unmoved_changes: int


def main(full: bool = False, seeds: int = len(FULL_SEEDS), only: str = "") -> None:
    """Print the tables."""
    chosen = FULL_SEEDS[:seeds] if full else SEEDS
    tables = [("Reading a moving list", _size_cases(full=full))]
    if full:
        title = "Ours, 20,000 tasks, 10 events a second, and what the vendor does not exclude"
        tables.append((title, _variant_cases()))
    with ProcessPoolExecutor(max_workers=2) as pool:
        if not only:
            show("What a sweep costs", COST_COLUMNS, pool.map(_cost, *zip(*_cost_cases(), strict=True)), note=COST_NOTE)
        for title, cases in tables:
            if named := [case for case in cases if only in f"{title}, {case.title}".lower()]:
                _show(title, _outcomes(pool, named, chosen))


def _size_cases(*, full: bool) -> Iterator[Case]:
    """Yield both designs on all sizes and rates of events; without `full` the largest list once."""
    for tasks in SIZES:
        for events in EVENTS_PER_SECOND:
            if full or tasks < max(SIZES) or events == 10:
                scene = Scene(tasks, Rates.mixture(events), seed=0)
                for naive in (True, False):
                    yield Case(f"{tasks:,}, {events:g}/s, {'naive' if naive else 'ours'}", scene, naive=naive)


def _cost_cases() -> Iterator[tuple[int, float]]:
    """Yield numbers of tasks and of events a second."""
    for tasks in COST_SIZES:
        for events in (0.0, 1.0, 10.0):
            yield tasks, events


def _cost(tasks: int, events: float) -> tuple[str, ...]:
    """Return a row of the table of what a sweep costs."""
    with capture_logs():
        return run(_measured_cost(tasks, events))


async def _measured_cost(tasks: int, events: float) -> tuple[str, ...]:
    clock = VirtualClock()
    world = World(Scene(tasks, Rates.mixture(events), seed=1, small_rows=True), clock)
    reader = Reader(world, Limiter(world.scene.requests_per_second, clock=clock), COST_INTERVALS)
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(loop) for loop in reader.loops()]
        await reader.ready.wait()
        await asyncio.sleep(5)
        reader.sweeps.clear()
        lookups_before = world.service.statistics.by_kind["look_up"]
        await asyncio.sleep(COST_SECONDS)
        for loop in loops:
            loop.cancel()
    lookups = (world.service.statistics.by_kind["look_up"] - lookups_before) / len(reader.sweeps)
    requests = fmean(sweep.requests for sweep in reader.sweeps)
    repaired = fmean(sweep.repaired_tasks for sweep in reader.sweeps)
    pages = tasks // PAGE + 1
    return (f"{tasks:,}", f"{events:g}", f"{pages:,}", f"{requests:,.1f}", f"{lookups:.1f}", f"{repaired:.1f}")


def _variant_cases() -> Iterator[Case]:
    """Yield 20,000 tasks and ten events a second with each thing that the vendor does not exclude."""

    def scene(**variants: object) -> Scene:
        return Scene(20_000, Rates.mixture(10), seed=0, variants=Variants().changed(variants))

    yield Case("ties, one order", scene(ties="stable"))
    yield Case("ties, changing order", scene(ties="changing"))
    yield Case("a replica 0.3 s behind", scene(lag_seconds=0.3))
    yield Case("changed rows do not move", scene(changed_task_moves=False))
    yield Case("500 updates at once", scene(), burst=("update", 500))
    yield Case("500 deletions and creations", scene(), burst=("replace", 500))
    yield Case("newest 150 saved again", scene(), burst=("resave_newest", 150))


def _outcomes(
    pool: ProcessPoolExecutor, cases: Iterable[Case], seeds: Sequence[int]
) -> Iterator[tuple[str, list[Outcome]]]:
    """Simulate all cases with all seeds."""
    for case in cases:
        yield case.title, list(pool.map(simulated, [_seeded(case, seed) for seed in seeds]))


def _seeded(case: Case, seed: int) -> Case:
    """Return a case with a seed of its own."""
    return case._replace(scene=case.scene._replace(seed=seed))


def simulated(case: Case) -> Outcome:
    """Simulate one case."""
    with capture_logs():
        return run(_simulate(case))


async def _simulate(case: Case) -> Outcome:
    clock = VirtualClock()
    world = World(case.scene, clock)
    limiter = Limiter(case.scene.requests_per_second, clock=clock)
    reader = _NaiveReader(world, limiter) if case.naive else Reader(world, limiter, INTERVALS)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop) for loop in reader.loops()]
        await reader.ready.wait()
        await asyncio.sleep(10)
        world.now_true()
        world.comparison.begin()
        requests_before = world.requests
        for pause in (20, 40):
            await asyncio.sleep(pause)
            if case.burst is not None:
                kind, size = case.burst
                world.service.churn.burst(kind, APP, size, clock.now())
        await asyncio.sleep(SECONDS - 60)
        world.comparison.end(now=clock.now())
        for task in tasks:
            task.cancel()
    comparison = world.comparison
    return Outcome(
        comparison.missing,
        comparison.gone_alive,
        world.requests - requests_before,
        comparison.change_delays,
        comparison.deletion_delays,
        reader.unmoved_changes,
    )


class _NaiveReader:
    """Pages of 100 until a short one; what they held replaces what is shown."""

    def __init__(self, world: World, limiter: Limiter) -> None:
        self._world = world
        self._limiter = limiter
        self._clock = world.clock
        self._shown: dict[str, int] = {}
        self.ready = asyncio.Event()
        self.unmoved_changes = 0

    def loops(self) -> list[Coroutine[None, None, None]]:
        """Return what runs until it is cancelled."""
        return [self._read_on()]

    async def _read_on(self) -> None:
        while True:
            began = self._clock.now()
            shown = await self._read()
            self._world.now_true()
            now, comparison = self._clock.now(), self._world.comparison
            for task_id in self._shown.keys() - shown.keys():
                comparison.dropped(task_id, now=now)
            self._shown = shown
            for task_id, digest in shown.items():
                comparison.shown(task_id, digest, now=now)
            comparison.swept(set(shown), began=began)
            self.ready.set()

    async def _read(self) -> dict[str, int]:
        """Read all pages, several in flight."""
        shown: dict[str, int] = {}
        for first in count(1, IN_FLIGHT):
            for rows in await asyncio.gather(*(self._page(first + step) for step in range(IN_FLIGHT))):
                shown.update(rows)
                if len(rows) < PAGE:
                    return shown
        raise AssertionError

    async def _page(self, page_no: int) -> dict[str, int]:
        """Return TaskId and digest of the rows of a page."""
        async with self._limiter.permit(Priority.SWEEP):
            page = await self._world.client.list_tasks(APP, page_no=page_no, page_size=PAGE)
        return {msgspec.json.decode(row, type=_Row).task_id: row_digest(row) for row in page.rows}


class _Row(msgspec.Struct):
    """The only field of a row that naive paging needs."""

    task_id: str = msgspec.field(name="TaskId")


def _show(title: str, outcomes: Iterable[tuple[str, list[Outcome]]]) -> None:
    """Print a table of outcomes, each over all its seeds."""
    columns = ("", "missing", "most", "gone alive", "requests", "change p50", "p99", "deletion p50", "p99", "unmoved")
    rows = []
    for case, results in outcomes:
        missing = [missing for result in results for missing in result.missing]
        changes = [delay for result in results for delay in result.change_delays]
        deletions = [delay for result in results for delay in result.deletion_delays]
        figures = (
            f"{fmean(missing or [0]):.1f}",
            f"{max(missing, default=0):,}",
            f"{fmean(result.gone_alive for result in results):,.0f}",
            f"{fmean(result.requests for result in results):,.0f}",
            *(f"{percentile(delays, share):.2f}" for delays in (changes, deletions) for share in (0.5, 0.99)),
            f"{fmean(result.unmoved_changes for result in results):,.0f}",
        )
        rows.append((case, *figures))
    show(title, columns, rows, note=NOTE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Naive paging beside ours, simulated.")
    parser.add_argument("--full", action="store_true", help="eight seeds and all variants (about half an hour)")
    parser.add_argument("--seeds", type=int, default=len(FULL_SEEDS), help="how many with --full (default %(default)s)")
    parser.add_argument(
        "--only",
        default="",
        type=str.lower,
        metavar="TEXT",
        help="rows of which it is in the title, or in the table's",
    )
    main(**vars(parser.parse_args()))
