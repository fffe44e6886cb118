"""What nobody documents: whatever the service answers, what is published is true and nothing fails."""

from collections import Counter

import pytest

from exporter.collector.absences import PROOFS_OF_LARGE_LOSS
from exporter.collector.inventory import SUPERSEDED_FOR_SECONDS
from exporter.config.model import Collection
from exporter.simulator.fleet import Rates
from exporter.simulator.service import RequestQuota
from tests.support.virtual_time import on_virtual_time
from tests.support.virtual_world import COLLECTION, UNCOMPRESSED, World, playing

pytestmark = pytest.mark.simulations

SWEEPS_SECONDS = 2.5 * COLLECTION.sweep_interval_seconds  # after that, two sweeps have been evaluated


@pytest.mark.parametrize("answer", ["empty", "invalid_param", "last_page"])
@on_virtual_time
async def test_a_page_past_the_end_ends_the_sweep(answer: str) -> None:
    """Where the last page is full, the sweep is complete and right."""
    tasks = 100
    async with playing(apps={"app": tasks, "neighbour": 3}, variants={"past_end": answer}) as world:
        await world.until_true("app", "neighbour")
        assert world.seen().value("rtcmpu_tasks", app_id="app") == tasks
        await world.clock.sleep(SWEEPS_SECONDS)
        seen = world.seen()
        assert world.is_true(seen, "app", "neighbour")
        assert _failures(world) == {}
        assert seen.changes("app") == {}


