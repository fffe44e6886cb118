"""What can happen to tasks, and what happens to them while they are read."""

import json
from collections import Counter

import pytest

from exporter.simulator.fleet import Churn, Event, Fleet, Rates, populate
from exporter.simulator.task_maker import MISCONFIGURATIONS, TaskMaker, merged, seeded
from tests.simulator.support import START
from tests.support.virtual_time import SetClock


@pytest.fixture
def short(clock: SetClock) -> Fleet:
    """Three tasks, c the newest."""
    short = Fleet(clock.now)
    short.add_app("app")
    for task_id in "abc":
        short.create("app", {"AppId": "app", "TaskId": task_id, "Region": "CN-Shanghai"})
    return short


def order(short: Fleet) -> str:
    """Return the tasks in list order."""
    return "".join(row.task_id for row in short.apps["app"].order)


def test_a_change_brings_a_task_to_the_front(short: Fleet) -> None:
    """Created, changed and saved again: each makes a task the newest; the change is in its row."""
    assert order(short) == "cba"
    short.update("app", "a", {"MaxIdleTime": "60", "Region": None})
    assert order(short) == "acb"
    assert json.loads(short.apps["app"].rows["a"].body) == {"AppId": "app", "TaskId": "a", "MaxIdleTime": "60"}
    before = short.apps["app"].rows["b"].body
    short.resave("app", "b")
    assert order(short) == "bac"
    assert short.apps["app"].rows["b"].body == before
    short.delete("app", "a")
    assert order(short) == "bc"


def test_a_row_may_lack_its_task_id(short: Fleet) -> None:
    """Rows without a TaskId are listed as they are, each for itself."""
    keys = {short.create("app", {"AppId": "app"}), short.create("app", {"AppId": "app", "TaskId": ""})}
    assert len(keys) == 2
    assert len(short.apps["app"]) == 5
    assert json.loads(next(short.bodies("app"))) == {"AppId": "app", "TaskId": ""}


def test_what_is_not_there_can_not_change(short: Fleet) -> None:
    """An unknown app or task is a KeyError for every operation."""
    with pytest.raises(KeyError):
        short.update("app", "nobody", {})
    with pytest.raises(KeyError):
        short.delete("another", "a")


def test_a_merge_patch_follows_its_standard() -> None:
    """Objects are merged, null removes, everything else replaces."""
    body = {"a": {"b": "1", "c": "2"}, "d": "3", "e": "text"}
    patch = {"a": {"b": None, "x": "4"}, "d": ["5"], "e": {"f": "6"}, "nothing": None}
    assert merged(body, patch) == {"a": {"c": "2", "x": "4"}, "d": ["5"], "e": {"f": "6"}}


def three_apps() -> Fleet:
    """Return two apps with tasks and one without."""
    fleet = Fleet(SetClock().now)
    populate(fleet, "large", 300, random=seeded(1, "large"), started_at=START)
    populate(fleet, "small", 30, random=seeded(1, "small"), started_at=START)
    fleet.add_app("empty")
    return fleet


@pytest.fixture
def fleet() -> Fleet:
    """The apps at the start."""
    return three_apps()


@pytest.fixture
def events(fleet: Fleet) -> list[Event]:
    """Everything that happens to the fleet from now on."""
    happened: list[Event] = []
    fleet.listeners.append(happened.append)
    return happened


def churn(fleet: Fleet, rates: Rates | None = None) -> Churn:
    """Return churn on a fleet."""
    changes = Churn(fleet, seeded(1, "churn"), START)
    changes.set_rates(rates or Rates(), START)
    return changes


def test_events_come_at_their_rate(fleet: Fleet, events: list[Event]) -> None:
    """Ten events a second over 100 s are about a thousand, of each kind its share, mostly in the larger app."""
    churn(fleet, Rates.mixture(10)).advance(START + 100)
    assert 900 <= len(events) <= 1100
    assert 100 <= sum(event.body is None for event in events) <= 200
    assert 30 <= sum(event.app_id == "small" for event in events) <= 200
    assert len(fleet.apps["empty"]) == 0
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert all(START < event.at <= START + 100 for event in events)


def test_it_does_not_matter_how_often_time_is_looked_at(fleet: Fleet, events: list[Event]) -> None:
    """One long step and many short ones bring the same events."""
    churn(fleet, Rates.mixture(10)).advance(START + 20)
    other = three_apps()
    others: list[Event] = []
    other.listeners.append(others.append)
    stepwise = churn(other, Rates.mixture(10))
    for step in range(201):
        stepwise.advance(START + step / 10)
    assert events == others


def test_a_rate_of_zero_ends_it(fleet: Fleet, events: list[Event]) -> None:
    """After the rates are set to zero nothing more happens, whatever time it is."""
    changes = churn(fleet, Rates.mixture(10))
    changes.set_rates(Rates(), START + 10)
    number = len(events)
    changes.advance(START + 10_000)
    assert len(events) == number > 50


@pytest.mark.parametrize("name", ["update", "create", "delete", "resave"])
def test_each_kind_does_what_it_says(fleet: Fleet, events: list[Event], name: str) -> None:
    """An update changes a row's bytes, saving again does not, the others change how many there are."""
    before = {app: {task_id: row.body for task_id, row in tasks.rows.items()} for app, tasks in fleet.apps.items()}
    churn(fleet, Rates(**{name: 1.0})).advance(START + 20)
    assert events
    seen: Counter[str] = Counter()
    for event in events:
        known = before[event.app_id].get(event.task_id)
        if event.body is None:
            seen["delete"] += 1
        elif known is None:
            seen["create"] += 1
        else:
            seen["resave" if known == event.body else "update"] += 1
            before[event.app_id][event.task_id] = event.body
    assert set(seen) == {name}


def test_bursts_happen_at_once(fleet: Fleet, events: list[Event]) -> None:
    """This many updates, deletions, or deletions and creations at one moment, in one app."""
    changes = churn(fleet)
    changes.burst("update", "large", 50, START + 1)
    assert len({event.task_id for event in events}) == 50
    changes.burst("replace", "large", 100, START + 2)
    assert len(fleet.apps["large"]) == 300
    assert Counter(event.body is None for event in events[50:]) == {True: 100, False: 100}
    changes.burst("delete", "large", 1000, START + 3)
    assert len(fleet.apps["large"]) == 0
    changes.burst("create", "empty", 5, START + 4)
    assert len(fleet.apps["empty"]) == 5


def test_the_newest_are_saved_again_in_their_order(fleet: Fleet, events: list[Event]) -> None:
    """Saving the newest again in order leaves list and rows as they are."""
    before = list(fleet.bodies("large"))
    churn(fleet).burst("resave_newest", "large", 150, START + 1)
    assert len(events) == 150
    assert list(fleet.bodies("large")) == before


@pytest.mark.parametrize("name", MISCONFIGURATIONS)
def test_changes_do_not_heal_what_is_wrong_on_purpose(name: str) -> None:
    """A marked task keeps its mark, and all of its configuration, through any number of updates."""
    fleet = Fleet(SetClock().now)
    fleet.add_app("app")
    body = MISCONFIGURATIONS[name](TaskMaker(seeded(1, name)).mixed("app"))
    fleet.create("app", body, marks=(name,))
    churn(fleet, Rates(update=1.0)).advance(START + 50)
    (row,) = fleet.apps["app"].order
    assert row.marks == (name,)
    assert {**json.loads(row.body), "ChannelId": body["ChannelId"]} == body
    assert json.loads(row.body)["ChannelId"] != body["ChannelId"]
