"""A simulated service that is never still, a collector that reads it, and a comparison of what is shown and true."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, KeysView, Mapping, Sequence
from itertools import count
from random import Random
from typing import NamedTuple, cast

import aiohttp
import msgspec

from exporter.aliyun.client import Client
from exporter.aliyun.credentials import Credentials, CredentialsSource
from exporter.aliyun.parse_task import Interner, row_digest
from exporter.aliyun.transport import Transport, parse_endpoint
from exporter.collector.collector import Collector, CollectorEvents
from exporter.collector.inventory import Change
from exporter.collector.rate_limiter import Limiter
from exporter.collector.reading import AppRows
from exporter.collector.requests import AccountRequests
from exporter.collector.status import Intervals, Kind, Status, Sweep
from exporter.config.model import App
from exporter.core.clock import Clock
from exporter.core.collection_state import State
from exporter.core.secret import Secret
from exporter.simulator.fleet import SECONDS_BETWEEN_FIRST_UPDATES, Event, Fleet, Rates, populate
from exporter.simulator.listing import Variants
from exporter.simulator.protocol import SimulatedAccount
from exporter.simulator.service import Latency, Service
from exporter.simulator.simulation import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from tests.support.fake_service import ServiceSession

APP = "app"
LATENCY = Latency(one_way_seconds=0.01, jitter_seconds=0.03)
LAG_SECONDS = 1.5  # how long ago a deletion must have been to be known everywhere: a replica may lag by a second
LOOK_EVERY_SECONDS = 1.0


class Scene(NamedTuple):
    """What is read."""

    tasks: int
    rates: Rates
    seed: int
    variants: Variants = Variants()  # immutable
    small_rows: bool = False  # rows of a few fields, which cost little to read
    tied: bool = False  # whether all tasks were updated in one second at first
    requests_per_second: int = 50  # the service's limit and the exporter's budget


class World:
    """The service and the truth about it."""

    def __init__(self, scene: Scene, clock: Clock) -> None:
        self.scene = scene
        self.clock = clock
        self.fleet = Fleet(clock.now)
        self.fleet.add_app(APP)
        started_at = clock.now() - 100_000
        if scene.small_rows:
            for number in range(scene.tasks):
                age_seconds = 0.0 if scene.tied else (scene.tasks - number) * SECONDS_BETWEEN_FIRST_UPDATES
                body = {"AppId": APP, "TaskId": f"task-{number}", "ChannelId": "channel"}
                self.fleet.create(APP, body, at=started_at - age_seconds)
        else:
            populate(self.fleet, APP, scene.tasks, random=Random(scene.seed), started_at=started_at)  # noqa: S311 - a simulation
        account = SimulatedAccount(
            ACCESS_KEY_ID, ACCESS_KEY_SECRET, (APP,), requests_per_second=scene.requests_per_second
        )
        self.service = Service(
            [account], self.fleet, now=clock.now, seed=scene.seed, latency=LATENCY, variants=Variants()
        )
        self.set_variants(scene.variants)
        self.service.churn.set_rates(scene.rates, clock.now())
        rows = self.fleet.apps[APP].rows
        self.comparison = Comparison({task_id: row.body for task_id, row in rows.items()})
        self.fleet.listeners.append(self.comparison.happened)
        session = cast("aiohttp.ClientSession", ServiceSession(self.service))
        endpoint = parse_endpoint("http://service.test")
        self.client = Client(
            Transport(session, endpoint, clock=clock, timeout_seconds=10, proxy=None),
            credentials=cast("CredentialsSource", _Key()),
            clock=clock,
            nonce=map(str, count()).__next__,
            observer=_Nobody(),
        )

    @property
    def requests(self) -> int:
        """How many arrived so far."""
        return self.service.statistics.requests

    def set_variants(self, variants: Variants) -> None:
        self.service.variants = variants.changed({"compression": False})

    def now_true(self) -> None:
        """Let all happen that is due, so that the comparison is right at this moment."""
        self.service.advance()


class _Key:
    """Credentials that never change."""

    _KEY = Credentials(access_key_id=ACCESS_KEY_ID, access_key_secret=Secret(ACCESS_KEY_SECRET))

    async def get(self) -> Credentials:
        return self._KEY

    def refused(self, _credentials: Credentials) -> bool:
        return False


class _Nobody:
    """Counts nothing of what requests tell."""

    def request_finished(self, _outcome: State, _seconds: float, /) -> None:
        """Ignore it."""

    def clock_skew(self, _seconds: float, /) -> None:
        """Ignore it."""


class Comparison:
    """Compares what a reader shows with what there is. Times are seconds of the service's clock."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self._bodies = dict(bodies)
        self._created = dict.fromkeys(bodies, float("-inf"))
        self._deleted: dict[str, float] = {}
        self._versions = {task_id: [row_digest(msgspec.Raw(body))] for task_id, body in bodies.items()}
        self._shown_version: dict[str, int] = {}
        self._added: Counter[str] = Counter()
        self._unseen_changes: dict[str, list[tuple[float, int]]] = {}
        self._unseen_deletions: dict[str, float] = {}
        self.change_delays: list[float] = []
        self.deletion_delays: list[float] = []
        self.missing: list[int] = []  # for each accepted sweep: tasks that existed throughout and are not shown
        self.gone_alive = 0  # tasks that were reported removed and existed
        self.changed_back = 0  # reported changes to a version that is older than the one before
        self.looks: Counter[State] = Counter()  # at the state, by state
        self.wrong_ok: list[str] = []  # what was wrong at those looks that saw `ok`, once for each

    def begin(self) -> None:
        self._unseen_changes.clear()
        self._unseen_deletions.clear()
        self.change_delays.clear()
        self.deletion_delays.clear()
        self.missing.clear()
        self.gone_alive = 0

    @property
    def readded(self) -> dict[str, int]:
        """Tasks that were reported added more than once, with how often."""
        return {task_id: times for task_id, times in self._added.items() if times > 1}

    @property
    def task_ids(self) -> set[str]:
        """Tasks that exist."""
        return set(self._bodies)

    def happened(self, event: Event) -> None:
        if event.body is None:
            del self._bodies[event.task_id], self._created[event.task_id]
            self._unseen_changes.pop(event.task_id, None)
            self._deleted[event.task_id] = self._unseen_deletions[event.task_id] = event.at
        elif event.body != self._bodies.get(event.task_id):
            self._bodies[event.task_id] = event.body
            self._created.setdefault(event.task_id, event.at)
            digest = row_digest(msgspec.Raw(event.body))
            self._versions.setdefault(event.task_id, []).append(digest)
            self._unseen_changes.setdefault(event.task_id, []).append((event.at, digest))

    def reported(self, changes: Sequence[Change], *, now: float) -> None:
        for change in changes:
            if change.after is not None:
                self._added[change.after.task_id] += change.before is None
                self.shown(change.after.task_id, change.after.row_digest, now=now)
            elif change.before is not None:
                self.dropped(change.before.task_id, now=now)

    def shown(self, task_id: str, digest: int, *, now: float) -> None:
        """Note that the reader shows a version, and with it all before."""
        versions = self._versions.get(task_id, [])
        if digest in versions:
            version = len(versions) - 1 - versions[::-1].index(digest)
            self.changed_back += version < self._shown_version.get(task_id, 0)
            self._shown_version[task_id] = version
        changes = self._unseen_changes.get(task_id, [])
        place = next((place for place, (_, unseen) in enumerate(changes) if unseen == digest), -1)
        self.change_delays += [now - at for at, _ in changes[: place + 1]]
        del changes[: place + 1]

    def dropped(self, task_id: str, *, now: float) -> None:
        """Note that the reader shows a task no more."""
        self.gone_alive += task_id in self._bodies
        deleted = self._unseen_deletions.pop(task_id, None)
        if deleted is not None:
            self.deletion_delays.append(now - deleted)

    def missing_from(self, shown: KeysView[str] | set[str], *, created_before: float) -> list[str]:
        """Return the tasks that exist since before a time and are not shown."""
        return [task_id for task_id in self._created.keys() - shown if self._created[task_id] < created_before]

    def ghosts_in(self, shown: KeysView[str] | set[str], *, deleted_before: float) -> list[str]:
        """Return the tasks that are shown though they were deleted before a time."""
        return [task_id for task_id in self._deleted.keys() & shown if self._deleted[task_id] < deleted_before]

    def swept(self, shown: KeysView[str] | set[str], *, began: float) -> None:
        """Note that a sweep was accepted and what is shown after it."""
        self.missing.append(len(self.missing_from(shown, created_before=began)))

    def look(self, status: Status, shown: KeysView[str] | set[str], *, now: float) -> None:
        """Compare what is shown, at any moment, with what the state says of it.

        Where it is `ok`, all tasks are shown that existed when the last sweep began, and none that was deleted before
        it but those that are counted as doubtful.
        """
        self.looks[status.state] += 1
        if status.state is not State.OK or status.sweep is None:
            return
        missing = self.missing_from(shown, created_before=status.sweep.began)
        ghosts = self.ghosts_in(shown, deleted_before=status.sweep.began - LAG_SECONDS)
        if missing or len(ghosts) > status.doubtful_tasks:
            self.wrong_ok.append(
                f"at {now:.0f} s {len(missing)} missing and {len(ghosts)} deleted of {len(shown):,} shown,"
                f" {status.doubtful_tasks} in doubt"
            )

    def end(self, *, now: float) -> None:
        """What has waited longer than most, and is still not shown, counts with what it has waited."""
        self.change_delays += [
            now - at for changes in self._unseen_changes.values() for at, _ in changes if now - at > 1
        ]


