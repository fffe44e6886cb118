"""The limit of requests per second."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator.service import RequestQuota
from tests.support.shared_quota import SharedQuota, Window

ARRIVALS = st.lists(st.integers(0, 400), min_size=1, max_size=200).map(
    lambda gaps: [sum(gaps[: place + 1]) / 1024 for place in range(len(gaps))]
)


def admitted(quota: RequestQuota, arrivals: list[float]) -> list[float]:
    """Return the arrivals that are let in."""
    return [at for at in arrivals if quota.admit(at)]


@given(arrivals=ARRIVALS, limit=st.integers(1, 10))
def test_a_sliding_window_never_has_more_than_the_limit(arrivals: list[float], limit: int) -> None:
    """Whatever arrives, no second holds more than the limit, and nothing is refused without need."""
    inside = admitted(RequestQuota(limit), arrivals)
    assert admitted(SharedQuota(limit), arrivals) == inside
    for at in arrivals:
        assert sum(at - 1 < other <= at for other in inside) <= limit
    for at in set(arrivals) - set(inside):
        assert sum(at - 1 < other <= at for other in inside) == limit


@given(arrivals=ARRIVALS, limit=st.integers(1, 10))
def test_a_fixed_window_counts_each_second_of_the_clock(arrivals: list[float], limit: int) -> None:
    """Each second of the clock admits what comes first, up to the limit."""
    inside = admitted(SharedQuota(limit, "fixed"), arrivals)
    for second in {int(at) for at in arrivals}:
        arrived = [at for at in arrivals if int(at) == second]
        assert [at for at in inside if int(at) == second] == arrived[:limit]


@given(arrivals=ARRIVALS, limit=st.integers(1, 10))
def test_a_bucket_holds_one_second_and_refills(arrivals: list[float], limit: int) -> None:
    """Any span admits at most the bucket and what flows into it meanwhile."""
    inside = admitted(SharedQuota(limit, "bucket"), arrivals)
    for first, start in enumerate(inside):
        for last in range(first, len(inside)):
            assert last - first + 1 <= limit + limit * (inside[last] - start) + 1e-6


@pytest.mark.parametrize(
    ("window", "second_burst"), [("sliding", 0), ("fixed", 50), ("bucket", 10)], ids=["sliding", "fixed", "bucket"]
)
def test_two_bursts_over_a_border_of_seconds(window: Window, second_burst: int) -> None:
    """Fifty at 0.9 s and fifty at 1.11 s: the three ways of counting disagree on the second fifty."""
    quota = SharedQuota(50, window)
    assert len(admitted(quota, [100.9] * 50)) == 50
    assert len(admitted(quota, [101.11] * 50)) == second_burst


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
def test_others_and_we_share_a_limit(window: Window) -> None:
    """With 20 requests a second by others, 28 a second of ours are let in; anyone who asks for more starves both."""
    polite = SharedQuota(50, window, others_per_second=20)
    arrivals = [place / 28 for place in range(280)]
    assert admitted(polite, arrivals) == arrivals
    assert polite.others_refused == 0
    greedy = SharedQuota(50, window, others_per_second=20)
    inside = admitted(greedy, [place / 100 for place in range(1000)])
    assert len(inside) < 500
    assert greedy.others_refused > 50


def test_what_others_asked_for_long_ago_is_forgotten() -> None:
    """After an hour without a request the others have used up one second's share, no more."""
    quota = SharedQuota(50, "sliding", others_per_second=25)
    quota.admit(0.0)
    assert 24 <= len(admitted(quota, [3600.0] * 50)) <= 25
