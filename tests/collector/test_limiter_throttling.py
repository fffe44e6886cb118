"""The limiter under load: nearly all of the rate is used, nothing is refused, and what throttling changes."""

import asyncio
import itertools
import math
from collections.abc import Iterable
from contextlib import AsyncExitStack

import pytest

from exporter.collector.rate_limiter import MAX_IN_FLIGHT, Limiter, Priority, ThrottledRate
from exporter.core.clock import SystemClock
from tests.support.generated import sampled
from tests.support.rate_windows import Link, most_in_any_window, refused, saturate
from tests.support.virtual_time import VirtualClock, on_virtual_time, run

EACH_SECOND = [(float(second), None) for second in range(30)]


@pytest.mark.parametrize(
    ("configured", "answers", "rates"),
    [
        pytest.param(50, [(100 + n * 0.04, None) for n in range(20)], {101: 25}, id="once for a burst of answers"),
        pytest.param(50, [(100, None), (101, None)], {101: 12.5}, id="again a second later"),
        pytest.param(50, EACH_SECOND[:20], {20: 1}, id="not below one request a second"),
        pytest.param(3, EACH_SECOND[:20], {20: 1}, id="nor that of a low rate"),
        pytest.param(0.4, EACH_SECOND[:20], {20: 0.4}, id="nor below a configured rate that is lower"),
        pytest.param(
            50, [(100, None)], {105: 25, 106: 26, 115: 35, 130: 50, 1000: 50}, id="back by a fiftieth each quiet second"
        ),
        pytest.param(50, EACH_SECOND, {29 + 5 + 10: 11}, id="the floor does not delay the growth"),
        pytest.param(50, [(100, 60)], {165: 25, 166: 26}, id="the quiet time begins when the wait ends"),
        pytest.param(50, [(100, 5), (103, 10)], {103: 25}, id="not by answers during a wait"),
        pytest.param(50, [(100, 10), (103, 1)], {103: 25}, id="nor does a shorter wait end it"),
    ],
)
def test_the_rate_halves_and_grows_back(
    configured: float, answers: list[tuple[float, float | None]], rates: dict[float, float]
) -> None:
    """It halves with throttled answers, grows after five quiet seconds, and the longest wait that they name is kept."""
    rate = ThrottledRate(configured)
    for at, wait_seconds in answers:
        rate.throttled(at, wait_seconds)
    assert {at: round(rate.at(at), 6) for at in rates} == rates
    assert rate.paused_until == max((at + wait for at, wait in answers if wait is not None), default=-math.inf)


@on_virtual_time
async def test_nothing_is_sent_before_the_named_wait_ends() -> None:
    """Requests that already wait, and new ones, stay until then."""
    clock = VirtualClock()
    limiter = Limiter(10, clock=clock)
    sent: list[float] = []

    async def send() -> None:
        async with limiter.permit(Priority.UPDATE):
            sent.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(send())
        await clock.sleep(0)
        limiter.throttled(30)
        await clock.sleep(1)
        group.create_task(send())
    assert len([moment for moment in sent if moment == 0]) == 4
    assert len([moment for moment in sent if moment >= 30]) == 5


@on_virtual_time
async def test_a_wait_holds_for_the_very_next_request() -> None:
    """The throttled one's own permit lets nobody in before the news is out."""
    clock = VirtualClock()
    limiter = Limiter(50, clock=clock)

    async def send() -> float:
        async with limiter.permit(Priority.UPDATE):
            return clock.monotonic()

    async with AsyncExitStack() as others:
        for _ in range(MAX_IN_FLIGHT - 1):
            await others.enter_async_context(limiter.permit(Priority.SWEEP))
        async with limiter.permit(Priority.SWEEP):
            waiting = asyncio.create_task(send())
            await clock.sleep(5)
        limiter.throttled(30)
        throttled_at = clock.monotonic()
        await clock.sleep(1)
    assert 30 <= await waiting - throttled_at <= 30.01


