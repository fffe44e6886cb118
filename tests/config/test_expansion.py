"""`${NAME}` in values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.files import ExpansionError, expand


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
    """All that is not set is named at once, with what is no name."""
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
