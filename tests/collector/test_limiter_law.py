"""The law of the limiter: no window of one second at the service sees more requests than the rate."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from exporter.collector.rate_limiter import Limiter, Priority
from exporter.core.clock import Clock
from tests.support.generated import examples
from tests.support.rate_windows import EvenSpacing, Gate, SendTimeLog, most_in_any_window
from tests.support.virtual_time import VirtualClock, run

MakeGate = Callable[[float, Clock], Gate]


class Ending(Enum):
    """How a request comes to its end."""

    ANSWERED = "answered"
    FAILED = "failed"
    THROTTLED = "throttled"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Request:
    """One request; `arrival` says where between its sending (0) and its end (1) it reaches the service."""

    idle_seconds: float
    seconds: float
    arrival: float
    ending: Ending
    priority: Priority


@dataclass(frozen=True)
class Scenario:
    """What several senders do at the same time, over and over, and how timers err meanwhile."""

    requests_per_second: float
    senders: list[list[Request]]
    rounds: int
    timer_errors_seconds: list[float]


REQUESTS = st.builds(
    Request,
    idle_seconds=st.just(0.0) | st.floats(0, 3),
    seconds=st.just(0.0) | st.floats(0, 0.1) | st.floats(0, 3),
    arrival=st.sampled_from([0.0, 1.0]) | st.floats(0, 1),
    ending=st.sampled_from([Ending.ANSWERED, Ending.ANSWERED, *Ending]),
    priority=st.sampled_from(Priority),
)
SCENARIOS = st.builds(
    Scenario,
    requests_per_second=st.sampled_from([0.3, 0.5, 1, 1.9, 2, 2.5, 5, 10, 50]),
    senders=st.lists(st.lists(REQUESTS, min_size=1, max_size=4), min_size=1, max_size=6),
    # Fewer requests than a credit for the least round trip needs: here nothing is known about the network.
    rounds=st.integers(1, 6),
    timer_errors_seconds=st.lists(st.just(0.0) | st.floats(-0.01, 0.05), min_size=1, max_size=5),
)


class Failed(Exception):  # noqa: N818 - it stands for any failure
    """A request failed."""


def arrivals_of(scenario: Scenario, make_gate: MakeGate) -> list[float]:
    """Play a scenario and return when its requests reached the service."""
    arrivals: list[float] = []

    async def play() -> None:
        clock = VirtualClock()
        gate = make_gate(scenario.requests_per_second, clock)

        async def hold(request: Request) -> None:
            async with gate.permit(request.priority):
                sent = clock.monotonic()
                try:
                    await clock.sleep(request.seconds)
                    if request.ending is Ending.THROTTLED and isinstance(gate, Limiter):
                        gate.throttled(request.idle_seconds or None)
                    if request.ending is Ending.FAILED:
                        raise Failed
                finally:
                    arrivals.append(sent + request.arrival * (clock.monotonic() - sent))

        async def send(requests: list[Request]) -> None:
            for request in requests * scenario.rounds:
                await clock.sleep(request.idle_seconds)
                # A cancelled one may still wait for its turn, or be under way.
                cancelled_after = request.seconds * 0.9 if request.ending is Ending.CANCELLED else None
                with suppress(Failed, TimeoutError):
                    async with asyncio.timeout(cancelled_after):
                        await hold(request)

        async with asyncio.TaskGroup() as group:
            for requests in scenario.senders:
                group.create_task(send(requests))

    errors = itertools.cycle(scenario.timer_errors_seconds)
    run(play(), timer_error=lambda: next(errors))
    return arrivals


def keeps_the_law(scenario: Scenario, make_gate: MakeGate) -> bool:
    """Whether no window saw more than the rate; below 1 a window is as long as one request takes of it."""
    rate = scenario.requests_per_second
    most = most_in_any_window(arrivals_of(scenario, make_gate), seconds=1 / min(1, rate))
    return most <= max(1, int(rate))


def ours(requests_per_second: float, clock: Clock) -> Gate:
    """Return the limiter under test."""
    return Limiter(requests_per_second, clock=clock)


@settings(max_examples=examples(300))
@given(SCENARIOS)
def test_no_window_of_one_second_sees_more_than_the_rate(scenario: Scenario) -> None:
    """Whatever latencies, cancellations, failures and late timers do, and wherever requests arrive meanwhile."""
    assert keeps_the_law(scenario, ours)


@pytest.mark.parametrize("naive", [EvenSpacing, SendTimeLog])
def test_the_law_refuses_limiters_that_count_at_sending(naive: type[EvenSpacing | SendTimeLog]) -> None:
    """The law can fail: a scenario is found for each of the usual limiters."""

    def make_gate(requests_per_second: float, clock: Clock) -> Gate:
        return naive(requests_per_second, clock=clock)

    first_found = settings(max_examples=500, deadline=None, database=None, phases=[Phase.generate])
    found = find(SCENARIOS, lambda scenario: not keeps_the_law(scenario, make_gate), settings=first_found)
    assert keeps_the_law(found, ours)
