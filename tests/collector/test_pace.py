"""How evenly requests are sent."""

import pytest

from exporter.collector.rate_limiter import BURST, HEADROOM, Pace


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
