"""What happens to connections: cut, hung, led elsewhere. On real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import structlog

from exporter.config.model import Account, Collection, Config
from exporter.rules.rule_loader import rule_set_of
from exporter.simulator.faults import Fault
from tests.support.monitored import Monitored, Simulated, simulated, until
from tests.support.virtual_world import Seen, true_samples

pytestmark = pytest.mark.simulations

COLLECTION = Collection(
    interval_seconds=0.2, sweep_interval_seconds=1.0, stale_after_seconds=60.0, request_timeout_seconds=1.5
)
UPDATES_ALONE = Collection(
    interval_seconds=0.2, sweep_interval_seconds=60.0, stale_after_seconds=180.0, request_timeout_seconds=1.5
)
APPS = ("app-1", "app-2")
BROKEN, OTHER = APPS
TASKS = 105  # two windows, so that a fault on the second page hits sweeps alone

EXPECTED = {"reset": "network_error", "hang": "timeout", "redirect": "network_error", "slow": "timeout"}
"""`slow` takes longer than the deadline that is set here."""

Look = Callable[[], Seen]


@asynccontextmanager
async def _watching(account: Account, collection: Collection = COLLECTION) -> AsyncIterator[Look]:
    """Run a monitor; yield what returns the exposition."""
    monitored = Monitored()
    monitor = monitored.monitor

    def look() -> Seen:
        monitor.look_at_clock()
        return Seen(monitored.text)

    config = Config(accounts=(account,), collection=collection)
    await monitor.apply(config, rule_set_of(config))
    monitor.start()
    try:
        yield look
    finally:
        await monitor.close()


def _is_true(seen: Seen, service: Simulated, *app_ids: str) -> bool:
    return all(
        seen.up(app_id) == 1 and seen.tasks(app_id) == true_samples(tuple(service.service.listed(app_id)))
        for app_id in app_ids
    )


async def _until(look: Look, condition: Callable[[Seen], bool]) -> None:
    """Wait for what is published, without keeping the machine busy."""

    async def holds() -> bool:
        await asyncio.sleep(0.1)
        return condition(look())

    await until(holds)


async def _case(name: str, state: str, fault: Fault, *, at_first: bool, update: bool = False) -> None:
    """Let one app of two fail, check what is published, and let it recover by itself."""
    async with simulated(apps=2, tasks=TASKS, longest_hang_seconds=5) as service:
        faults, listed = service.service.faults, service.service.fleet.apps[BROKEN]
        if at_first:
            faults.add(fault)
        async with _watching(service.account(*APPS), UPDATES_ALONE if update else COLLECTION) as look:
            await _until(look, lambda seen: _is_true(seen, service, *(APPS if not at_first else (OTHER,))))
            before = look().tasks(BROKEN)
            if not at_first:
                faults.add(fault)
                if fault.kind == "look_up":
                    service.service.fleet.delete(BROKEN, listed.order[TASKS - 1].task_id)
            in_doubt = fault.kind == "look_up"  # the list is whole all the same

            def fails_alone(seen: Seen) -> bool:
                assert seen.state(BROKEN) == ("ok" if in_doubt else state), name
                assert not in_doubt or seen.value("rtcmpu_collection_doubtful_tasks", app_id=BROKEN) == 1, name
                assert seen.up(BROKEN) == in_doubt, name
                assert seen.tasks(BROKEN) == before, name
                assert seen.has_data(BROKEN) == (not at_first), name
                assert _is_true(seen, service, OTHER), name
                return True

            await _until(look, fails_alone)
            faults.clear()
            await _until(look, lambda seen: _is_true(seen, service, *APPS))


@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_a_connection_that_fails_is_named_and_recovers(name: str) -> None:
    """In a first sweep, a later one, an update and a look-up: the state, the data that is kept, the way back."""
    state = EXPECTED[name]
    with structlog.testing.capture_logs():
        await asyncio.gather(
            _case(name, state, Fault(name, app_id=BROKEN), at_first=True),
            _case(name, state, Fault(name, app_id=BROKEN, page_no=2), at_first=False),
            _case(name, state, Fault(name, app_id=BROKEN, kind="page", page_no=1), at_first=False, update=True),
            _case(name, state, Fault(name, app_id=BROKEN, kind="look_up"), at_first=False),
        )
