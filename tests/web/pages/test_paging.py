"""One page of very many things."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.pages.paging import AT_ONCE, PAGE_ROWS, Page, page_of
from tests.support.slices import finished, timed


def page(things: list[int], number: int, *, descending: bool = False, page_rows: int = PAGE_ROWS) -> Page[int]:
    """Return a page of the even ones."""
    return finished(
        page_of(
            things,
            number,
            wanted=lambda one: one % 2 == 0,
            key=lambda one: one,
            descending=descending,
            page_rows=page_rows,
        )
    )


@given(
    st.lists(st.integers(0, 200), max_size=60),
    st.integers(1, 30),
    st.integers(1, 9),
    st.booleans(),
)
def test_a_page_is_a_part_of_the_whole_order(things: list[int], number: int, page_rows: int, descending: bool) -> None:
    """It is what sorting everything and counting off would give; beyond the last page it is the last one."""
    shown = page(things, number, descending=descending, page_rows=page_rows)
    everything = sorted((one for one in things if one % 2 == 0), reverse=descending)
    last = max(1, -(-len(everything) // page_rows))
    first = (min(number, last) - 1) * page_rows
    assert list(shown.rows) == everything[first : first + page_rows]
    assert (shown.number, shown.pages, shown.matching) == (min(number, last), last, len(everything))


@pytest.mark.parametrize("number", [1, 7, 10**8])
def test_many_runs_are_joined(number: int) -> None:
    """More things than are looked at at once stand in one order."""
    things = list(range(5 * AT_ONCE))
    random.Random(1).shuffle(things)  # noqa: S311 - no secret
    shown = page(things, number)
    first = (shown.number - 1) * PAGE_ROWS
    assert list(shown.rows) == list(range(0, 5 * AT_ONCE, 2))[first : first + PAGE_ROWS]
    assert (shown.first, shown.last) == (first + 1, first + PAGE_ROWS)


def test_others_run_in_between() -> None:
    """The last page of 200,000 things costs time, and never much of it at once."""
    things = list(range(200_000))
    random.Random(1).shuffle(things)  # noqa: S311 - no secret
    _, took = timed(page_of(things, 10**6, key=str))
    assert len(took) >= 100
    assert sorted(took)[-3] < 0.05
