"""`${NAME}` in values, and the places of characters within values, however YAML wraps them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.files import ExpansionError, SourceText, expand
from exporter.config.mistakes import Mistakes
from exporter.config.yaml_nodes import Mapping, Scalar, compose


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${A}", "one"),
        ("x${A}y${B}", "xoney${A}"),
        ("$A $ 5$", "$A $ 5$"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$one"),
    ],
)
def test_variables_are_replaced_once(text: str, expanded: str) -> None:
    """Each variable is replaced, what it holds is not expanded again, other dollars stay."""
    assert expand(text, {"A": "one", "B": "${A}"}) == expanded


def test_every_problem_is_reported() -> None:
    """All that is not set is named, with what is no name."""
    with pytest.raises(ExpansionError) as caught:
        expand("${A} ${B-} ${C}", {})
    assert [problem.partition(",")[0] for problem in caught.value.problems] == [
        "the environment variable A is not set",
        "${ without a name and }",
        "the environment variable C is not set",
    ]


@given(text=st.text())
def test_a_doubled_dollar_keeps_any_text(text: str) -> None:
    """A text whose dollars are doubled comes out as it was."""
    assert expand(text.replace("$", "$$"), {}) == text


def value_of(text: str) -> tuple[SourceText, Scalar]:
    """Return a text whose first key has a single value, and that value."""
    mistakes = Mistakes()
    node = compose(text, file="f.yml", file_order=0, mistakes=mistakes)
    mistakes.raise_if_any()
    assert isinstance(node, Mapping)
    scalar = node.pairs[0][1]
    assert isinstance(scalar, Scalar)
    return SourceText("f.yml", 0, text), scalar


def found(text: str, what: str = "X") -> tuple[int, int]:
    """Return where, as told, the character is that the first key's value has once."""
    source, scalar = value_of(text)
    before, _, _ = scalar.text.partition(what)
    place = source.place_within(scalar, before.count("\n") + 1, len(before) - before.rfind("\n"))
    return place.line, place.column


def really(text: str, what: str = "X") -> tuple[int, int]:
    """Return where the character is that the text has once."""
    before = text.partition(what)[0]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


@pytest.mark.parametrize(
    "text",
    [
        "a: X",
        "a: one two X three",
        "a:   one\n  two   X\n\n  three",
        "a: 'X'",
        "a: 'it''s ''X'''",
        "a: 'one\n\n   two X'",
        'a: "one X"',
        'a: "\\"one\\" \\\\ \\/ X"',
        'a: "one\n   two X"',
        "a: |\n  X",
        "a: |\n\n\n   one\n     two X\n   three",
        "a: |2-\n   one\n  two X",
        "a: |+ # with a comment\n  # X\n",
        "a: >\n  one\n  two X\n",
        "a: >-\n  one\n\n    two\n    three X\n  four",
        "# é\na: 'éé X'",
        "a: 'X\\n'",
    ],
)
def test_a_character_is_found_where_it_stands(text: str) -> None:
    """In each style of YAML the place of a character of a value is its place in the file."""
    assert found(text) == really(text)


@pytest.mark.parametrize("text", ['a: "\\x41 X"', 'a: "\\t X"', "a: &here X", 'a: "one\\\n  X"'])
def test_what_can_t_be_counted_is_where_the_value_begins(text: str) -> None:
    """Escapes and anchors leave the place of the value itself."""
    assert found(text) == (1, 4)


def test_a_place_behind_the_end_is_behind_the_last_character() -> None:
    """What is missing at the end is missing behind what is there; white space has the place behind its word."""
    source, scalar = value_of("a: |\n  one two\n\nb: 1")
    assert source.place_within(scalar, 1, 8)[2:] == (2, 10)
    assert source.place_within(scalar, 2, 1)[2:] == (2, 10)
    assert source.place_within(scalar, 1, 4)[2:] == (2, 6)
    assert source.place_within(scalar, 9, 9)[2:] == (1, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: one # two", True),
        ("a: one", False),
        ("a: 'one' # two", False),
        ("a: one#two", False),
        ("a: one\n# b", False),
    ],
)
def test_a_comment_behind_a_plain_value_is_seen(text: str, expected: bool) -> None:
    """A plain value that a comment follows on its line may have been meant to go on."""
    source, scalar = value_of(text)
    assert source.is_followed_by_comment(scalar) is expected


WORDS = st.lists(st.text("ab&=.()'é", min_size=1, max_size=5), min_size=1, max_size=6)


@given(words=WORDS, at=st.integers(0, 5), style=st.sampled_from(["'", "|", ">"]), data=st.data())
def test_words_are_found_however_they_are_wrapped(words: list[str], at: int, style: str, data: st.DataObject) -> None:
    """Whatever words come before it and wherever lines break, a marked word has its own place."""
    words = [*words[:at], "X", *words[at:]]
    gaps = [data.draw(st.sampled_from([" ", "  ", "\n  ", "\n\n  "])) for _ in words]
    body = "".join(
        gap + (word.replace("'", "''") if style == "'" else word) for gap, word in zip(gaps, words, strict=True)
    )
    text = f"a: '{body.lstrip()}'" if style == "'" else f"a: {style}\n  {body.lstrip()}"
    assert found(text) == really(text)
