"""Order and pages of very many items, and pages of JSON."""

import json
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, to_builtins

from exporter.web.lists import (
    AT_ONCE,
    ITEMS_AT_ONCE,
    PAGE_ROWS,
    Listing,
    NumberedPage,
    listing_text,
    numbered_page,
    ordered,
)
from exporter.web.responses import json_text
from tests.support.virtual_time import finished, timed


def page(things: list[int], number: int, *, descending: bool = False, page_rows: int = PAGE_ROWS) -> NumberedPage[int]:
    """Return a page of the even ones."""
    found = finished(ordered(things, wanted=lambda one: one % 2 == 0, key=lambda one: one, descending=descending))
    return finished(numbered_page(found, number, page_rows=page_rows))


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
    """More things than are looked at at once are in one order."""
    things = list(range(5 * AT_ONCE))
    random.Random(1).shuffle(things)  # noqa: S311 - no secret
    shown = page(things, number)
    first = (shown.number - 1) * PAGE_ROWS
    assert list(shown.rows) == list(range(0, 5 * AT_ONCE, 2))[first : first + PAGE_ROWS]
    assert (shown.first, shown.last) == (first + 1, first + PAGE_ROWS)


def test_others_run_in_between() -> None:
    """Between two turns of the event loop no more items are looked at than `AT_ONCE`, nor passed over on the way."""
    looked_at = [0]

    def key(one: int) -> int:
        looked_at[-1] += 1
        return one

    found, slices = timed(ordered(range(10 * AT_ONCE), key=key), between=lambda: looked_at.append(0))
    assert looked_at == [AT_ONCE] * 10
    assert len(slices) == 10
    _, slices = timed(found.rows(5 * AT_ONCE, 5 * AT_ONCE + 50))
    assert len(slices) == 6


class Numbered(Struct):
    """An item."""

    number: int
    text: str


def page_of(items: Iterator[Numbered], has_more: bool = False) -> Listing:
    """Return a page of numbered items."""
    return Listing("items", Numbered, items, has_more, lambda item: f"after-{item.number}", {"matching": 9})


def numbered(count: int, size: int = 0) -> Iterator[Numbered]:
    """Yield items of about some size."""
    return (Numbered(number, "x" * size) for number in range(count))


@pytest.mark.parametrize(("has_more", "next_cursor"), [(False, None), (True, "after-0")])
def test_a_page_has_its_items_and_what_else_is_said(has_more: bool, next_cursor: str | None) -> None:
    """The answer is one object: the items under their name, and the rest beside them."""
    assert json.loads(finished(listing_text(page_of(numbered(1), has_more)))) == {
        "items": [{"number": 0, "text": ""}],
        "matching": 9,
        "next_cursor": next_cursor,
    }


def test_an_empty_page_is_one_too() -> None:
    """Where there are no items the list is empty."""
    assert json.loads(finished(listing_text(page_of(iter(()))))) == {"items": [], "matching": 9, "next_cursor": None}


@given(st.lists(st.integers(0, 300), max_size=20), st.integers(1, 600))
def test_a_page_ends_before_it_is_too_large(sizes: list[int], largest_bytes: int) -> None:
    """As many items as fit are on it, one at least, and its cursor names the last of them."""
    items = [Numbered(number, "x" * size) for number, size in enumerate(sizes)]
    answer = json.loads(finished(listing_text(page_of(iter(items), has_more=True), largest_bytes=largest_bytes)))
    shown = len(answer["items"])
    assert answer["items"] == to_builtins(items[:shown])
    assert shown <= 1 or sum(len(json_text(item)) for item in items[:shown]) <= largest_bytes
    assert answer["next_cursor"] == (f"after-{shown - 1}" if items else None)
    if shown < len(items):
        assert shown
        assert sum(len(json_text(item)) for item in items[: shown + 1]) > largest_bytes


def test_items_that_do_not_fit_are_not_made() -> None:
    """No more than one item beyond the bound costs anything."""
    made = []

    def items() -> Iterator[Numbered]:
        for item in numbered(100, size=1000):
            made.append(item)
            yield item

    finished(listing_text(page_of(items()), largest_bytes=5000))
    assert len(made) == 5


def test_others_run_while_a_page_is_made() -> None:
    """After every few items, and after every few large ones, the event loop has its turn."""
    _, took = timed(listing_text(page_of(numbered(ITEMS_AT_ONCE * 3 + 1))))
    assert len(took) == 4
    _, took = timed(listing_text(page_of(numbered(9, size=70_000))))
    assert len(took) == 5
