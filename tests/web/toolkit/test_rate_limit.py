"""The bucket of tokens."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.web.toolkit.rate_limit import Rate, TokenBucket


class Hand:
    """The hand of a clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        """Return where it points to."""
        return self.seconds


def test_a_burst_is_let_in_and_no_more() -> None:
    """A full bucket has as many tokens as the burst."""
    bucket = TokenBucket(Rate(interval_seconds=1, burst=3), Hand().monotonic)
    assert [bucket.admits() for _ in range(5)] == [True, True, True, False, False]


def test_after_an_interval_there_is_another() -> None:
    """Each interval brings one token, up to the burst."""
    hand = Hand()
    bucket = TokenBucket(Rate(interval_seconds=2, burst=2), hand.monotonic)
    assert [bucket.admits() for _ in range(3)] == [True, True, False]
    hand.seconds += 1.9
    assert not bucket.admits()
    hand.seconds += 0.2
    assert [bucket.admits() for _ in range(2)] == [True, False]
    hand.seconds += 1000
    assert [bucket.admits() for _ in range(3)] == [True, True, False]


def test_without_an_interval_everyone_is_let_in() -> None:
    """An interval of nothing, or less, is no limit, whatever the burst."""
    for seconds in (0, -1):
        bucket = TokenBucket(Rate(interval_seconds=seconds, burst=0), Hand().monotonic)
        assert all(bucket.admits() for _ in range(10))


def test_without_a_burst_nobody_is_let_in() -> None:
    """As in the toolkit, a limit whose burst is left out refuses all."""
    hand = Hand()
    bucket = TokenBucket(Rate(interval_seconds=1, burst=0), hand.monotonic)
    hand.seconds += 60
    assert not bucket.admits()


@given(
    st.floats(0.01, 10),
    st.integers(1, 20),
    st.lists(st.floats(0, 5), max_size=60),
)
def test_no_window_has_more_than_its_share(interval_seconds: float, burst: int, pauses: list[float]) -> None:
    """In any stretch of time no more come in than the burst and one for each interval."""
    hand = Hand()
    bucket = TokenBucket(Rate(interval_seconds=interval_seconds, burst=burst), hand.monotonic)
    admitted = []
    for pause in pauses:
        hand.seconds += pause
        if bucket.admits():
            admitted.append(hand.seconds)
    for first, began in enumerate(admitted):
        for count, moment in enumerate(admitted[first:], start=1):
            assert count <= burst + (moment - began) / interval_seconds + 1e-6
