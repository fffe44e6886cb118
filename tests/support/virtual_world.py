"""The whole program but its web server on virtual time, reading a simulated service without sockets.

Hours pass in seconds, and always in the same way. What is true is what the service says of its tasks; what is seen is
the text of `/metrics`.
"""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, tzinfo
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, TypeVar, cast

import aiohttp
import pytest
from structlog.testing import capture_logs

from exporter.config.model import Account, App, Collection, Config, Quota
from exporter.core.collection_state import State
from exporter.rules.rule_set import RuleSet, rule_set
from exporter.simulator import protocol as message
from exporter.simulator.faults import Fault
from exporter.simulator.fleet import Fleet, populate
from exporter.simulator.listing import Variants
from exporter.simulator.service import Latency, RequestQuota, Service
from exporter.simulator.simulation import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from exporter.simulator.task_maker import seeded
from tests.oracle.metrics_truth import truth_of_app
from tests.support.fake_service import ServiceSession
from tests.support.monitored import KEY, Monitored
from tests.support.virtual_time import VirtualClock, at_once, run

T = TypeVar("T")

ACCOUNT = "production"
ONE_WAY_SECONDS = 0.02
LOOK_AT_BUDGET_SECONDS = 5
COLLECTION = Collection(interval_seconds=1, sweep_interval_seconds=20, stale_after_seconds=60)

UNCOMPRESSED = Variants(compression=False)
"""The likeliest service but for compression, which costs time."""

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]  # by name and labels

_LABEL = re.compile(r'(\w+)="([^"]*)"')
_OF_TASKS = re.compile(r"rtcmpu_(?:tasks?(?!_(?:quota|changes_total|field_changes_total)$)|push_auth)\w*(?<!_bucket)")


class World(Monitored):
    """A service, and a monitor that reads it; each has a wall clock of its own."""

    def __init__(self, service: Service, clock: VirtualClock, account: Account, collection: Collection) -> None:
        self.service = service
        self.clock = clock
        self.config = Config(accounts=(account,), collection=collection)
        self.log: Sequence[MutableMapping[str, Any]] = []  # what is logged, which is shown nowhere
        super().__init__(clock, open_session=lambda **_: cast("aiohttp.ClientSession", ServiceSession(service)))

    def fail(self, name: str, app_id: str | None = None, **which: Any) -> None:
        self.service.faults.add(Fault(name, app_id=app_id, **which))

    def is_true(self, seen: "Seen", *app_ids: str) -> bool:
        """Whether apps are up, and all that is published of their tasks is true."""
        return all(seen.up(app_id) == 1 and seen.tasks(app_id) == self.truth(app_id) for app_id in app_ids)

    async def until_true(self, *app_ids: str, within_seconds: float = 60.0) -> float:
        """Wait until apps are up and what is published of them is true; return after how many seconds it was."""
        return await self.until(
            lambda seen: self.is_true(seen, *app_ids),
            within_seconds=within_seconds,
            can_hold=lambda: self._are_ok(*app_ids),
        )

    def _are_ok(self, *app_ids: str) -> bool:
        apps = self.monitor.apps
        return all(apps[ACCOUNT, app_id].collector.status.state is State.OK for app_id in app_ids)

    def task_ids(self, app_id: str) -> list[str]:
        """Return an app's tasks in the order of the list."""
        return [row.task_id for row in self.service.fleet.apps[app_id].order]

    def truth(self, app_id: str) -> Samples:
        return true_samples(tuple(self.service.listed(app_id)))

    async def until(
        self,
        condition: Callable[["Seen"], bool],
        *,
        within_seconds: float = 30.0,
        look_every_seconds: float = 1.0,
        can_hold: Callable[[], bool] = lambda: True,
    ) -> float:
        """Return after how many seconds a condition held of what is seen.

        `can_hold` says whether it could hold at all: to render what is published and to read that takes long.
        """
        began = self.clock.monotonic()
        while not (can_hold() and condition(self.seen())):
            assert self.clock.monotonic() - began < within_seconds, f"not within {within_seconds:g} s"
            await self.clock.sleep(look_every_seconds)
        return self.clock.monotonic() - began

    def seen(self) -> "Seen":
        return Seen(self.text)


@cache
def _default_rules() -> RuleSet:
    """Compile the default rules once for all worlds: no app of theirs has expectations of its own."""
    return rule_set(Config(accounts=()))


@lru_cache(maxsize=512)
def true_samples(rows: tuple[bytes, ...]) -> Samples:
    """Return all samples that are not 0 of what should be published about rows."""
    return {
        (name, frozenset(sample["labels"].items())): sample["value"]
        for name, found in truth_of_app(rows)["samples"].items()
        for sample in found
        if sample["value"]
    }


