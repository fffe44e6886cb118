"""Reading stays exact, whatever misleads it.

Each list or service is read at one of the budgets; `python -m benchmarks.enemies` takes all of them, and other seeds.
All are read in CI, half of them elsewhere.
"""

from itertools import cycle
from typing import Final

import msgspec
import pytest

from exporter.aliyun.parse_task import Interner
from exporter.collector.reading import AppRows
from exporter.collector.status import Sweep
from exporter.core.collection_state import State
from exporter.core.task import Task
from exporter.simulator.fleet import Event
from tests.metrics.builders import STATUS
from tests.support.generated import sampled
from tests.support.list_enemies import BUDGETS, ENEMIES, observe
from tests.support.moving_world import APP, Comparison
from tests.support.rows import change

pytestmark = pytest.mark.simulations

SEED: Final = 3


CASES = sampled(zip(ENEMIES, cycle(BUDGETS), strict=False), one_in=2)


@pytest.mark.parametrize(("name", "requests_per_second"), CASES)
def test_what_misleads_a_reading_breaks_no_law(name: str, requests_per_second: int) -> None:
    """No existing task is reported removed, no wrong set of tasks is `ok`, and what was deleted goes."""
    assert observe(ENEMIES[name], requests_per_second, SEED).broken == []


BODIES = {f"task-{number}": b'{"AppId":"app","TaskId":"task-%d"}' % number for number in range(3)}
CHANGED = b'{"AppId":"app","TaskId":"task-0","ChannelId":"new"}'
SWEEP = Sweep(100.0, 1.0, 1, 0, 0, 0)


def task(body: bytes) -> Task:
    """Return the task of a row."""
    read = AppRows(APP, Interner()).read(msgspec.Raw(body))
    assert read is not None
    return read


@pytest.fixture
def comparison() -> Comparison:
    """A comparison of three tasks; `task-2` was deleted at 50 s."""
    comparison = Comparison(BODIES)
    comparison.happened(Event(50.0, APP, "task-2", None))
    return comparison


def test_a_removal_is_false_only_of_a_task_that_exists(comparison: Comparison) -> None:
    """A task that exists and is reported removed counts, one that was deleted does not."""
    for name in ("task-1", "task-2"):
        comparison.reported([change(task(BODIES[name]), None)], now=60.0)
    assert (comparison.gone_alive, comparison.deletion_delays) == (1, [10.0])


def test_a_task_that_is_added_twice_is_noted(comparison: Comparison) -> None:
    """Being reported added more than once counts."""
    for name in ("task-0", "task-1", "task-1"):
        comparison.reported([change(None, task(BODIES[name]))], now=60.0)
    assert comparison.readded == {"task-1": 2}


def test_a_change_back_is_noted(comparison: Comparison) -> None:
    """A version that was shown before a newer one is not shown again."""
    old, new = task(BODIES["task-0"]), task(CHANGED)
    comparison.happened(Event(60.0, APP, "task-0", CHANGED))
    comparison.reported([change(old, new)], now=61.0)
    assert comparison.changed_back == 0
    comparison.reported([change(new, old)], now=62.0)
    assert comparison.changed_back == 1


@pytest.mark.parametrize(
    ("shown", "doubtful", "is_wrong"),
    [
        ({"task-0", "task-1"}, 0, False),
        ({"task-0"}, 0, True),
        ({"task-0", "task-1", "task-2"}, 0, True),
        ({"task-0", "task-1", "task-2"}, 1, False),
    ],
)
def test_ok_is_wrong_beside_another_set_of_tasks(
    comparison: Comparison, shown: set[str], doubtful: int, is_wrong: bool
) -> None:
    """`ok` is wrong where a task is missing, or a deleted one is shown and not in doubt; other states never are."""
    status = msgspec.structs.replace(STATUS, state=State.OK, sweep=SWEEP, doubtful_tasks=doubtful)
    comparison.look(status, shown, now=110.0)
    assert bool(comparison.wrong_ok) == is_wrong
    comparison.wrong_ok.clear()
    comparison.look(msgspec.structs.replace(status, state=State.PARTIAL), shown, now=110.0)
    assert comparison.wrong_ok == []
