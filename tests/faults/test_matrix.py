"""Every fault of the service, at every kind of request, in one app of two: what is published, kept and untouched."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

import pytest

from exporter.config.model import Collection
from exporter.simulator.faults import FAULTS, SLOW_SECONDS
from tests.support.generated import sampled
from tests.support.virtual_world import ACCOUNT, Seen, World, play

pytestmark = pytest.mark.simulations

APPS = {"broken": 105, "other": 5}
"""The first has two windows, so that a fault on the second page hits sweeps alone."""
OTHER = "other"
COLLECTION = Collection(
    interval_seconds=2, sweep_interval_seconds=10, stale_after_seconds=100, request_timeout_seconds=1
)
UPDATES_ALONE_SECONDS = 6  # so long after the first sweeps there is no other, though some updates
FIRST_SWEEP_SECONDS = 10
LATER_SWEEP_SECONDS = 20


class States(NamedTuple):
    """The state that a fault leads to, by the requests that it hits.

    A refused lookup leads to none: the list is whole. One that is answered with other tasks does.
    """

    first_sweep: str
    later_sweep: str
    update: str
    look_up: str = "ok"


ALWAYS: Mapping[str, States] = {
    fault: States(state, state, state)
    for state, faults in {
        "throttled": "throttled_400 throttled_429 throttled_503 throttled_400_wait throttled_429_wait"
        " throttled_503_wait throttled_user_api throttled_by_proxy rejected_throttling unknown_code_user_limit",
        "server_error": "internal_error service_unavailable bad_gateway lower_case_error",
        "network_error": "blocked_by_proxy not_found_page redirect reset",
        "timeout": "hang slow",
        "invalid_response": "truncated_json not_json tasks_not_a_list no_request_id body_is_a_list too_many_rows",
        "auth_error": "wrong_key inactive_key expired_token malformed_token wrong_signature nonce_used"
        " expired_timestamp forbidden forbidden_ram",
        "not_enabled": "not_enabled",
        "app_invalid": "invalid_app app_not_found",
        "request_rejected": "unknown_code no_such_action",
    }.items()
    for fault in faults.split()
}
"""Faults that lead to one state, whatever they hit."""
EXPECTED: Mapping[str, States] = {
    **ALWAYS,
    # An empty list is believed where nothing is known of it, not where lookups find its tasks.
    "empty_list": States("ok", "partial", "partial"),
    # Where one page alone is short, others show the rest; where all are, what they show stays the same.
    "short_page": States("ok", "ok", "partial"),
    # The first page is as it should be, and so is a look-up. Where the second alone repeats it, all is answered.
    "repeated_pages": States("invalid_response", "partial", "ok"),
    # A page by itself shows nothing wrong: only the pages beside it tell.
    "other_tasks": States("ok", "partial", "partial", "invalid_response"),
    "endless_pages": States("partial", "partial", "partial", "invalid_response"),  # no two pages meet
    "foreign_app_id": States("invalid_response", "invalid_response", "invalid_response", "invalid_response"),
    # Behind the first page it is a refusal to go deeper; for a TaskId it says that there is no such task.
    "rejected": States("request_rejected", "limit_exceeded", "request_rejected"),
}

LISTED = {"endless_pages", "other_tasks", "short_page"}
"""Their first page cannot be distinguished from tasks that were just created: what is listed is published."""
GONE = {"repeated_pages", "rejected", "empty_list", "short_page"}
"""At a lookup these leave the answer as it is, or say that there is no such task."""


class _Case(ABC):
    """One fault in one phase."""

    phase = ""

    def __init__(self, world: World, fault: str, expected: str) -> None:
        self.world = world
        self.fault = fault
        self.expected = expected

    async def run(self) -> None:
        """Let it fail, look at it, and let it recover by itself."""
        await self.break_it()
        self._check_state()
        self.check_data()
        self.world.service.faults.clear()
        await self.world.until_true(*APPS)

    @abstractmethod
    async def break_it(self) -> None:
        """Bring it about that the fault shows."""

    @abstractmethod
    def check_data(self) -> None:
        """Check what is published of the app's tasks."""

    def _check_state(self) -> None:
        seen = self.world.seen()
        assert seen.state("broken") == self.expected
        assert seen.up("broken") == (self.expected == "ok")
        assert (seen.up(OTHER), seen.state(OTHER)) == (1, "ok")
        assert seen.tasks(OTHER) == self.world.truth(OTHER)
        updated = seen.value("rtcmpu_collection_last_update_timestamp_seconds", app_id=OTHER)
        assert updated is not None
        assert self.world.clock.now() - updated < 4 * COLLECTION.interval_seconds

    def kept(self) -> bool:
        """Whether what is published is what was true before."""
        return self.world.seen().tasks("broken") == self.before

    async def begin(self) -> None:
        """Wait until all is well."""
        await self.world.until_true(*APPS)
        self.before = self.world.truth("broken")

    def change(self, place: int) -> None:
        """Change the task that is at a place of the list."""
        world = self.world
        world.service.fleet.update("broken", world.task_ids("broken")[place], {"MaxIdleTime": "77"})
        assert world.truth("broken") != self.before


