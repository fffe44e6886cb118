"""The limiter under load: nearly all of the rate is used, and the service refuses nothing."""

import itertools
from collections.abc import Iterable

import pytest

from exporter.collector.rate_limiter import Limiter, Priority
from exporter.core.clock import SystemClock
from tests.support.rate_windows import REFUSED_BY, Link, most_in_any_window, saturate
from tests.support.virtual_time import VirtualClock, run

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


@pytest.mark.parametrize(("jitter_seconds", "least_used"), [(0.0, 0.99), (0.005, 0.99), (0.025, 0.965), (0.05, 0.94)])
def test_nearly_all_of_the_rate_is_used(jitter_seconds: float, least_used: float) -> None:
    """Five minutes of load use at least so much of 50 requests/s, and no kind of window refuses one."""
    link = Link(20, jitter_seconds=jitter_seconds)
    used = load(link, requests_per_second=50, seconds=FIVE_MINUTES)
    assert used >= least_used
    assert {kind: refused_by(link.arrivals, 50) for kind, refused_by in REFUSED_BY.items()} == dict.fromkeys(
        REFUSED_BY, 0
    )


@pytest.mark.parametrize("least_seconds", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("requests_per_second", [1, 3, 5, 10, 50])
def test_no_window_is_exceeded_on_a_network_of_spikes(requests_per_second: float, least_seconds: float) -> None:
    """Whatever the rate and the way, also when the credit for the least round trip counts and timers err."""
    link = Link(8, least_seconds=least_seconds, jitter_seconds=0.05, spike_seconds=1.0)
    seconds = 4000 / requests_per_second
    load(link, requests_per_second=requests_per_second, seconds=seconds, timer_errors_seconds=TIMER_ERRORS_SECONDS)
    assert most_in_any_window(link.arrivals) <= requests_per_second
    assert all(refused_by(link.arrivals, int(requests_per_second)) == 0 for refused_by in REFUSED_BY.values())


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
