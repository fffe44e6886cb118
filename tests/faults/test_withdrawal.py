"""From the first attempt to data that is withdrawn and back: what is published at each time, and what is logged."""

from collections.abc import Mapping

import pytest

from exporter.config.model import Collection
from tests.support.virtual_time import on_virtual_time
from tests.support.virtual_world import World, playing

pytestmark = pytest.mark.simulations

APPS = {"app": 130, "well": 10}
COLLECTION = Collection(interval_seconds=2, sweep_interval_seconds=20, stale_after_seconds=60)
DAY_SECONDS = 86_400.0


def _about(world: World, app_id: str) -> list[tuple[str, str]]:
    """Return level and event of the lines about the collection of an app."""
    about = [line for line in world.log if line["event"].startswith(("collection", "data is withdrawn"))]
    return [(line["log_level"], line["event"]) for line in about if line["app_id"] == app_id]


@on_virtual_time
async def test_from_pending_to_withdrawn_and_back() -> None:
    """Each time shows what is promised for it: pending, ok, failing with the last data, without it, and ok again."""
    async with playing(apps=APPS, collection=COLLECTION) as world:
        seen = world.seen()
        assert (seen.up("app"), seen.state("app"), seen.has_data("app")) == (0, "pending", False)
        _, swept_at = await world.until_true("app", "well"), world.clock.now()
        truth = world.truth("app")

        world.fail("internal_error", "app")
        await world.until(lambda seen: seen.up("app") == 0)
        while (age := world.clock.now() - _swept(world)) <= COLLECTION.stale_after_seconds:
            seen = world.seen()
            assert (seen.state("app"), seen.has_data("app")) == ("server_error", True)
            assert seen.tasks("app") == truth
            await world.clock.sleep(min(5.0, COLLECTION.stale_after_seconds + 1.1 - age))

        seen = world.seen()
        assert (seen.up("app"), seen.state("app"), seen.has_data("app")) == (0, "server_error", False)
        assert world.clock.now() - swept_at < 2 * COLLECTION.stale_after_seconds
        await world.clock.sleep(2 * COLLECTION.stale_after_seconds)
        assert not world.seen().has_data("app")
        assert world.is_true(world.seen(), "well")

        world.service.faults.clear()
        assert await world.until_true("app") <= 12
        assert world.seen().changes("app") == {}
    assert _about(world, "app") == [
        ("info", "collection is complete"),
        ("warning", "collection fails"),
        ("warning", "data is withdrawn: it has become too old"),
        ("info", "collection is complete"),
    ]
    assert _about(world, "well") == [("info", "collection is complete")]


@on_virtual_time
async def test_what_is_not_about_tasks_outlives_their_withdrawal() -> None:
    """Counters, name, quota, intervals and times are published as before; nothing that counts tasks is."""
    kept = (
        "rtcmpu_app_info",
        "rtcmpu_task_quota",
        "rtcmpu_collection_interval_seconds",
        "rtcmpu_collection_sweep_interval_seconds",
        "rtcmpu_collection_stale_after_seconds",
        "rtcmpu_collection_interval_stretch_ratio",
        "rtcmpu_collection_last_update_timestamp_seconds",
        "rtcmpu_collection_last_sweep_timestamp_seconds",
        "rtcmpu_task_changes_total",
        "rtcmpu_task_field_changes_total",
    )
    async with playing(apps=APPS, collection=COLLECTION) as world:
        await world.until_true("app")
        world.service.fleet.update("app", world.task_ids("app")[2], {"MaxIdleTime": "31"})
        await world.until(lambda seen: seen.changes("app") == {"modified": 1})
        before = world.seen()
        world.fail("forbidden", "app")
        await world.until(lambda seen: not seen.has_data("app"), within_seconds=100)
        after = world.seen()
        for name in kept:
            assert after.values(name, app_id="app"), name
            if not name.endswith("timestamp_seconds"):
                assert after.values(name, app_id="app") == before.values(name, app_id="app"), name
        attempts = "rtcmpu_collection_attempts_total"
        assert (after.value(attempts, app_id="app") or 0) > (before.value(attempts, app_id="app") or 0)
        assert after.tasks("app") == {}