class _FirstSweep(_Case):
    """It is down with the reason, without tasks."""

    phase = "first_sweep"

    async def break_it(self) -> None:
        self.world.fail(self.fault, "broken")
        await self.world.until_true(OTHER)
        await self.world.clock.sleep(FIRST_SWEEP_SECONDS)

    def check_data(self) -> None:
        assert self.world.seen().has_data("broken") == (self.expected == "ok")


class _LaterSweep(_Case):
    """It is down with the reason, and what updates bring is published all the same."""

    phase = "later_sweep"

    async def break_it(self) -> None:
        await self.begin()
        self.world.fail(self.fault, "broken", page_no=2)
        self.change(102)
        await self.world.clock.sleep(LATER_SWEEP_SECONDS)

    def check_data(self) -> None:
        assert self.world.seen().tasks("broken") == self.world.truth("broken")


class _Update(_Case):
    """It is down with the reason, and its data stays as it was until an update succeeds."""

    phase = "update"

    async def break_it(self) -> None:
        await self.begin()
        self.world.fail(self.fault, "broken", kind="page", page_no=1)
        if self.expected != "ok":
            self.change(5)
        await self.world.clock.sleep(UPDATES_ALONE_SECONDS)

    def check_data(self) -> None:
        assert self.kept() != (self.fault in LISTED)


class _LookUp(_Case):
    """A task that is missing in the list stays while nobody can say that it is gone."""

    phase = "look_up"

    async def break_it(self) -> None:
        await self.begin()
        self.world.fail(self.fault, "broken", kind="look_up")
        self.world.service.fleet.delete("broken", self.world.task_ids("broken")[-1])
        await self.world.until(self._is_evaluated)

    def _is_evaluated(self, seen: Seen) -> bool:
        return seen.changes("broken") != {} if self.fault in GONE else self._doubtful_tasks() == 1

    def _doubtful_tasks(self) -> int:
        return self.world.monitor.apps["production", "broken"].collector.status.doubtful_tasks

    def check_data(self) -> None:
        assert self.kept() == (self.fault not in GONE)
        assert self._doubtful_tasks() == (self.fault not in GONE)


def test_the_table_has_every_fault() -> None:
    """A fault that is new in the simulator has to be decided about here."""
    assert EXPECTED.keys() == FAULTS.keys()


PHASES = (_FirstSweep, _LaterSweep, _Update, _LookUp)
CASES = [
    *product(sorted(EXPECTED.keys() - ALWAYS.keys()), PHASES),
    *sampled(product(sorted(ALWAYS), PHASES), one_in=3),  # which is one phase or two of each
]


@pytest.mark.parametrize(("fault", "phase"), CASES)
def test_a_fault_shows_and_does_no_harm(fault: str, phase: type[_Case]) -> None:
    """The app has the state that fits and true tasks or none, the other app is well, and it recovers by itself."""
    expected = getattr(EXPECTED[fault], phase.phase)
    play(lambda world: phase(world, fault, expected).run(), apps=APPS, collection=COLLECTION)


def test_a_slow_answer_within_the_deadline_is_no_fault() -> None:
    """The list and a lookup of what it does not show are read, however close to the deadline each answer comes."""

    async def scenario(world: World) -> None:
        world.fail("slow", OTHER)
        await world.until_true(OTHER)
        world.service.fleet.delete(OTHER, world.task_ids(OTHER)[2])
        await world.until_true(OTHER)
        failed = {key for key in world.monitor.apps[ACCOUNT, OTHER].collector.status.attempts if key[1] != "ok"}
        assert failed == set()

    collection = COLLECTION.changed(request_timeout_seconds=SLOW_SECONDS + 0.1)
    play(scenario, apps={OTHER: 5}, collection=collection)
