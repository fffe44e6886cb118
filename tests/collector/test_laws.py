"""The four laws of reading a moving list, whatever happens to it between any two requests.

1. No task that existed throughout a sweep is missing after it.
2. No task is counted twice.
3. No task is reported removed while it exists.
4. A sweep ends, complete or partial, within a bound of requests.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from exporter.collector.inventory import Change
from exporter.collector.list_reader import SweepReader
from exporter.collector.lookups import Found, TaskLookups
from exporter.collector.reading import Gathered
from exporter.collector.task_diff import kind_of
from tests.support.generated import examples
from tests.support.moving_list import ListService, MovingList, Told, collector_of
from tests.support.virtual_time import VirtualClock, run

LARGEST_PAGES = (8, 12)
MOST_REQUESTS = 2 * (64 + 8 * 12) + 64
"""Of one sweep with its concluding front and its look-ups, for lists as short as these."""

NO_ANCHOR = min(LARGEST_PAGES) // 2
"""This many tasks that are saved again without a change can hide what moved just before: no front shows it."""


SETTLED_SECONDS = 1.5  # between sweeps: of what changed within the last second nothing is evaluated


class Event(NamedTuple):
    """What happens to one task; `place` says which, from the front, counted round the list."""

    kind: str
    place: int


@dataclass(frozen=True)
class Scenario:
    """A list and all that happens to it while it is read."""

    tasks: int
    largest_page: int
    between: list[list[Event]]  # what happens at once before each answer, until there is nothing left
    warm: bool  # whether a quiet sweep went before
    sweeps: int
    updates_meanwhile: bool
    overtaking: list[float]
    """How long requests are on their way, in turn, so that some overtake others; empty: none does."""


def _events(*kinds: str) -> st.SearchStrategy[list[list[Event]]]:
    event = st.builds(Event, st.sampled_from(kinds), st.integers(0, 40))
    bursts = st.builds(lambda event, times: [event] * times, event, st.integers(2, 14))
    return st.lists(st.just([]) | st.lists(event, max_size=4) | bursts, max_size=24)


def _scenarios(
    between: st.SearchStrategy[list[list[Event]]], overtaking: st.SearchStrategy[list[float]]
) -> st.SearchStrategy[Scenario]:
    return st.builds(
        Scenario,
        tasks=st.integers(0, 40),
        largest_page=st.sampled_from(LARGEST_PAGES),
        between=between,
        warm=st.booleans(),
        sweeps=st.integers(1, 3),
        updates_meanwhile=st.booleans(),
        overtaking=overtaking,
    )


SCENARIOS = _scenarios(_events("update", "create", "delete", "resave"), st.just([])) | _scenarios(
    _events("update", "create", "delete"), st.lists(st.sampled_from([0.005, 0.02, 0.05, 0.2]), min_size=2, max_size=5)
)


class Observation:
    """Carries a scenario out and notes which laws are broken."""

    def __init__(self, scenario: Scenario) -> None:
        self.broken: list[str] = []
        self._scenario = scenario
        self._list = MovingList(scenario.tasks)
        self._between = iter(()) if scenario.warm else iter(scenario.between)
        self._resaves = sum(event.kind == "resave" for events in scenario.between for event in events)
        self._throughout: set[str] = set()
        self._known: set[str] = set()

    async def carry_out(self) -> None:
        clock = VirtualClock()
        reported = Told(on_changes=self._check_removals, on_sweep=self._check_sweep)
        delays = self._delays()
        service = ListService(self._list, before_answer=self._happen, one_way_seconds=lambda: next(delays))
        self._collector = collector_of(service, reported, clock, largest_page=self._scenario.largest_page)
        if self._scenario.warm:
            await self._collector.sweep()
            self._between = iter(self._scenario.between)
        for _ in range(self._scenario.sweeps):
            await asyncio.sleep(SETTLED_SECONDS)
            requests_before = len(service.requests)
            self._throughout, self._known = set(self._list.order), {e.task_id for e in self._collector.inventory}
            updates = asyncio.ensure_future(self._keep_updating())
            await self._collector.sweep()
            updates.cancel()
            if not self._scenario.updates_meanwhile and len(service.requests) - requests_before > MOST_REQUESTS:
                self.broken.append("the sweep takes too many requests")

    async def _keep_updating(self) -> None:
        while self._scenario.updates_meanwhile:
            await asyncio.sleep(0.3)
            await self._collector.update()

    def _delays(self) -> Iterator[float]:
        delays = cycle(self._scenario.overtaking or [0.02])
        for place, seconds in enumerate(delays):
            yield seconds + place * 1e-6  # of requests that are sent at once the first is answered first

    def _happen(self) -> None:
        for event in next(self._between, []):
            if event.kind == "create":
                self._list.create()
            elif self._list.order:
                task_id = self._list.order[event.place % len(self._list.order)]
                getattr(self._list, event.kind)(task_id)
                if event.kind == "delete":
                    self._throughout.discard(task_id)

    def _check_removals(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if kind_of(change) == "removed" and change.task_id in self._list.versions:
                self.broken.append(f"{change.task_id} is declared gone")

    def _check_sweep(self) -> None:
        shown = [entry.task_id for entry in self._collector.inventory]
        if len(shown) != len(set(shown)):
            self.broken.append("a task is counted twice")
        # What was never known can be hidden by tasks that are saved again without a change.
        throughout = self._throughout if self._resaves < NO_ANCHOR else self._throughout & self._known
        if missing := throughout - set(shown):
            self.broken.append(f"{missing} are missing")


def broken_laws(scenario: Scenario) -> list[str]:
    """Carry out a scenario and return what went wrong."""
    observation = Observation(scenario)
    with capture_logs():
        run(observation.carry_out(), at_most_seconds=3600)
    return observation.broken


@settings(max_examples=examples(300))
@given(SCENARIOS)
def test_the_laws_hold_whatever_happens_between_two_requests(scenario: Scenario) -> None:
    """Nothing that can happen to the list between two requests breaks a law."""
    assert broken_laws(scenario) == []


def _no_overlap_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take any window as the next, whether or not it shares a row with what was read."""
    monkeypatch.setattr(Gathered, "joins", lambda *_: True)


