"""A page as JSON, and its bound."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.api.bounded_page import ITEMS_AT_ONCE, Page, json_text, page_text
from tests.support.slices import finished, timed

Item = Mapping[str, Any]


def page_of(items: Iterator[Item], next_cursor: str | None = None) -> Page[Item]:
    """Return a page of numbered items."""
    return Page("items", items, next_cursor, lambda item: f"after-{item['number']}", {"matching": 9})


def numbered(count: int, size: int = 0) -> Iterator[Item]:
    """Yield items of about some size."""
    return ({"number": number, "text": "x" * size} for number in range(count))


@pytest.mark.parametrize("next_cursor", [None, "more"])
def test_a_page_has_its_items_and_what_else_is_said(next_cursor: str | None) -> None:
    """The answer is one object: the items under their name, and the rest beside them."""
    assert json.loads(finished(page_text(page_of(numbered(1), next_cursor)))) == {
        "items": [{"number": 0, "text": ""}],
        "matching": 9,
        "next_cursor": next_cursor,
    }


def test_an_empty_page_is_one_too() -> None:
    """Where there are no items the list is empty."""
    assert json.loads(finished(page_text(page_of(iter(()))))) == {"items": [], "matching": 9, "next_cursor": None}


@given(st.lists(st.integers(0, 300), max_size=20), st.integers(1, 600))
def test_a_page_ends_before_it_is_too_large(sizes: list[int], largest_bytes: int) -> None:
    """As many items as fit are on it, one at least, and its cursor names the last of them."""
    items = [{"number": number, "text": "x" * size} for number, size in enumerate(sizes)]
    answer = json.loads(finished(page_text(page_of(iter(items), "more"), largest_bytes=largest_bytes)))
    shown = len(answer["items"])
    assert answer["items"] == items[:shown]
    assert shown <= 1 or sum(len(json_text(item)) for item in items[:shown]) <= largest_bytes
    assert answer["next_cursor"] == ("more" if shown == len(items) else f"after-{shown - 1}")
    if shown < len(items):
        assert shown
        assert sum(len(json_text(item)) for item in items[: shown + 1]) > largest_bytes


def test_items_that_do_not_fit_are_not_made() -> None:
    """No more than one item beyond the bound costs anything."""
    made = []

    def items() -> Iterator[Item]:
        for item in numbered(100, size=1000):
            made.append(item)
            yield item

    finished(page_text(page_of(items()), largest_bytes=5000))
    assert len(made) == 5


def test_others_run_while_a_page_is_made() -> None:
    """After every few items, and after every few large ones, the event loop has its turn."""
    _, took = timed(page_text(page_of(numbered(ITEMS_AT_ONCE * 3 + 1))))
    assert len(took) == 4
    _, took = timed(page_text(page_of(numbered(9, size=70_000))))
    assert len(took) == 5


def test_any_text_is_pure_ascii() -> None:
    """Whatever the service says, half characters included, no byte of the answer is more than JSON."""
    text = json_text({"text": "\ud800\u202e</script>\0é"})
    assert text.isascii()
    assert json.loads(text) == {"text": "\ud800\u202e</script>\0é"}


def test_what_json_has_no_word_for_is_refused() -> None:
    """No answer has NaN in it, which most readers of JSON do not take."""
    with pytest.raises(ValueError, match="Out of range"):
        json_text({"number": float("nan")})
