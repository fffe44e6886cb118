"""What an exporter does with the leases that it finds, takes and loses."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import cast

import pytest

from exporter.collector.past import SavedApp
from exporter.collector.rate_limiter import Limiter, Priority
from exporter.config.model import Account, App, Config, Sharing, Storage
from exporter.core.secret import Secret
from exporter.core.threads import Worker
from exporter.metrics.self_metrics import SelfMetrics
from exporter.service.budget_leases import NO_TERM, BudgetLeases
from exporter.storage.leases import Lease, LeaseTable, Round
from tests.support.virtual_time import VirtualClock, at_once, run

LEASE_SECONDS = 10.0
ONE, TWO = "account one", "account two"
CONFIG = Config(
    accounts=tuple(
        Account(
            name=name,
            requests_per_second=20,
            limit_group=None,
            apps=(App(id=f"{name}-app"),),
            endpoint=f"https://{name}",
        )
        for name in ("one", "two")
    ),
    storage=Storage(url=Secret("postgresql+psycopg://a@b/c")),
    sharing=Sharing(exporters=2, lease_seconds=LEASE_SECONDS, fallback_requests_per_second=2),
)


class FakeTable:
    """Leases that a test moves."""

    def __init__(self) -> None:
        self.own: dict[str, int] = {}
        self.holder = "http://other"
        self.to_free: set[str] = set()
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.others_seconds_left = LEASE_SECONDS

    def round(self, budgets: AbstractSet[str]) -> Round:
        if self.error is not None:
            raise self.error
        leases = {}
        for budget in budgets:
            term = self.own.get(budget)
            seconds_left = LEASE_SECONDS if term else self.others_seconds_left if self.holder else 0.0
            leases[budget] = Lease(term or 0, term is not None, seconds_left, "" if term else self.holder)
        return Round(leases, set(self.to_free), 2)

    def load(self, budget: str, accounts: Sequence[str]) -> Sequence[SavedApp]:
        self.calls.append(f"load {budget} {list(accounts)}")
        return []

    def free(self, budget: str) -> None:
        self.calls.append(f"free {budget}")
        self.to_free.discard(budget)
        del self.own[budget]

    def leave(self) -> None:
        self.calls.append("leave")

    def close(self) -> None:
        """Do nothing."""


class Scene:
    """Leases on virtual time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.table = FakeTable()
        self.limiters = {name: Limiter(20, clock=self.clock) for name in ("one", "two")}
        self.applied: list[list[str]] = []
        self.unwritten = False
        self.leases = BudgetLeases(
            clock=self.clock,
            limiter=self.limiters.__getitem__,
            changed=self._changed,
            waits=lambda _accounts: self.unwritten,
            failed=lambda _error: None,
            open_table=lambda _config, _name: cast("LeaseTable", self.table),
        )
        self.leases.configure(CONFIG)
        self.leases.lend()

    async def _changed(self, _saved: Iterable[SavedApp]) -> None:
        self.applied.append([account.name for account in self.leases.part().accounts if account.apps])

    def rate(self, name: str) -> float:
        return self.limiters[name].effective_requests_per_second

    def granted(self) -> list[float]:
        """Return the rates that the limiters of both accounts may use."""
        return [limiter.granted_requests_per_second for limiter in self.limiters.values()]


def played(play: Callable[[Scene], Awaitable[None]]) -> Callable[[pytest.MonkeyPatch], None]:
    """Make a test of a scene, while the leases run."""

    async def scenario() -> None:
        scene = Scene()
        running = asyncio.create_task(scene.leases.run())
        try:
            await play(scene)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def test(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Worker, "run", at_once)
        run(scenario())

    return test


@played
async def test_only_the_apps_of_held_budgets_are_collected(scene: Scene) -> None:
    """Nothing at first; what is taken is loaded before it is collected; what another took is dropped immediately."""
    assert [account.apps for account in scene.leases.part().accounts] == [(), ()]
    assert scene.granted() == [0, 0]
    scene.table.own = {ONE: 1}
    await scene.clock.sleep(1)
    assert scene.table.calls == [f"load {ONE} ['one']"]
    assert scene.applied == [["one"]]
    assert scene.leases.lease_of("one") == (ONE, 1)
    assert scene.granted() == [20, 0]
    assert (scene.leases.lease_of("two"), scene.leases.holder_of("two")) == (None, "http://other")
    scene.table.own = {TWO: 5}
    await scene.clock.sleep(1)
    assert scene.applied[-1] == ["two"]
    assert scene.leases.lease_of("one") is None


