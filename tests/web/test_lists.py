"""Queries and cursors, order and pages of very many items, and pages of JSON."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, to_builtins

from exporter.web.api import ENDPOINTS
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
from exporter.web.pages import app_pages, page_routes
from exporter.web.query import BadQueryError, Parameter, Query, cursor, cursor_after, read_form, read_query
from exporter.web.responses import json_text
from tests.support.virtual_time import finished, timed
from tests.web.fake_view import NOW


def page(things: list[int], number: int, *, descending: bool = False) -> NumberedPage[int]:
    """Return a page of the even ones."""
    found = finished(ordered(things, wanted=lambda one: one % 2 == 0, key=lambda one: one, descending=descending))
    return finished(numbered_page(found, number))


@given(st.lists(st.integers(0, 200), max_size=60), st.integers(0, 70), st.integers(0, 70), st.booleans())
def test_rows_are_a_part_of_the_whole_order(things: list[int], first: int, last: int, descending: bool) -> None:
    """They are what sorting everything and counting off would give, nothing beyond the last one."""
    first, last = sorted((first, last))
    found = finished(ordered(things, wanted=lambda one: one % 2 == 0, key=lambda one: one, descending=descending))
    everything = sorted((one for one in things if one % 2 == 0), reverse=descending)
    assert finished(found.rows(first, last)) == everything[first:last]
    assert found.matching == len(everything)


@pytest.mark.parametrize(("things", "pages"), [(0, 1), (1, 1), (50, 1), (51, 2), (100, 2), (101, 3)])
@pytest.mark.parametrize("number", [1, 2, 9])
def test_a_page_beyond_the_last_is_the_last(number: int, things: int, pages: int) -> None:
    """There is one page at least, also of nothing."""
    shown = page([2 * thing for thing in range(things)], number)
    assert (shown.number, shown.pages, shown.matching) == (min(number, pages), pages, things)
    assert list(shown.rows) == [2 * thing for thing in range(things)][50 * (shown.number - 1) : 50 * shown.number]


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


def page_of(items: Iterable[Numbered], limit: float = inf) -> Listing:
    """Return a page of numbered items."""
    return Listing(
        "items", Numbered, items, lambda item: item, limit, lambda item: f"after-{item.number}", {"matching": 9}
    )


def numbered(count: int, size: int = 0) -> Iterator[Numbered]:
    """Yield items of about some size."""
    return (Numbered(number, "x" * size) for number in range(count))


@pytest.mark.parametrize(
    ("rows", "items", "next_cursor"), [(0, 0, None), (1, 1, None), (2, 2, None), (3, 2, "after-1")]
)
def test_a_page_has_its_items_and_what_else_is_said(rows: int, items: int, next_cursor: str | None) -> None:
    """The answer is one object: the items under their name, at most as many as the limit, and the rest beside them."""
    assert json.loads(finished(listing_text(page_of(numbered(rows), limit=2)))) == {
        "items": [{"number": number, "text": ""} for number in range(items)],
        "matching": 9,
        "next_cursor": next_cursor,
    }


@given(st.lists(st.integers(0, 300), max_size=20), st.integers(1, 600))
def test_a_page_ends_before_it_is_too_large(sizes: list[int], largest_bytes: int) -> None:
    """As many items as fit are on it, one at least, and its cursor names the last of them."""
    items = [Numbered(number, "x" * size) for number, size in enumerate(sizes)]
    answer = json.loads(finished(listing_text(page_of(items), largest_bytes=largest_bytes)))
    shown = len(answer["items"])
    assert answer["items"] == to_builtins(items[:shown])
    assert shown <= 1 or sum(len(json_text(item)) for item in items[:shown]) <= largest_bytes
    assert answer["next_cursor"] == (f"after-{shown - 1}" if shown < len(items) else None)
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


ANY_TEXT = st.text(st.characters(codec=None), max_size=40)
PARAMETERS = {one.path.removeprefix("/api/v1/"): one.parameters for one in ENDPOINTS}
TASKS, CHANGES, VIOLATIONS, RULES = (PARAMETERS[name] for name in ("tasks", "changes", "violations", "rules"))


@pytest.mark.parametrize(
    ("known", "given", "complaint"),
    [
        (TASKS, [("region", "x")], "unknown parameter 'region', expected one of account, app_id, task_region, mix_mod"),
        (RULES, [("owner", "a")], "unknown parameter 'owner', expected one of severity, enabled, rule, format, limi"),
        ((), [("owner", "a")], "unknown parameter 'owner', expected none"),
        (TASKS, [("app_id", "a"), ("app_id", "a")], "app_id is given twice, expected once"),
        (TASKS, [("rule", "")], "rule is empty, expected a value"),
        (TASKS, [("task_region", "mars")], "task_region is 'mars', expected one of CN-Shanghai, AP-Singapore, EMAA-"),
        (TASKS, [("mix_mode", "1")], "mix_mode is '1', expected one of single, mixed, other"),
        (VIOLATIONS, [("severity", "Warning")], "severity is 'Warning', expected one of info, warning, critical"),
        (VIOLATIONS, [("outcome", "pass")], "outcome is 'pass', expected one of violation, exempted, unevaluable"),
        (RULES, [("enabled", "1")], "enabled is '1', expected one of true, false"),
        *(
            (CHANGES, [("limit", limit)], f"limit is {limit!r}, expected a whole number from 1 to 1000")
            for limit in ("0", "1001", "-1", "1e2", "\u0663", "9" * 5000)
        ),
        *(
            (CHANGES, [("cursor", text)], f"cursor is {text!r}, expected the next_cursor of an answer")
            for text in ("x", "-3", "9" * 16)
        ),
        *(
            (TASKS, [("cursor", text)], f"cursor is {text!r}, expected the next_cursor of an answer")
            for text in ("x", "12", "e30", cursor_after("a"), "WzEsMiwzXQ", "====", "W1" * 4000, "\u00f0", "AAAA")
        ),
        *(
            (CHANGES, [("since", text)], f"since is {text!r}, expected seconds since 1970 or a time such as 2027-01-15")
            for text in (
                *("yesterday", "nan", "-1", "2027-01-15", "2027-01-15T08:00:00", "2027-02-30T08:00:00Z"),
                *("2027-01-15T08:00:00+25:00", "20270115T080000Z"),
            )
        ),
    ],
)
def test_a_bad_parameter_is_refused(
    known: Sequence[Parameter], given: Sequence[tuple[str, str]], complaint: str
) -> None:
    """The refusal says which parameter, what it was and what was expected."""
    with pytest.raises(BadQueryError) as refused:
        read_query(given, known)
    assert str(refused.value).startswith(complaint)


@given(st.lists(ANY_TEXT, max_size=5))
def test_a_cursor_holds_any_names(names: list[str]) -> None:
    """What was put into a cursor comes out of it, and the cursor is in a URL as it is."""
    text = cursor_after(*names)
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in text)
    assert cursor(len(names)).read(text) == tuple(names)


def test_empty_and_missing_fields_of_a_form_match_everything() -> None:
    """A form sends all its fields, an empty one is as one that is not there, and unknown ones are ignored."""
    for fields in ({}, {"severity": "", "text": "  ", "enabled": ""}, {"else": "1"}):
        assert read_form(fields, page_routes.RULE_PARAMETERS) == Query()
    assert read_form({"text": " a b "}, page_routes.RULE_PARAMETERS).text == "a b"


@pytest.mark.parametrize(
    ("known", "name", "text"),
    [
        *(
            (app_pages.TASKS_PARAMETERS, "page", text)
            for text in ("0", "-1", "1.5", "x", "9" * 10, "\N{SUPERSCRIPT TWO}")
        ),
        *((app_pages.TASKS_PARAMETERS, name, "nonsense") for name in ("task_region", "mix_mode", "sort", "order")),
        *((page_routes.FINDING_PARAMETERS, name, "nonsense") for name in ("severity", "outcome", "age", "page")),
        *((page_routes.RULE_PARAMETERS, name, "nonsense") for name in ("severity", "enabled")),
        (page_routes.RULE_PARAMETERS, "text", "x" * 301),
    ],
)
def test_a_bad_field_of_a_form_is_refused(known: Sequence[Parameter], name: str, text: str) -> None:
    """What can't be shown is said with what was expected, not ignored; what nobody types is not searched for."""
    with pytest.raises(BadQueryError, match=f"{name} (is '.*'|has 301 characters), expected "):
        read_form({name: text}, known)


