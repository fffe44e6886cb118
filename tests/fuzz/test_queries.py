"""Whatever is in a URL's query: it is understood, or refused with a sentence that can be shown."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import MultiDict

from exporter.web.api.api_routes import ENDPOINTS
from exporter.web.pages import app_page, violations_page
from exporter.web.query import BadQueryError, read_form, read_query
from tests.support.generated import examples

Pairs = Sequence[tuple[str, str]]

NAMES = (
    *("account", "app_id", "task_region", "mix_mode", "rule", "task_id", "limit", "cursor", "since"),
    *("severity", "owner", "outcome", "sort", "page", "order", "descending", "enabled", "in_force", "app"),
)
VALUES = st.text(st.characters(), max_size=20) | st.sampled_from(
    (
        *("", "1", "0", "-1", "9" * 20, "1e3", "NaN", "2027-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59", "\u0663"),
        *("0001-01-01T00:00:00+23:59", "warning", "W10", "eyJ9", "bnVsbA", "WzEsMl0", "W1tbW1tbW1tbW10", "W" * 5000),
    )
)
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=5), VALUES), max_size=4)
READERS: dict[str, Callable[[Pairs], object]] = {
    **{one.path: partial(read_query, parameters=one.parameters) for one in ENDPOINTS if len(one.parameters) > 2},
    "page of tasks": lambda pairs: read_form(MultiDict(pairs), app_page.PARAMETERS),
    "page of violations": lambda pairs: read_form(MultiDict(pairs), violations_page.PARAMETERS),
    "page of rules": lambda pairs: read_form(MultiDict(pairs), violations_page.RULE_PARAMETERS),
}


@pytest.mark.parametrize("reader", READERS)
@given(pairs=PAIRS)
@settings(max_examples=examples(80))
def test_any_query_is_understood_or_refused(reader: str, pairs: Pairs) -> None:
    """Nothing but BadQueryError is raised; its sentence is one line, and no longer than the query makes it."""
    try:
        READERS[reader](pairs)
    except BadQueryError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert refusal == "" or refusal.isprintable()
    assert len(refusal) < 500 + 10 * sum(len(name) + len(value) for name, value in pairs)


@pytest.mark.parametrize("reader", READERS)
def test_every_parameter_is_known_somewhere(reader: str) -> None:
    """The names that the queries are made of are those that the readers know: each understands at least one."""
    understood = [name for name in NAMES if _understands(reader, name)]
    assert understood


def _understands(reader: str, name: str) -> bool:
    """Whether a reader takes a value for a parameter, some value."""
    for value in ("x", "1", "warning", "violation", "true"):
        try:
            READERS[reader]([(name, value)])
        except BadQueryError:
            continue
        return True
    return False