@on_virtual_time
async def test_updates_are_applied_while_sweeps_fail() -> None:
    """Until the last accepted sweep is too old, what updates bring is published, and the app is down all the same."""
    async with playing(apps=APPS, collection=COLLECTION) as world:
        await world.until_true("app")
        world.fail("service_unavailable", "app", page_no=2)
        await world.until(lambda seen: seen.up("app") == 0)
        updates = 0
        while world.clock.now() - _swept(world) < COLLECTION.stale_after_seconds - 5:
            updates += 1
            world.service.fleet.update("app", world.task_ids("app")[110], {"MaxIdleTime": str(100 + updates)})
            await world.clock.sleep(2.5)
            seen = world.seen()
            assert (seen.state("app"), seen.tasks("app")) == ("server_error", world.truth("app"))
            assert seen.changes("app") == {"modified": updates}
        await world.clock.sleep(7)
        assert not world.seen().has_data("app")
        world.service.faults.clear()
        await world.until_true("app")
        assert world.seen().changes("app") == {"modified": updates}


@pytest.mark.parametrize("jump_seconds", [-7 * DAY_SECONDS, -3600.0, 3600.0, 7 * DAY_SECONDS])
@on_virtual_time
async def test_a_wall_clock_that_jumps_changes_no_age(jump_seconds: float) -> None:
    """Neither is fresh data withdrawn, nor old data kept, nor does collection stand still."""
    async with playing(apps=APPS, collection=COLLECTION) as world:
        await world.until_true("app")
        _jump(world, jump_seconds)
        for _ in range(12):
            await world.clock.sleep(5)
            assert world.seen().has_data("app")
        updated = world.seen().value("rtcmpu_collection_last_update_timestamp_seconds", app_id="app")
        assert updated is not None
        assert 0 <= world.clock.now() - updated <= 2 * COLLECTION.interval_seconds
        world.fail("not_json", "app")
        await world.until(lambda seen: seen.up("app") == 0)
        _jump(world, jump_seconds)
        await world.clock.sleep(30)
        assert world.seen().has_data("app")
        await world.clock.sleep(COLLECTION.stale_after_seconds)
        assert not world.seen().has_data("app")
        world.service.faults.clear()
        await world.until_true("app")


REASONS: Mapping[str, tuple[str, str]] = {
    "inactive_key": ("auth_error", "the access key is disabled"),
    "wrong_key": ("auth_error", "the access key id is unknown"),
    "expired_token": ("auth_error", "the security token has expired"),
    "forbidden_ram": ("auth_error", "live:ListRtcMPUTaskDetail"),
    "not_enabled": ("not_enabled", "is not enabled for this account"),
    "invalid_app": ("app_invalid", "check the app's id"),
    "bad_gateway": ("server_error", "status 502"),
    "blocked_by_proxy": ("network_error", "something in between answered 403"),
}


@pytest.mark.parametrize("fault", sorted(REASONS))
@on_virtual_time
async def test_what_happened_is_named_once(fault: str) -> None:
    """Many failures are one line that says state and reason, another when data is withdrawn, one at the end."""
    state, words = REASONS[fault]
    async with playing(apps=APPS, collection=COLLECTION) as world:
        await world.until_true("app")
        world.fail(fault, "app")
        await world.clock.sleep(2.5 * COLLECTION.stale_after_seconds)
        assert world.seen().state("app") == state
        world.service.faults.clear()
        await world.until_true("app")
    assert [event for _, event in _about(world, "app")] == [
        "collection is complete",
        "collection fails",
        "data is withdrawn: it has become too old",
        "collection is complete",
    ]
    fails = next(line for line in world.log if line["event"] == "collection fails")
    assert fails["state"] == state
    assert words in fails["reason"]


def _jump(world: World, seconds: float) -> None:
    """Let this machine's wall clock jump ahead; the service's does not."""
    world.clock.set_back(-seconds)


def _swept(world: World) -> float:
    """Return when the last accepted sweep of the app began, as it is published."""
    swept = world.seen().value("rtcmpu_collection_last_sweep_timestamp_seconds", app_id="app")
    assert swept is not None
    return swept
