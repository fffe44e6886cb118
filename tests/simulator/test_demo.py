"""The fleet of the demonstration, and the options of a service of one's own."""

import json

import pytest

from exporter.simulator import simulation as demo
from exporter.simulator import simulation as options
from exporter.simulator.listing import Parameters
from exporter.simulator.task_maker import (
    ALIBABA_HOST,
    LIFETIMES,
    MISCONFIGURATIONS,
    ODD_VALUES,
    SIGNERS,
    TEMPLATES,
    TaskMaker,
    seeded,
)
from tests.oracle.metrics_truth import truth_of_app
from tests.oracle.push_auth import key_of, state_of
from tests.simulator.support import page_query, signed, task_ids
from tests.support.virtual_time import SetClock


def test_the_demonstration_has_apps_of_all_sizes() -> None:
    """One app has over a thousand tasks, one is empty, one is near its quota, and each can be read by its account."""
    service = demo.demo_service(now=SetClock().now)
    sizes = {}
    for account in demo.ACCOUNTS:
        for app in account.apps:
            asked_by = service.accounts[account.access_key_id]
            page = service.handle(signed(page_query(app_id=app.id), account=asked_by))
            assert page.status == 200
            sizes[app.id] = len(service.fleet.apps[app.id])
    assert sizes["live-main"] > 1500
    assert 240 <= sizes["live-events"] <= 280
    assert sizes["sandbox"] == 0
    assert sizes["education"] == 39


def test_the_demonstration_shows_everything_that_can_be_wrong() -> None:
    """Each misconfiguration and each odd value is on some task, and is marked."""
    service = demo.demo_service(now=SetClock().now)
    marks = {mark for tasks in service.fleet.apps.values() for row in tasks.order for mark in row.marks}
    assert marks == {*MISCONFIGURATIONS, *ODD_VALUES, *LIFETIMES}
    twice = [row for row in service.fleet.apps["live-main"].order if "duplicate_push_url" in row.marks]
    assert len(twice) == 2


def test_keys_of_the_demonstration_expire_while_one_looks() -> None:
    """Each signer has a valid key, and in every span from a minute to an hour further ones expire."""
    clock = SetClock()
    service = demo.demo_service(now=clock.now)

    def keys() -> list[tuple[str, str]]:
        """Return signer and state of each key that is there on purpose."""
        rows = [row for row in service.fleet.apps["live-events"].order if {*row.marks} & LIFETIMES.keys()]
        found = [key_of(json.loads(row.body)["MultiStreamURL"][0]["URL"], {ALIBABA_HOST: 1800}) for row in rows]
        return [(key[0], state_of(key, clock.now())) for key in found]

    assert {signer for signer, state in keys() if state == "valid"} == {*SIGNERS}
    assert {state for _, state in keys()} == {"valid", "expiring", "expired", "malformed"}
    expired = []
    for seconds in (0, 61, 600, 3600):
        clock.seconds += seconds
        service.listed("live-events")
        expired.append(sum(state == "expired" for _, state in keys()))
    assert expired == [2, 3, 6, 9]


def test_the_demonstration_is_lively_and_repeats_itself() -> None:
    """Tasks change all the time, and the same seed shows the same changes."""

    def after_a_minute() -> list[bytes]:
        clock = SetClock()
        service = demo.demo_service(now=clock.now)
        before = service.listed("live-main")
        clock.seconds += 60
        after = service.listed("live-main")
        assert len({*after} - {*before}) > 50
        return after

    assert after_a_minute() == after_a_minute()


def test_lists_are_in_the_order_of_their_updates() -> None:
    """Each list is newest first from the start."""
    service = demo.demo_service(now=SetClock().now)
    for tasks in service.fleet.apps.values():
        times = [row.updated_at for row in tasks.order]
        assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("name", [*MISCONFIGURATIONS, *ODD_VALUES])
def test_every_oddity_makes_a_difference(name: str) -> None:
    """Each named change gives a row that differs from the ordinary one, and keeps its identity."""
    ordinary = TaskMaker(seeded(1, "maker")).mixed("app", TEMPLATES[0])
    changed = {**MISCONFIGURATIONS, **ODD_VALUES}[name](ordinary)
    assert changed != ordinary
    assert changed["TaskId"] == ordinary["TaskId"]


def test_typical_rows_have_the_size_of_real_ones() -> None:
    """A mixed task with four panes is about 2.7 kB of JSON."""
    maker = TaskMaker(seeded(1, "sizes"))
    sizes = [len(json.dumps(maker.mixed("app", template), separators=(",", ":"))) for template in TEMPLATES[:3]]
    assert all(2500 <= size <= 2900 for size in sizes)


def test_all_leaves_are_strings() -> None:
    """Every leaf of an ordinary row is a string, except IsAliCdn."""

    def leaves(value: object, name: str = "") -> list[tuple[str, object]]:
        if isinstance(value, dict):
            return [leaf for key, below in value.items() for leaf in leaves(below, key)]
        if isinstance(value, list):
            return [leaf for below in value for leaf in leaves(below, name)]
        return [(name, value)]

    maker = TaskMaker(seeded(1, "leaves"))
    for body in [maker.any("app") for _ in range(50)]:
        for name, value in leaves(body):
            assert isinstance(value, bool if name == "IsAliCdn" else str)


def test_options_make_a_service() -> None:
    """Apps, tasks, churn, limit, faults and variants are as asked for."""
    clock = SetClock()
    asked = options.SimulatorOptions(
        apps=2,
        tasks=30,
        churn=5.0,
        requests_per_second=3,
        faults=("bad_gateway=0.5", "slow"),
        variants=("past_end=last_page", "lag_seconds=1.5", "changed_task_moves=false"),
    )
    service = options.build_service(asked, now=clock.now)
    assert asked.app_ids == ("app-1", "app-2")
    assert [len(tasks) for tasks in service.fleet.apps.values()] == [30, 30]
    assert service.churn.rates.total == pytest.approx(5.0)
    assert service.accounts[options.ACCESS_KEY_ID].requests_per_second == 3
    assert [(fault.name, fault.rate) for fault in service.faults.active] == [("bad_gateway", 0.5), ("slow", 1.0)]
    variants = service.variants
    assert (variants.past_end, variants.lag_seconds, variants.changed_task_moves) == ("last_page", 1.5, False)
    service.faults.clear()
    assert len(task_ids(service.body(Parameters("app-2")))) == 30


def test_each_app_has_tasks_of_its_own_from_the_seed() -> None:
    """The same seed makes the same tasks, another seed and another app others."""

    def bodies(seed: int, app_id: str) -> list[bytes]:
        asked = options.SimulatorOptions(apps=2, tasks=5, seed=seed)
        return list(options.build_service(asked, now=SetClock().now).fleet.bodies(app_id))

    assert bodies(1, "app-1") == bodies(1, "app-1")
    assert bodies(1, "app-1") != bodies(2, "app-1")
    assert truth_of_app(bodies(1, "app-1")) != truth_of_app(bodies(1, "app-2"))