class Seen:
    """One exposition, to be asked."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines: dict[str, list[str]] = {}  # by name; what follows the first brace of a sample
        for line in text.splitlines():
            name, _, rest = line.partition("{")
            self._lines.setdefault(name, []).append(rest)

    def value(self, name: str, **labels: str) -> float | None:
        """Return the sum of the samples that have these labels among others; None where there is none."""
        found = self.values(name, **labels)
        return sum(found.values()) if found else None

    def values(self, name: str, **labels: str) -> Samples:
        """Return the samples that have these labels among others."""
        return {
            (sample, its_labels): value
            for sample, its_labels, value in self._samples(name)
            if labels.items() <= dict(its_labels).items()
        }

    def up(self, app_id: str) -> float | None:
        return self.value("rtcmpu_up", app_id=app_id)

    def state(self, app_id: str) -> str:
        """Return an app's state; exactly one is 1, and all others are 0."""
        states = {dict(labels)["state"]: value for (_, labels), value in self._states(app_id).items()}
        assert sorted(states.values()) == [0.0] * (len(states) - 1) + [1.0]
        return next(state for state, value in states.items() if value == 1)

    def tasks(self, app_id: str) -> Samples:
        """Return all samples that are not 0 of the families about an app's tasks, as `World.truth` returns them."""
        found = {}
        for name, labels, value in self._samples(_OF_TASKS.pattern):
            about = dict(labels)
            if about.pop("app_id", None) == app_id and about.pop("account") == ACCOUNT and value:
                found[name, frozenset(about.items())] = value
        return found

    def has_data(self, app_id: str) -> bool:
        """Whether anything is said of an app's tasks; that agrees with `data_available`."""
        has_data = self.value("rtcmpu_tasks", app_id=app_id) is not None
        available = self.value("rtcmpu_collection_data_available", app_id=app_id)
        assert available == has_data
        assert has_data or not self.tasks(app_id)
        return has_data

    def changes(self, app_id: str) -> dict[str, float]:
        counted = self.values("rtcmpu_task_changes_total", app_id=app_id)
        return {dict(labels)["change"]: value for (_, labels), value in counted.items() if value}

    def _states(self, app_id: str) -> Samples:
        return self.values("rtcmpu_collection_state", app_id=app_id)

    def _samples(self, name: str) -> list[tuple[str, frozenset[tuple[str, str]], float]]:
        """Return all samples whose whole name matches a pattern."""
        wanted = re.compile(name)
        found = [
            (its_name, rest) for its_name, lines in self._lines.items() if wanted.fullmatch(its_name) for rest in lines
        ]
        samples = [(its_name, *rest.rpartition("} ")) for its_name, rest in found]
        return [(its_name, _labels_of(labels), float(value)) for its_name, labels, _, value in samples]


@lru_cache(maxsize=50_000)
def _labels_of(text: str) -> frozenset[tuple[str, str]]:
    return frozenset(_LABEL.findall(text))


def play(scenario: Callable[[World], Awaitable[T]], **settings: Any) -> T:
    """Run a scenario in a world, and return its result; `settings` are those of `playing`."""

    async def main() -> T:
        async with playing(**settings) as world:
            return await scenario(world)

    return run(main())


@asynccontextmanager
async def playing(
    *,
    apps: Mapping[str, int],
    collection: Collection = COLLECTION,
    requests_per_second: float = 40.0,
    variants: Mapping[str, object] = MappingProxyType({}),
    faults: Sequence[Fault] = (),
    quota: RequestQuota | None = None,
) -> AsyncIterator[World]:
    """Run a monitor that reads apps from its beginning on, on the running loop of virtual time.

    Args:
        apps: How many tasks each has at first.
        collection: How often they are read.
        requests_per_second: The configured budget.
        variants: What the service answers otherwise than the likeliest one.
        faults: Are switched on from the beginning.
        quota: The service's limit, where it is another than by default.
    """
    clock, service_clock = VirtualClock(), VirtualClock()
    fleet = Fleet(service_clock.now)
    for app_id, tasks in apps.items():
        fleet.add_app(app_id)
        populate(fleet, app_id, tasks, random=seeded(1, app_id), started_at=service_clock.now())
    account = message.SimulatedAccount(ACCESS_KEY_ID, ACCESS_KEY_SECRET, tuple(apps))
    latency = Latency(one_way_seconds=ONE_WAY_SECONDS)
    service = Service(
        [account], fleet, now=service_clock.now, seed=1, latency=latency, variants=UNCOMPRESSED.changed(variants)
    )
    if quota is not None:
        service.quotas[ACCESS_KEY_ID] = quota
    for fault in faults:
        service.faults.add(fault)
    configured = Account(
        name=ACCOUNT,
        endpoint="http://service.test",
        apps=tuple(App(id=app_id, quota=Quota(single=200, mixed=40)) for app_id in apps),
        credentials=KEY,
        requests_per_second=requests_per_second,
    )
    world = World(service, clock, configured, collection)
    with pytest.MonkeyPatch.context() as patch, capture_logs() as world.log:
        # APScheduler looks at the wall clock by itself, and virtual time does not wait for threads.
        patch.setattr("apscheduler.schedulers.base.datetime", _datetime_of(clock))
        patch.setattr("exporter.core.threads.Worker.run", at_once)
        async with _running(world):
            yield world


@asynccontextmanager
async def _running(world: World) -> AsyncIterator[None]:
    """Run a world's monitor as the daemon does."""

    async def beat() -> None:
        for beats in itertools.count(1):
            await world.clock.sleep(1)
            world.monitor.look_at_clock()
            if beats % LOOK_AT_BUDGET_SECONDS == 0:
                world.monitor.look_at_budget()

    await world.monitor.apply(world.config, _default_rules())
    world.monitor.start()
    beating = asyncio.create_task(beat(), name="beat")
    try:
        yield
    finally:
        beating.cancel()
        await world.monitor.close()


def _datetime_of(clock: VirtualClock) -> type[datetime]:
    """Return a `datetime` whose present is that of a clock."""

    class SimulatedDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # a plain one is what is wanted
            return datetime.fromtimestamp(clock.now(), tz)

    return SimulatedDatetime