def _no_concluding_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """Don't look for what jumped to the front while a sweep read."""

    async def nothing(*_: Any) -> None:
        """Read nothing."""

    monkeypatch.setattr(SweepReader, "_read_front_again", nothing)


def _no_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what neither a sweep nor an update saw for gone."""

    async def gone(_lookups: TaskLookups, task_id: str) -> Found:
        return Found(task_id, None, asyncio.get_running_loop().time())

    monkeypatch.setattr(TaskLookups, "_look_up", gone)


def _no_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what a sweep did not see for gone at once."""
    _no_concluding_front(monkeypatch)
    _no_look_ups(monkeypatch)


def _scenario(tasks: int, *between: Sequence[Event], warm: bool = False) -> Scenario:
    events = [list(each) for each in between]
    return Scenario(tasks, min(LARGEST_PAGES), events, warm, sweeps=1, updates_meanwhile=False, overtaking=[])


REPAIRS = {
    "overlaps": (_no_overlap_check, "missing", _scenario(18, (), (), (), [Event("delete", 0)] * 3)),
    "concluding front": (
        _no_concluding_front,
        "missing",
        _scenario(9, (), (Event("update", 8), Event("delete", 1))),
    ),
    "look-ups": (_no_look_ups, "declared gone", _scenario(24, (), (), (), (), [Event("resave", 23)] * 11, warm=True)),
    "evaluating after a later update": (
        _no_evaluation,
        "declared gone",
        _scenario(9, (), (Event("update", 8),), warm=True),
    ),
}
"""Each with the least events that break a law without it, as `hypothesis.find` found them in `SCENARIOS`."""


@pytest.mark.parametrize("repair", REPAIRS)
def test_a_law_breaks_without_any_one_of_the_repairs(repair: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each repair is needed: with it switched off there are events that break a law, and with it they break none."""
    switch_off, damage, scenario = REPAIRS[repair]
    with monkeypatch.context() as patch:
        switch_off(patch)
        assert any(damage in law for law in broken_laws(scenario))
    assert broken_laws(scenario) == []