@pytest.mark.parametrize("answer", ["empty", "bad_request", "not_found", "no_list"])
@on_virtual_time
async def test_an_unknown_task_is_gone(answer: str) -> None:
    """Whatever the answer to a look-up of a deleted task, the task is gone and the app is well."""
    tasks = 230
    async with playing(apps={"app": tasks}, variants={"unknown_task": answer}) as world:
        await world.until_true("app")
        deleted = [world.task_ids("app")[place] for place in (tasks - 1, tasks // 2, 3)]
        for task_id in deleted:
            world.service.fleet.delete("app", task_id)
        await world.until_true("app", within_seconds=SWEEPS_SECONDS)
        assert world.service.statistics.by_kind["look_up"] >= len(deleted)
        assert world.seen().changes("app") == {"removed": len(deleted)}
        assert _failures(world) == {}


@pytest.mark.parametrize("counted", [True, False])
@on_virtual_time
async def test_look_ups_come_out_of_the_budget(counted: bool) -> None:
    """Whether they count or not: no second sees more requests than the budget, and none is refused."""
    async with playing(
        apps={"app": 130},
        variants={"look_ups_counted": counted},
        requests_per_second=5,
        quota=RequestQuota(5),
    ) as world:
        await world.until_true("app")
        for task_id in world.task_ids("app")[-8:]:
            world.service.fleet.delete("app", task_id)
        await world.until_true("app")
        statistics = world.service.statistics
        assert statistics.by_kind["look_up"] >= PROOFS_OF_LARGE_LOSS
        assert max(statistics.busiest_second.values()) <= 5
        assert sum(statistics.rejected_by_quota.values()) == 0


@pytest.mark.parametrize("stays_seconds", [0.0, 120.0, 86_400.0])
@on_virtual_time
async def test_stopped_tasks_are_published_as_long_as_they_are_listed(stays_seconds: float) -> None:
    """What is published is what is listed; the task goes, once, when it leaves the list."""
    async with playing(apps={"app": 130}, variants={"stopped_task_stays_seconds": stays_seconds}) as world:
        await world.until_true("app")
        began = world.clock.monotonic()
        world.service.fleet.delete("app", world.task_ids("app")[-1])
        await world.clock.sleep(SWEEPS_SECONDS)
        is_listed = world.clock.monotonic() - began < stays_seconds
        assert world.seen().changes("app") == ({} if is_listed else {"removed": 1})
        assert world.seen().value("rtcmpu_tasks") == (130 if is_listed else 129)
        if stays_seconds == 120:
            await world.clock.sleep(stays_seconds)
            assert world.seen().changes("app") == {"removed": 1}
        assert world.is_true(world.seen(), "app")


@pytest.mark.parametrize("bound", [100, 192, 250])
@on_virtual_time
async def test_a_service_that_refuses_to_go_deeper_exceeds_a_limit(bound: int) -> None:
    """The last data is kept and updated, the state says why; an app within the bound is well."""
    async with playing(apps={"deep": 400, "shallow": 60}) as world:
        await world.until_true("deep", "shallow")
        world.service.variants = UNCOMPRESSED.changed({"deepest_row": bound})
        for app_id in ("deep", "shallow"):
            world.service.fleet.update(app_id, world.task_ids(app_id)[7], {"MaxIdleTime": "33"})
        await world.until(lambda seen: seen.state("deep") == "limit_exceeded")
        seen = world.seen()
        assert (seen.up("deep"), seen.tasks("deep")) == (0, world.truth("deep"))
        assert world.is_true(seen, "shallow")
        reason = world.monitor.apps["production", "deep"].collector.status.reason
        assert reason.startswith("the service refuses to list beyond row")
        world.service.variants = UNCOMPRESSED
        await world.until_true("deep", "shallow")


@on_virtual_time
async def test_a_first_sweep_that_is_refused_beyond_some_page_publishes_no_tasks() -> None:
    """Half a list is never published."""
    async with playing(apps={"app": 400}, variants={"deepest_row": 200}) as world:
        await world.until(lambda seen: seen.state("app") == "limit_exceeded")
        assert not world.seen().has_data("app")


@pytest.mark.parametrize("ties", ["stable", "changing"])
@on_virtual_time
async def test_equal_update_times_miss_and_double_nothing(ties: str) -> None:
    """Tasks of one second in any order, also another one in each answer: all are counted once, none comes or goes."""
    async with playing(apps={"app": 230, "small": 60}, variants={"ties": ties}) as world:
        service = world.service
        for app_id in ("app", "small"):
            service.churn.burst("create", app_id, 25, world.clock.now())
        await world.until_true("app", "small")
        for _ in range(4):
            for app_id in ("app", "small"):
                service.churn.burst("update", app_id, 20, world.clock.now())
            await world.until_true("app", "small")
            await world.clock.sleep(COLLECTION.sweep_interval_seconds)
            assert world.is_true(world.seen(), "app", "small")
        for app_id in ("app", "small"):
            assert set(world.seen().changes(app_id)) <= {"modified"}


@pytest.mark.parametrize("moves", [True, False])
@on_virtual_time
async def test_a_changed_task_is_found_wherever_it_stands(moves: bool) -> None:
    """At the front it is found by the update, where it stood by the sweep; that is counted once."""
    async with playing(apps={"app": 230}, variants={"changed_task_moves": moves}) as world:
        await world.until_true("app")
        await world.clock.sleep(2)
        world.service.fleet.update("app", world.task_ids("app")[200], {"MaxIdleTime": "33"})
        took_seconds = await world.until(lambda seen: seen.changes("app") == {"modified": 1})
        assert (took_seconds <= 2 * COLLECTION.interval_seconds) == moves
        assert took_seconds <= COLLECTION.sweep_interval_seconds + 2
        await world.clock.sleep(SWEEPS_SECONDS)
        assert world.seen().changes("app") == {"modified": 1}
        assert world.is_true(world.seen(), "app")
    said = [line for line in world.log if "does not move changed tasks" in line["event"]]
    assert len(said) == (0 if moves else 1)


@pytest.mark.parametrize("tasks", [60, 230])
@pytest.mark.parametrize("lag_seconds", [0.3, 1.0])
@on_virtual_time
async def test_a_replica_that_lags_changes_nothing_back(lag_seconds: float, tasks: int) -> None:
    """Though half of the answers are old, each change is counted exactly once and nothing is falsely gone."""
    happened: Counter[str] = Counter()
    collection = Collection(interval_seconds=0.25, sweep_interval_seconds=5, stale_after_seconds=60)
    async with playing(apps={"app": tasks}, collection=collection, variants={"lag_seconds": lag_seconds}) as world:
        await world.until_true("app")
        fleet = world.service.fleet
        touched: set[str] = set()
        for number in range(12):
            ids = [task_id for task_id in world.task_ids("app") if task_id not in touched]
            changed, deleted = ids[10 + number], ids[-1]
            touched |= {changed, deleted}
            fleet.update("app", changed, {"MaxIdleTime": str(100 + number)})
            fleet.delete("app", deleted)
            touched.add(fleet.create("app", {"AppId": "app", "TaskId": f"new-{number}", "MixMode": "1"}))
            happened.update(("modified", "removed", "added"))
            await world.clock.sleep(0.37 * SUPERSEDED_FOR_SECONDS * number)
        await world.clock.sleep(SWEEPS_SECONDS)
        seen = world.seen()
        assert world.is_true(seen, "app")
        assert seen.changes("app") == happened


@pytest.mark.parametrize("spelling", ["documented", "other_case", "new_value"])
@on_virtual_time
async def test_spellings_are_normalised_or_counted_as_other(spelling: str) -> None:
    """Another case is the same value; a new one is `other`, and counted as unknown by its field."""
    async with playing(apps={"app": 120}, variants={"spelling": spelling}) as world:
        await world.until_true("app")
        seen = world.seen()
        counted = seen.values("rtcmpu_task_unknown_values")
        unknown = {dict(labels)["field"] for (_, labels), value in counted.items() if value}
        others = seen.value("rtcmpu_tasks", task_region="other"), seen.value("rtcmpu_tasks", mix_mode="other")
        if spelling == "new_value":
            assert {"Region", "MixMode", "EncodeParams.VideoCodec"} <= unknown
            assert all(others)
        else:
            assert unknown.isdisjoint({"Region", "MixMode", "EncodeParams.VideoCodec"})
            assert not any(others)


@on_virtual_time
async def test_another_spelling_of_the_same_is_no_change() -> None:
    """When a service begins to spell values in another case, nothing has changed."""
    async with playing(apps={"app": 120}) as world:
        await world.until_true("app")
        world.service.variants = UNCOMPRESSED.changed({"spelling": "other_case"})
        await world.clock.sleep(SWEEPS_SECONDS)
        assert world.seen().changes("app") == {}
        assert world.is_true(world.seen(), "app")


@pytest.mark.parametrize("answer", ["list", "null", "absent"])
@on_virtual_time
async def test_an_app_without_tasks_is_complete(answer: str) -> None:
    """It is up, its tasks are zeros, and they come and go as any others."""
    async with playing(apps={"app": 0}, variants={"empty_app": answer}) as world:
        await world.until_true("app")
        tasks = world.seen().values("rtcmpu_tasks", app_id="app")
        assert set(tasks.values()) == {0}
        world.service.fleet.create("app", {"AppId": "app", "TaskId": "one", "MixMode": "1"})
        await world.until(lambda seen: seen.changes("app") == {"added": 1})
        world.service.fleet.delete("app", "one")
        await world.until(lambda seen: seen.changes("app") == {"added": 1, "removed": 1})
        assert world.is_true(world.seen(), "app")
        assert _failures(world) == {}


@pytest.mark.parametrize("compression", [True, False])
@on_virtual_time
async def test_answers_are_read_compressed_or_not(compression: bool) -> None:
    """Both are the same to us."""
    async with playing(apps={"app": 120}, variants={"compression": compression}) as world:
        await world.until_true("app")
        world.service.churn.set_rates(Rates.mixture(2), world.clock.now())
        await world.clock.sleep(10)
        world.service.churn.set_rates(Rates(), world.clock.now())
        await world.until_true("app")
        assert _failures(world) == {}


def _failures(world: World) -> dict[str, float]:
    """Return how many attempts of all apps ended otherwise than well, by outcome."""
    failures: Counter[str] = Counter()
    for (_, labels), value in world.seen().values("rtcmpu_collection_attempts_total").items():
        outcome = dict(labels)["outcome"]
        if outcome != "ok" and value:
            failures[outcome] += int(value)
    return dict(failures)