@on_virtual_time
async def test_the_halved_rate_is_what_is_sent() -> None:
    """From the throttling on, no window sees more than half of the configured rate."""
    link = Link(1)
    clock = VirtualClock()
    limiter = Limiter(20, clock=clock)
    limiter.throttled(None)
    assert limiter.effective_requests_per_second == 10
    await saturate(limiter, link, clock=clock, seconds=3.5, senders=30)
    assert most_in_any_window(link.arrivals) == 10


FIVE_MINUTES = 300.0
TIMER_ERRORS_SECONDS = (0.0, 0.004, -0.001, 0.002, 0.0005, 0.001, 0.003)


def load(
    link: Link, *, requests_per_second: float, seconds: float, timer_errors_seconds: Iterable[float] = (0.0,)
) -> float:
    """Send as much as the limiter allows and return the part of the rate that was used."""
    errors = itertools.cycle(timer_errors_seconds)

    async def simulate() -> None:
        clock = VirtualClock()
        limiter = Limiter(requests_per_second, clock=clock)
        await saturate(limiter, link, clock=clock, seconds=seconds, senders=40)

    run(simulate(), timer_error=lambda: next(errors))
    return sum(arrival < seconds for arrival in link.arrivals) / (requests_per_second * seconds)


@pytest.mark.simulations
@pytest.mark.parametrize(
    ("jitter_seconds", "least_used"), sampled([(0.0, 0.99), (0.005, 0.99), (0.025, 0.965), (0.05, 0.94)], one_in=2)
)
def test_nearly_all_of_the_rate_is_used(jitter_seconds: float, least_used: float) -> None:
    """Five minutes of load use at least so much of 50 requests/s, and no kind of window refuses one."""
    link = Link(20, jitter_seconds=jitter_seconds)
    used = load(link, requests_per_second=50, seconds=FIVE_MINUTES)
    assert used >= least_used
    assert not any(refused(link.arrivals, 50).values())


@pytest.mark.simulations
@pytest.mark.parametrize("least_seconds", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("requests_per_second", [1, 3, 5, 10, 50])
def test_no_window_is_exceeded_on_a_network_of_spikes(requests_per_second: float, least_seconds: float) -> None:
    """Whatever the rate and the way, also when the credit for the least round trip counts and timers err."""
    link = Link(8, least_seconds=least_seconds, jitter_seconds=0.05, spike_seconds=1.0)
    seconds = 4000 / requests_per_second
    load(link, requests_per_second=requests_per_second, seconds=seconds, timer_errors_seconds=TIMER_ERRORS_SECONDS)
    assert most_in_any_window(link.arrivals) <= requests_per_second
    assert not any(refused(link.arrivals, int(requests_per_second)).values())


@pytest.mark.parametrize(
    ("requests_per_second", "seconds", "sent"), [(0.5, 2000, 975), (0.1, 2000, 199), (2.5, 400, 760)]
)
def test_a_rate_that_is_not_whole_is_used_as_far_as_a_window_allows(
    requests_per_second: float, seconds: float, sent: int
) -> None:
    """Below 1 nearly all of the rate is used; 2.5 requests/s are 2 in any second."""
    link = Link(3)
    load(link, requests_per_second=requests_per_second, seconds=seconds)
    assert len(link.arrivals) >= sent
    assert most_in_any_window(link.arrivals, seconds=1 / min(1, requests_per_second)) == max(
        1, int(requests_per_second)
    )


async def test_it_keeps_the_rate_on_the_real_clock() -> None:
    """Ten requests at 40 a second: a few at once, the others at their pace."""
    clock = SystemClock()
    limiter = Limiter(40, clock=clock)
    began = clock.monotonic()
    for _ in range(10):
        async with limiter.permit(Priority.UPDATE):
            pass
    assert clock.monotonic() - began >= 6 / (1.04 * 40)
