"""How evenly requests are sent, when a permit is free again, and what of the round trip is trusted."""

import math
from random import Random

import pytest

from exporter.collector.rate_limiter import (
    BURST,
    CREDIT_AFTER_SAMPLES,
    HEADROOM,
    WINDOW_SECONDS,
    Pace,
    Permits,
    RoundTrips,
)


@pytest.mark.parametrize(
    ("samples", "credits_seconds"),
    [
        pytest.param([(100, 0.1)] * (CREDIT_AFTER_SAMPLES - 1), {100: 0}, id="few prove nothing"),
        pytest.param([(100, 0.1)] * CREDIT_AFTER_SAMPLES, {100: 0.09}, id="enough do, but for a tenth"),
        pytest.param([(100, 0.1)] * 1000 + [(101, 0.09)], {101: 0.081}, id="a shorter one counts at once"),
        pytest.param([(100, 0.1), (100, 0.3)] * 100, {100: 0.1 - 0.6 / math.sqrt(200)}, id="scattered ones earn less"),
        pytest.param(
            [(100, 0.01)] * 200 + [(140, 0.1)] * 200, {161: 0.09, 201: 0}, id="neither least nor number lasts a minute"
        ),
    ],
)
def test_what_round_trips_earn(samples: list[tuple[float, float]], credits_seconds: dict[float, float]) -> None:
    """A credit needs enough of them in the last minute, and is less than their least."""
    round_trips = RoundTrips()
    for at, seconds in samples:
        round_trips.add(at, seconds)
    assert {at: round_trips.credit_seconds(at) for at in credits_seconds} == pytest.approx(credits_seconds)


def test_the_credit_is_never_above_the_least_that_is_possible() -> None:
    """In none of a thousand minutes with few samples, where both ways take 10 to 40 ms."""
    way = Random(1)  # noqa: S311 - a simulation
    round_trips = RoundTrips()
    for minute in range(1000):
        for _ in range(CREDIT_AFTER_SAMPLES):
            round_trips.add(61 * minute, 0.02 + 0.03 * way.random() + 0.03 * way.random())
        assert round_trips.credit_seconds(61 * minute) <= 0.02


def test_a_request_without_an_answer_earns_no_credit() -> None:
    """It may have arrived at its very end, so the whole window is kept."""
    permits = Permits()
    for _ in range(CREDIT_AFTER_SAMPLES):
        permits.take()
        permits.end(0, 1, 0.5)
    permits.take()
    permits.end(10, 1, 0.5)
    assert permits.ready_at(1) == pytest.approx(10 + WINDOW_SECONDS - 0.45)
    permits.take()
    permits.end(20, 1, None)
    assert permits.ready_at(1) == 20 + WINDOW_SECONDS


def test_a_permit_that_is_held_is_free_at_no_known_time() -> None:
    """Only the end of a request can tell."""
    permits = Permits()
    permits.take()
    assert permits.ready_at(1) == math.inf
    assert permits.ready_at(2) == -math.inf
    permits.give_back()
    assert permits.ready_at(1) == -math.inf


def sent_until(pace: Pace, end: float, requests_per_second: float) -> list[float]:
    """Send whenever the pace allows it, from 0 on, and return when."""
    sent: list[float] = []
    while (now := max(pace.ready_at(requests_per_second), sent[-1] if sent else 0.0)) < end:
        pace.take(now, requests_per_second)
        sent.append(now)
    return sent


def test_requests_are_sent_at_even_intervals_after_a_small_burst() -> None:
    """The first few go at once, the others a little faster than the rate."""
    sent = sent_until(Pace(), 10, 50)
    assert sent[:BURST] == [0.0] * BURST
    gaps = [after - before for before, after in zip(sent[BURST - 1 :], sent[BURST:], strict=False)]
    assert gaps == pytest.approx([1 / (50 * HEADROOM)] * len(gaps))
    assert len(sent) == pytest.approx(10 * 50 * HEADROOM + BURST, abs=1)


def test_an_idle_time_saves_up_no_more_than_the_burst() -> None:
    """After an hour of silence as few go at once as at the start."""
    pace = Pace()
    for _ in range(BURST):
        pace.take(3600, 50)
    assert pace.ready_at(50) > 3600


def test_a_request_that_was_not_sent_leaves_no_gap() -> None:
    """Giving back is as if it had never been taken."""
    pace, untouched = Pace(), Pace()
    for each in (pace, untouched):
        for _ in range(BURST):
            each.take(1, 50)
    pace.take(1, 50)
    pace.give_back()
    assert pace.ready_at(50) == untouched.ready_at(50)


def test_a_new_rate_holds_at_once() -> None:
    """What was sent at a slow pace does not delay what may go at a fast one."""
    pace = Pace()
    for _ in range(BURST):
        pace.take(0, 0.01)
    assert pace.ready_at(50) == pytest.approx(1 / (50 * HEADROOM))