@played
async def test_nothing_is_sent_for_a_second_after_a_lease_was_taken(scene: Scene) -> None:
    """The holder before may have used the budget until the end of its lease."""
    await scene.clock.sleep(1.5)
    scene.table.own, taken_at = {ONE: 1}, scene.clock.monotonic()
    async with scene.limiters["one"].permit(Priority.UPDATE):
        assert 1 <= scene.clock.monotonic() - taken_at <= 2
    assert scene.applied == [["one"]]


@played
async def test_a_lease_of_another_exporter_is_taken_as_soon_as_it_ends(scene: Scene) -> None:
    """The next round waits no longer than until the first of these leases can end."""
    scene.table.others_seconds_left = 0.2
    await scene.clock.sleep(0.01)
    scene.table.own = {ONE: 1}
    await scene.clock.sleep(0.2)
    assert scene.applied == [["one"]]


@played
async def test_without_database_the_fallback_rate_is_left_after_the_lease(scene: Scene) -> None:
    """It keeps its apps, slows down before the lease ends, and is at full rate with the next answer of the database."""
    scene.table.own = {ONE: 1}
    await scene.clock.sleep(1)
    scene.table.error = OSError("connection refused")
    await scene.clock.sleep(0.8 * LEASE_SECONDS - 1)
    assert scene.rate("one") == 20
    await scene.clock.sleep(1.1)
    assert scene.rate("one") == 2
    assert scene.applied == [["one"]]
    scene.table.error = None
    await scene.clock.sleep(1)
    assert (scene.rate("one"), scene.applied) == (20, [["one"]])


@played
async def test_without_database_at_a_start_all_is_collected_slowly_after_a_minute(scene: Scene) -> None:
    """It holds no lease and writes nothing then; with the first answer it gives up what others hold."""
    scene.table.error = OSError("connection refused")
    await scene.clock.sleep(59)
    assert (scene.applied, scene.granted()) == ([], [0, 0])
    await scene.clock.sleep(2)
    assert (scene.applied, scene.granted()) == ([["one", "two"]], [2, 2])
    assert scene.leases.lease_of("one") == (ONE, NO_TERM)
    assert not scene.leases.reached
    scene.table.error, scene.table.own = None, {ONE: 3}
    await scene.clock.sleep(2)
    assert (scene.applied[1:], scene.granted()) == ([[], ["one"]], [20, 0])
    assert scene.leases.lease_of("one") == (ONE, 3)
    scene.table.error = OSError("connection refused")
    await scene.clock.sleep(70)
    assert (scene.applied[-1], scene.granted()) == (["one"], [2, 0])


@played
async def test_a_budget_is_freed_once_all_is_written(scene: Scene) -> None:
    """A move waits for what is not written, a second at most, and the app is collected until then."""
    scene.table.own = {ONE: 1, TWO: 1}
    await scene.clock.sleep(1)
    scene.unwritten = True
    scene.table.to_free = {TWO}
    await scene.clock.sleep(0.9)
    assert f"free {TWO}" not in scene.table.calls
    assert scene.applied == [["one", "two"]]
    await scene.clock.sleep(1)
    assert f"free {TWO}" in scene.table.calls
    assert scene.applied[-1] == ["one"]
    await scene.leases.leave()
    assert scene.table.calls[-1] == "leave"


@played
async def test_metrics_say_who_holds_what(scene: Scene) -> None:
    """A held lease is 1 until it ends by the own clock; time without a holder counts from there."""
    metrics = SelfMetrics(version="1")
    for name in ("one", "two"):
        metrics.add_account(name)

    def values(name: str) -> list[float]:
        scene.leases.publish(metrics)
        lines = metrics.render()[False].decode().splitlines()
        return [float(line.partition(" ")[2]) for line in lines if line.startswith(f"rtcmpu_exporter_lease_{name}{{")]

    scene.table.own = {ONE: 1}
    await scene.clock.sleep(1)
    assert (values("held"), values("takeovers_total"), values("unheld_seconds")) == ([1, 0], [1, 0], [0, 0])
    scene.table.error = OSError("connection refused")
    await scene.clock.sleep(LEASE_SECONDS + 20)
    assert values("held") == [0, 0]
    assert all(19 < seconds < 21 for seconds in values("unheld_seconds"))
    scene.leases.configure(CONFIG.changed(sharing=None))
    assert values("held") == []