class Reader(CollectorEvents):
    """The exporter's own collector with its updates and sweeps, in a world.

    Args:
        world: What is read.
        limiter: The budget.
        intervals: Of updates and sweeps.
    """

    def __init__(self, world: World, limiter: Limiter, intervals: Intervals) -> None:
        self._world = world
        self._clock = world.clock
        self._intervals = intervals
        self.ready = asyncio.Event()  # set after the first accepted sweep
        self.unmoved_changes = 0
        self.sweeps: list[Sweep] = []  # that were accepted
        rng = Random(1)  # noqa: S311 - a simulation
        requests = AccountRequests(world.client, limiter, clock=self._clock, rng=rng, events=self)
        self.collector = Collector(
            account="account",
            app=App(id=APP),
            requests=requests.of_app(APP),
            rows=AppRows(APP, Interner()),
            max_tasks=10**7,
            intervals=intervals,
            clock=self._clock,
            events=self,
        )

    @property
    def shown(self) -> KeysView[str]:
        """The tasks that are shown; a view, since they are looked at each second."""
        return self.collector.inventory._entries.keys()

    def loops(self) -> list[Coroutine[None, None, None]]:
        """Return what runs until it is cancelled."""
        return [self._update_in_turn(), self._sweep_in_turn(), self._look_often()]

    def collected(self, changes: Sequence[Change], *, baseline: bool) -> None:
        if not baseline:
            self._world.now_true()
            self._world.comparison.reported(changes, now=self._clock.now())

    def swept(self) -> None:
        sweep = self.collector.status.sweep
        if sweep is not None:
            self._world.comparison.swept(self.shown, began=sweep.began)
            self.unmoved_changes += sweep.unmoved_changes
            self.sweeps.append(sweep)
            self.look()
            self.ready.set()

    def look(self) -> None:
        self._world.now_true()
        self._world.comparison.look(self.collector.status, self.shown, now=self._clock.monotonic())

    def waited(self, priority: str, seconds: float) -> None:
        """Nobody counts that here."""

    def throttled(self) -> None:
        """Nobody counts that here."""

    def retried(self, reason: State) -> None:
        """Nobody counts that here."""

    async def _update_in_turn(self) -> None:
        """Update at the interval; a turn that comes while one still runs is left out."""
        for turn in count(1):
            due = turn * self._intervals.interval_seconds
            if due >= self._clock.monotonic():
                await self._clock.sleep(due - self._clock.monotonic())
                if self._clock.monotonic() >= self.collector.pause_ends_at(Kind.UPDATE):
                    await self.collector.update()

    async def _sweep_in_turn(self) -> None:
        """Sweep at the interval, or sooner where that is wanted; never before a pause is over."""
        while True:
            due = self._clock.monotonic() + self._intervals.sweep_interval_seconds
            await self.collector.sweep()
            while self._clock.monotonic() < due and not self.collector.wants_sweep:
                await self._clock.sleep(min(0.25, due - self._clock.monotonic()))
            pause = self.collector.pause_ends_at(Kind.SWEEP) - self._clock.monotonic()
            await self._clock.sleep(max(0.001, pause))

    async def _look_often(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_SECONDS)
            self.collector.look_at_clock()
            self.look()
