"""Tests of the oldest of many times."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.policy.oldest import SLACK, Oldest

_steps = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60)


@given(_steps)
def test_it_is_the_minimum(steps: list[tuple[bool, int]]) -> None:
    """After any additions and removals the value is the least of the times that are left."""
    oldest, left = Oldest(), list[int]()
    for adds, time in steps:
        if adds or time not in left:
            oldest.add(time)
            left.append(time)
        else:
            oldest.remove(time)
            left.remove(time)
        assert oldest.value == min(left, default=None)


def test_times_that_are_gone_take_no_room() -> None:
    """While one old thing stays, any number of others may come and go."""
    oldest = Oldest()
    oldest.add(0)
    for time in range(1, 10_000):
        oldest.add(time)
        oldest.remove(time)
    assert oldest.value == 0
    assert len(oldest._heap) <= SLACK + 4
