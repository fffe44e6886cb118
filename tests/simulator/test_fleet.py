"""What can happen to tasks."""

import json

import pytest

from exporter.simulator.fleet import Fleet, LaggingReplica
from exporter.simulator.task_maker import merged
from tests.simulator.support import ManualClock


@pytest.fixture
def fleet(clock: ManualClock) -> Fleet:
    """Three tasks, c the newest."""
    fleet = Fleet(clock)
    fleet.add_app("app")
    for task_id in "abc":
        fleet.create("app", {"AppId": "app", "TaskId": task_id, "Region": "CN-Shanghai"})
    return fleet


def order(fleet: Fleet | LaggingReplica) -> str:
    """Return the tasks in list order."""
    return "".join(row.task_id for row in fleet.apps["app"].order)


def test_a_change_brings_a_task_to_the_front(fleet: Fleet) -> None:
    """Created, changed and saved again: each makes a task the newest; the change is in its row."""
    assert order(fleet) == "cba"
    fleet.update("app", "a", {"MaxIdleTime": "60", "Region": None})
    assert order(fleet) == "acb"
    assert json.loads(fleet.apps["app"].rows["a"].body) == {"AppId": "app", "TaskId": "a", "MaxIdleTime": "60"}
    before = fleet.apps["app"].rows["b"].body
    fleet.resave("app", "b")
    assert order(fleet) == "bac"
    assert fleet.apps["app"].rows["b"].body == before
    fleet.delete("app", "a")
    assert order(fleet) == "bc"


def test_a_row_may_lack_its_task_id(fleet: Fleet) -> None:
    """Rows without a TaskId are listed as they are, each for itself."""
    keys = {fleet.create("app", {"AppId": "app"}), fleet.create("app", {"AppId": "app", "TaskId": ""})}
    assert len(keys) == 2
    assert len(fleet.apps["app"]) == 5
    assert json.loads(next(fleet.bodies("app"))) == {"AppId": "app", "TaskId": ""}


def test_what_is_not_there_can_not_change(fleet: Fleet) -> None:
    """An unknown app or task is a KeyError for every operation."""
    with pytest.raises(KeyError):
        fleet.update("app", "nobody", {})
    with pytest.raises(KeyError):
        fleet.delete("another", "a")


def test_a_merge_patch_follows_its_standard() -> None:
    """Objects are merged, null removes, everything else replaces."""
    body = {"a": {"b": "1", "c": "2"}, "d": "3", "e": "text"}
    patch = {"a": {"b": None, "x": "4"}, "d": ["5"], "e": {"f": "6"}, "nothing": None}
    assert merged(body, patch) == {"a": {"c": "2", "x": "4"}, "d": ["5"], "e": {"f": "6"}}
