"""The first of many items."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.web.api.smallest import smallest
from tests.support.slices import finished


@given(st.integers(1, 30), st.integers(0, 40_000), st.sampled_from([1, -1, 7919]))
def test_the_smallest_of_many_are_found(count: int, number: int, step: int) -> None:
    """Whatever the order in which they come, the first ones of all in order are the answer."""
    texts = [f"{place * step % 50_000:05}" for place in range(number)]
    assert finished(smallest(count, texts, key=str)) == sorted(texts)[:count]


def test_only_chosen_items_count() -> None:
    """What is not chosen is not among them, wherever it stands."""
    numbers = list(range(30_000))
    found = finished(
        smallest(3, numbers, key="{:06}".format, chosen=lambda part: [one for one in part if one % 9_999 == 7])
    )
    assert found == [7, 10_006, 20_005]