@given(st.sampled_from(sorted(app_pages.TASK_COLUMNS)), st.sampled_from(["asc", "desc"]), st.text(max_size=3))
def test_a_query_comes_back_from_its_parameters(sort: str, order: str, text: str) -> None:
    """What links and forms send is what is shown; defaults are left out."""
    query = Query(text=text.strip(), mix_mode="mixed", sort=sort, order=order, page=3)
    sent = query.parameters(app_pages.TASKS_PARAMETERS)
    assert read_form(sent, app_pages.TASKS_PARAMETERS) == Query(
        text=text.strip(), mix_mode="mixed", sort=sort, order=order
    )
    assert sent["order"] == ("desc" if order == "desc" else "")
    assert read_form(query.parameters(app_pages.TASKS_PARAMETERS, page="3"), app_pages.TASKS_PARAMETERS) == query


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_comes_back_from_its_parameters(since: datetime) -> None:
    """Whatever time a form was sent with, links to further pages are taken, and mean the same."""
    query = read_form({"since": since.isoformat(timespec="milliseconds")}, CHANGES)
    assert query.since == pytest.approx(max(0.0, since.timestamp()), abs=0.001)
    assert read_form(query.parameters(CHANGES), CHANGES) == query


@pytest.mark.parametrize("since", ["0.000000001", "0.00001", "1796048254.2454193", "999999999999"])
def test_seconds_come_back_from_their_parameters(since: str) -> None:
    """Links have numbers of seconds without an exponent, which is not taken."""
    query = read_form({"since": since}, CHANGES)
    assert query.since == float(since)
    assert read_form(query.parameters(CHANGES), CHANGES) == query


def test_an_age_is_a_time_before_now() -> None:
    """Findings older or younger than the bound match, and those of an unknown age do not."""
    young, old = Query(age="under-1h").aged(NOW), Query(age="over-1d").aged(NOW)
    assert [query.matches_time(NOW - 60) for query in (young, old)] == [True, False]
    assert [query.matches_time(NOW - 90_000) for query in (young, old)] == [False, True]
    assert not young.matches_time(None)
    assert Query().aged(NOW).matches_time(None)
