"""The account's limit is shared with the customer's own business: we yield, and come back slowly."""

import pytest

from exporter.config.model import Collection
from exporter.simulator.fleet import Rates
from tests.support.generated import IN_CI
from tests.support.shared_quota import SharedQuota, Window
from tests.support.virtual_time import on_virtual_time
from tests.support.virtual_world import World, playing

pytestmark = pytest.mark.simulations

BUSY = Collection(interval_seconds=0.1, sweep_interval_seconds=5, stale_after_seconds=60)
"""More than the budget allows, so that all of it is used."""
APPS = {f"app-{number}": 20 for number in range(1, 7)}
SETTLING_SECONDS = 40
MEASURED_SECONDS = 40 if IN_CI else 20
KEY_ID = "simulator-key-id"
RATE = "rtcmpu_exporter_rate_limit_requests_per_second"
THROTTLED = "rtcmpu_exporter_api_throttled_total"


def _value(world: World, name: str) -> float:
    value = world.seen().value(name)
    assert value is not None
    return value


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
@on_virtual_time
async def test_half_the_limit_taken_by_others_is_left_to_them(window: Window) -> None:
    """Our rate settles at about what is left, few of our requests are refused, and hardly any of the others'."""
    quota = SharedQuota(50, window, others_per_second=25.0)
    async with playing(apps=APPS, collection=BUSY, quota=quota) as world:
        service = world.service
        await world.until_true(*APPS)
        await world.clock.sleep(SETTLING_SECONDS)
        requests, refused = service.statistics.requests, service.statistics.rejected_by_quota[KEY_ID]
        others_refused = quota.others_refused
        rates = []
        for _ in range(MEASURED_SECONDS // 5):
            await world.clock.sleep(5)
            rates.append(_value(world, RATE))
        sent = service.statistics.requests - requests
        rejected = service.statistics.rejected_by_quota[KEY_ID] - refused
        assert sent - rejected <= 1.02 * 25 * MEASURED_SECONDS
        assert sent >= 0.6 * 25 * MEASURED_SECONDS
        assert rejected <= 0.02 * sent
        assert quota.others_refused - others_refused <= 0.05 * 25 * MEASURED_SECONDS
        assert sum(rates) / len(rates) <= 30
        seen = world.seen()
        assert all(seen.up(app_id) == 1 for app_id in APPS)


@on_virtual_time
async def test_throttling_halves_the_rate_and_it_recovers_slowly() -> None:
    """One refusal halves it at once; it is quiet for a while, then grows by two hundredths a second to all of it."""
    async with playing(apps=APPS, collection=BUSY) as world:
        await world.until_true(*APPS)
        assert _value(world, RATE) == 40
        world.fail("throttled_400", count=1)
        await world.until(lambda seen: seen.value(THROTTLED) == 1, look_every_seconds=0.1)
        world.monitor.look_at_budget()
        assert _value(world, RATE) == 20
        await world.clock.sleep(4)
        world.monitor.look_at_budget()
        assert _value(world, RATE) == 20
        await world.clock.sleep(11)
        world.monitor.look_at_budget()
        assert 26 <= _value(world, RATE) <= 29
        await world.clock.sleep(25)
        assert _value(world, RATE) == 40


@on_virtual_time
async def test_the_rate_never_falls_below_one_request_a_second() -> None:
    """While everything is throttled one request a second still asks, and hardly more."""
    async with playing(apps=APPS, collection=BUSY) as world:
        await world.until_true(*APPS)
        world.fail("throttled_429")
        await world.clock.sleep(30)
        before = world.service.statistics.requests
        await world.clock.sleep(60)
        assert _value(world, RATE) == 1
        assert 15 <= world.service.statistics.requests - before <= 61
        world.service.faults.clear()
        await world.until_true(*APPS, within_seconds=30)
        await world.until(lambda seen: seen.value(RATE) == 40, within_seconds=90)


@pytest.mark.parametrize("fault", ["throttled_400_wait", "throttled_503_wait", "throttled_user_api"])
@on_virtual_time
async def test_the_wait_that_the_service_names_is_obeyed(fault: str) -> None:
    """Nothing at all is sent for so long, for no app of the account."""
    async with playing(apps=APPS, collection=BUSY) as world:
        await world.until_true(*APPS)
        world.fail(fault, count=1)
        await world.until(lambda seen: seen.value(THROTTLED) == 1, look_every_seconds=0.05)
        await world.clock.sleep(0.2)
        before = world.service.statistics.requests
        await world.clock.sleep(1.6)
        assert world.service.statistics.requests == before
        await world.clock.sleep(1)
        assert world.service.statistics.requests > before
        await world.until_true(*APPS)


@on_virtual_time
async def test_retries_come_out_of_the_same_budget() -> None:
    """However many requests fail, no second sees more than the configured rate."""
    async with playing(apps=APPS, collection=BUSY, requests_per_second=10) as world:
        world.fail("internal_error", rate=0.5)
        world.fail("slow", rate=0.1)
        await world.clock.sleep(60)
        assert _value(world, "rtcmpu_exporter_api_retries_total") > 50
        assert max(world.service.statistics.busiest_second.values()) <= 10
        assert sum(world.service.statistics.rejected_by_quota.values()) == 0


@on_virtual_time
async def test_intervals_that_the_budget_does_not_allow_are_stretched_evenly() -> None:
    """The published ratio is that of both intervals, data goes stale later with them, and the apps keep that pace."""
    async with playing(apps=APPS, collection=BUSY, requests_per_second=4) as world:
        await world.until_true(*APPS, within_seconds=90)
        await world.clock.sleep(60)
        seen = world.seen()
        ratios = {
            value
            for app_id in APPS
            for value in seen.values("rtcmpu_collection_interval_stretch_ratio", app_id=app_id).values()
        }
        # Six updates in 0.1 s; six pages and what asks for their ends in 5 s; with 0.9 of four requests a second.
        (ratio,) = ratios
        assert ratio == pytest.approx((60 + 12 / 5) / 3.6)
        assert seen.value("rtcmpu_collection_interval_seconds", app_id="app-1") == pytest.approx(0.1 * ratio)
        assert seen.value("rtcmpu_collection_sweep_interval_seconds", app_id="app-1") == pytest.approx(5 * ratio)
        assert seen.value("rtcmpu_collection_stale_after_seconds", app_id="app-1") == pytest.approx(10 * ratio)
        for app_id in APPS:
            updated = seen.value("rtcmpu_collection_last_update_timestamp_seconds", app_id=app_id)
            assert updated is not None
            assert world.clock.now() - updated <= 0.1 * ratio + 1.5
        world.service.churn.set_rates(Rates(update=1), world.clock.now())
        await world.clock.sleep(30)
        world.service.churn.set_rates(Rates(), world.clock.now())
        await world.until_true(*APPS, within_seconds=10)
        assert max(world.service.statistics.busiest_second.values()) <= 4
