"""Parameters that several lists have in common, and cursors."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.api.query import BadQueryError, cursor_after, read_choice, read_cursor

ANY_TEXT = st.text(st.characters(codec=None), max_size=40)


@given(st.lists(ANY_TEXT, max_size=5))
def test_a_cursor_holds_any_names(names: list[str]) -> None:
    """What was put into a cursor comes out of it, and the cursor stands in a URL as it is."""
    cursor = cursor_after(*names)
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in cursor)
    assert read_cursor({"cursor": cursor}, len(names)) == tuple(names)


@given(ANY_TEXT.filter(bool))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    """Nothing that somebody writes for a cursor is anything but names or a refusal."""
    names: tuple[str, ...] | None = ("",)
    with suppress(BadQueryError):
        names = read_cursor({"cursor": text}, 1)
    assert names is not None
    assert len(names) == 1


@pytest.mark.parametrize(
    "cursor",
    ["x", "e30", cursor_after("a"), cursor_after("a", "b", "c"), "WzEsMl0", "====", "W1" * 4000, "ðŸ", "AAAA"],
)
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    """A cursor with another number of names, or with none, is named with what was expected."""
    with pytest.raises(BadQueryError, match="expected the next_cursor of an answer"):
        read_cursor({"cursor": cursor}, 2)


def test_without_a_cursor_there_is_none() -> None:
    """The first page has no cursor."""
    assert read_cursor({}, 2) is None


def test_a_choice_is_one_of_those_there_are() -> None:
    """A choice is returned as it is, its absence is None, and anything else is refused with all choices."""
    assert read_choice({"enabled": "true"}, "enabled", ("true", "false")) == "true"
    assert read_choice({}, "enabled", ("true", "false")) is None
    with pytest.raises(BadQueryError, match="enabled is 'yes', expected one of true, false"):
        read_choice({"enabled": "yes"}, "enabled", ("true", "false"))
