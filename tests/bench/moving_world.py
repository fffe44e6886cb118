"""A simulated service that is never still, the way to it, and a ledger of what a reader got right and when."""

import asyncio
from collections.abc import Callable, Collection
from random import Random
from typing import NamedTuple

import msgspec

from exporter.aliyun.response import Page, read_page, row_digest
from exporter.clock import Clock
from exporter.simulator.churn import Rates
from exporter.simulator.fleet import Event, Fleet
from exporter.simulator.generation import populate
from exporter.simulator.service import Service
from exporter.simulator.variants import Variants

APP = "bench"
ONE_WAY_SECONDS = (0.01, 0.04)


class Scene(NamedTuple):
    """What is read."""

    tasks: int
    events_per_second: float
    seed: int
    variants: Variants = Variants()  # immutable


class World:
    """The service and the truth about it."""

    def __init__(self, scene: Scene, clock: Clock) -> None:
        self._fleet = Fleet(clock.now)
        self._fleet.add_app(APP)
        populate(self._fleet, APP, scene.tasks, random=Random(scene.seed), started_at=clock.now() - 100_000)  # noqa: S311 - a simulation
        self.service = Service([], self._fleet, now=clock.now, seed=scene.seed, variants=scene.variants)
        self.service.churn.set_rates(Rates.mixture(scene.events_per_second), clock.now())
        self.ledger = Ledger({task_id: row.body for task_id, row in self._fleet.apps[APP].rows.items()})
        self._fleet.listeners.append(self.ledger.happened)

    def now_true(self) -> None:
        """Let all happen that is due, so that the ledger is right at this moment."""
        self.service.advance()


class SlowLink:
    """A client whose requests and answers take a while."""

    def __init__(self, service: Service, random: Random) -> None:
        self._service = service
        self._random = random
        self.requests = 0

    async def list_tasks(self, app_id: str, *, page_no: int, page_size: int) -> Page:
        """Return one page of the app's list."""
        return await self._ask(lambda: self._service.page(app_id, page_no, page_size))

    async def look_up(self, app_id: str, task_id: str) -> Page:
        """Return one task, or no row."""
        return await self._ask(lambda: self._service.look_up(app_id, task_id))

    async def _ask(self, answer: Callable[[], bytes]) -> Page:
        self.requests += 1
        await asyncio.sleep(self._random.uniform(*ONE_WAY_SECONDS))
        body = answer()
        await asyncio.sleep(self._random.uniform(*ONE_WAY_SECONDS))
        return read_page(body)


class Ledger:
    """Compares what a reader shows with what there is. Times are seconds of the service's clock."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self._bodies = bodies
        self._created = dict.fromkeys(bodies, float("-inf"))
        self._unseen_changes: dict[str, list[tuple[float, int]]] = {}
        self._unseen_deletions: dict[str, float] = {}
        self.change_delays: list[float] = []
        self.deletion_delays: list[float] = []
        self.missing: list[int] = []
        """For each accepted sweep: tasks that existed throughout and are not shown."""
        self.gone_alive = 0

    def begin(self) -> None:
        """Count from here on."""
        self._unseen_changes.clear()
        self._unseen_deletions.clear()
        self.change_delays.clear()
        self.deletion_delays.clear()
        self.missing.clear()
        self.gone_alive = 0

    def happened(self, event: Event) -> None:
        """Take in what happened to a task."""
        if event.body is None:
            del self._bodies[event.task_id], self._created[event.task_id]
            self._unseen_changes.pop(event.task_id, None)
            self._unseen_deletions[event.task_id] = event.at
        elif event.body != self._bodies.get(event.task_id):
            self._bodies[event.task_id] = event.body
            self._created.setdefault(event.task_id, event.at)
            digest = row_digest(msgspec.Raw(event.body))
            self._unseen_changes.setdefault(event.task_id, []).append((event.at, digest))

    def shown(self, task_id: str, digest: int, *, now: float) -> None:
        """Note that the reader shows a version, and with it all before."""
        changes = self._unseen_changes.get(task_id, [])
        version = next((place for place, (_, unseen) in enumerate(changes) if unseen == digest), -1)
        self.change_delays += [now - at for at, _ in changes[: version + 1]]
        del changes[: version + 1]

    def dropped(self, task_id: str, *, now: float) -> None:
        """Note that the reader shows a task no more."""
        self.gone_alive += task_id in self._bodies
        deleted = self._unseen_deletions.pop(task_id, None)
        if deleted is not None:
            self.deletion_delays.append(now - deleted)

    def swept(self, shown: Collection[str], *, began: float) -> None:
        """Note that a sweep was accepted and what is shown after it."""
        self.missing.append(sum(at < began and task_id not in shown for task_id, at in self._created.items()))

    def end(self, *, now: float) -> None:
        """What has waited longer than most, and is still not shown, counts with what it has waited."""
        self.change_delays += [
            now - at for changes in self._unseen_changes.values() for at, _ in changes if now - at > 1
        ]
