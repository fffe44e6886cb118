"""Tests of what people see on their terminals."""

import io

from hypothesis import given
from hypothesis import strategies as st

from exporter.commands.console import console, printable, table


@given(st.text())
def test_nothing_printable_acts_upon_a_terminal(text: str) -> None:
    """Whatever the text, what is left has no control characters, line ends or direction marks."""
    assert printable(text).isprintable()


@given(st.text().filter(str.isprintable))
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    """Names in any script are shown as they are written."""
    assert printable(text) == text


def test_escapes_say_what_stood_there() -> None:
    """An escaped character can be distinguished from the others."""
    assert printable("a\x1b[31m\n\u202e") == r"a\x1b[31m\n\u202e"


def test_a_table_shows_every_cell_in_full_where_there_is_no_terminal() -> None:
    """A reader that is no terminal gets whole values on one line, a dash for nothing, and no colour or markup."""
    stream = io.StringIO()
    long = "x" * 100
    console(stream).print(table(("what", "number"), [(long, 7), ("[red]\x1b[1m", None)], numbers=("number",)))
    _, heading, _, first, second, *_ = stream.getvalue().splitlines()
    assert heading.split() == ["what", "number"]
    assert first.split() == [long, "7"]
    assert second.split() == ["[red]\\x1b[1m", "-"]
    assert first.rstrip().endswith("     7")
    assert "\x1b" not in stream.getvalue()


def test_a_table_breaks_no_word_on_a_narrow_terminal() -> None:
    """Ids stay whole, so that they can be copied and found; texts of several words are broken between them."""
    stream = io.StringIO()
    ids = ["0123456789abcdef" * 2, "运维" * 8]
    narrow = console(stream)
    narrow.width = 30
    narrow.print(table(("app", "examples"), [(ids[0], f"too high: {ids[0]}, {ids[1]}"), (ids[1], "fine")]))
    shown = stream.getvalue()
    assert [shown.count(one) for one in ids] == [2, 2]
    assert len(shown.splitlines()) > 6
