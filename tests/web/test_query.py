"""Queries: how parameters of the API and fields of forms are read, and cursors."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.api.api_routes import ENDPOINTS
from exporter.web.pages import app_page, violations_page
from exporter.web.query import BadQueryError, Parameter, Query, cursor, cursor_after, read_form, read_query
from tests.web.fake_view import NOW

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
        assert read_form(fields, violations_page.RULE_PARAMETERS) == Query()
    assert read_form({"text": " a b "}, violations_page.RULE_PARAMETERS).text == "a b"


@pytest.mark.parametrize(
    ("known", "name", "text"),
    [
        *((app_page.PARAMETERS, "page", text) for text in ("0", "-1", "1.5", "x", "9" * 10, "\N{SUPERSCRIPT TWO}")),
        *((app_page.PARAMETERS, name, "nonsense") for name in ("task_region", "mix_mode", "sort", "order")),
        *((violations_page.PARAMETERS, name, "nonsense") for name in ("severity", "outcome", "age", "page")),
        *((violations_page.RULE_PARAMETERS, name, "nonsense") for name in ("severity", "enabled")),
    ],
)
def test_a_bad_field_of_a_form_is_refused(known: Sequence[Parameter], name: str, text: str) -> None:
    """What can't be shown is said with what was expected, not ignored."""
    with pytest.raises(BadQueryError, match=f"{name} is '.*', expected "):
        read_form({name: text}, known)


def test_a_field_of_a_form_is_at_most_300_characters_long() -> None:
    """What nobody types is refused, not searched for."""
    with pytest.raises(BadQueryError, match="text has 301 characters, expected at most 300"):
        read_form({"text": "x" * 301}, violations_page.RULE_PARAMETERS)


@given(st.sampled_from(sorted(app_page.COLUMNS)), st.sampled_from(["asc", "desc"]), st.text(max_size=3))
def test_a_query_comes_back_from_its_parameters(sort: str, order: str, text: str) -> None:
    """What links and forms send is what is shown; defaults are left out."""
    query = Query(text=text.strip(), mix_mode="mixed", sort=sort, order=order, page=3)
    sent = query.parameters(app_page.PARAMETERS)
    assert read_form(sent, app_page.PARAMETERS) == Query(text=text.strip(), mix_mode="mixed", sort=sort, order=order)
    assert sent["order"] == ("desc" if order == "desc" else "")
    assert read_form(query.parameters(app_page.PARAMETERS, page="3"), app_page.PARAMETERS) == query


def test_an_age_is_a_time_before_now() -> None:
    """Findings older or younger than the bound match, and those of an unknown age do not."""
    young, old = Query(age="under-1h").aged(NOW), Query(age="over-1d").aged(NOW)
    assert [query.matches_time(NOW - 60) for query in (young, old)] == [True, False]
    assert [query.matches_time(NOW - 90_000) for query in (young, old)] == [False, True]
    assert not young.matches_time(None)
    assert Query().aged(NOW).matches_time(None)
