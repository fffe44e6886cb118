"""What the forms of pages may send."""

import pytest

from exporter.web.api.query import BadQueryError
from exporter.web.pages.parameters import read_choice, read_page, read_text


def test_empty_and_missing_fields_ask_for_nothing() -> None:
    """A form sends all its fields; one that was left empty is as one that is not there."""
    for query in ({}, {"severity": "", "text": "  ", "page": ""}):
        assert (read_text(query, "text"), read_choice(query, "severity", ("info",)), read_page(query)) == ("", "", 1)


def test_fields_are_read() -> None:
    """What is asked for is what was typed, without space around it."""
    query = {"text": " a b ", "severity": "info", "page": "12"}
    assert (read_text(query, "text"), read_choice(query, "severity", ("info",)), read_page(query)) == (
        "a b",
        "info",
        12,
    )


@pytest.mark.parametrize("page", ["0", "-1", "1.5", "x", "9" * 10, "\N{SUPERSCRIPT TWO}"])
def test_a_page_is_a_whole_number(page: str) -> None:
    """Anything else is refused with what was expected."""
    with pytest.raises(BadQueryError, match="expected a whole number from 1"):
        read_page({"page": page})


def test_a_choice_is_one_of_the_known() -> None:
    """A wrong one is refused with those that there are."""
    with pytest.raises(BadQueryError, match="severity is 'fatal', expected one of info, warning"):
        read_choice({"severity": "fatal"}, "severity", ("info", "warning"))


def test_a_text_has_an_end() -> None:
    """What nobody types is refused, not searched for."""
    with pytest.raises(BadQueryError, match="text has 301 characters, expected at most 300"):
        read_text({"text": "x" * 301}, "text")
