"""`/api/v1/changes`: which changes a query gets, in which pages."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.change_history import FieldChange, RecordedChange
from exporter.web.api.changes_api import PARAMETERS, changes_listing
from exporter.web.query import Query, read_query
from tests.web.api.documents import document
from tests.web.fake_view import NOW, recorded

MANY = [recorded(number, app_id=f"app-{number % 2}", task_id=f"task-{number % 3}") for number in range(50, 0, -1)]
"""Newest first."""


def numbers(changes: Sequence[RecordedChange], query: Query) -> list[int]:
    """Return the numbers on the page that a query gets."""
    return [change["number"] for change in document(changes_listing(changes, query, remembered_since=0))["changes"]]


def test_a_change_is_shown_with_all_that_is_remembered() -> None:
    """The document has when, whose and what, each group with before and after, null where nothing was set."""
    fields = (FieldChange("idle_timeout", None, "60 s"), FieldChange("users", "1 user", "1 user"))
    change = recorded(7, change="modified", fields=fields, notes=("probably_restarted",))
    assert document(changes_listing([change], Query(), remembered_since=NOW)) == {
        "changes": [
            {
                "number": 7,
                "noticed_timestamp_seconds": NOW + 7,
                "earliest_timestamp_seconds": None,
                "account": "production",
                "app_id": "live-main",
                "task_id": "task-7",
                "change": "modified",
                "fields": [
                    {"field": "idle_timeout", "before": None, "after": "60 s"},
                    {"field": "users", "before": "1 user", "after": "1 user"},
                ],
                "notes": ["probably_restarted"],
            }
        ],
        "next_cursor": None,
        "remembered_since": NOW,
    }


def test_nothing_asked_is_the_newest_hundred() -> None:
    """Without parameters there are up to a hundred changes of all apps."""
    changes = [recorded(number) for number in range(150, 0, -1)]
    assert numbers(changes, read_query([], PARAMETERS)) == list(range(150, 50, -1))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"account": "production"}, 50),
        ({"account": "another"}, 0),
        ({"app_id": "app-1"}, 25),
        ({"task_id": "task-0"}, 16),
        ({"app_id": "app-1", "task_id": "task-0"}, 8),
        ({"since": str(NOW + 41)}, 10),
        ({"since": "2027-01-15T08:00:41Z"}, 10),
        ({"since": "2027-01-15t09:00:41+01:00"}, 10),
        ({"since": "2027-01-15 08:00:40.5z"}, 10),
        ({"since": "0"}, 50),
        ({"limit": "3"}, 3),
        ({"limit": "1000"}, 50),
        ({"cursor": "11"}, 10),
        ({"cursor": "11", "app_id": "app-1"}, 5),
    ],
)
def test_parameters_narrow_down(parameters: dict[str, str], expected: int) -> None:
    """Each parameter leaves what fits it, several leave what fits all."""
    found = numbers(MANY, read_query(parameters.items(), PARAMETERS))
    assert len(found) == expected
    assert found == sorted(found, reverse=True)


@given(
    st.integers(1, 20),
    st.sampled_from([None, "app-0", "app-1"]),
    st.lists(st.integers(0, 3), max_size=60),
)
def test_pages_show_every_change_once(limit: int, app_id: str | None, newcomers: list[int]) -> None:
    """Whatever is noticed between two pages, following the cursor shows what there was at first, each once."""
    changes, seen, cursor = list(MANY), list[int](), None
    expected = [change.number for change in MANY if app_id in {None, change.app_id}]
    for new in [*newcomers, *[0] * len(MANY)]:
        query = read_query(
            [
                ("limit", str(limit)),
                *([("app_id", app_id)] if app_id else []),
                *([("cursor", cursor)] if cursor else []),
            ],
            PARAMETERS,
        )
        page = document(changes_listing(changes, query, remembered_since=0))
        assert len(page["changes"]) <= limit
        seen += [change["number"] for change in page["changes"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        for _ in range(new):
            changes.insert(0, recorded(changes[0].number + 1, app_id="app-1"))
    assert seen == expected


def test_a_cursor_survives_what_is_forgotten() -> None:
    """When older changes are forgotten meanwhile, the next page is shorter, not wrong."""
    assert numbers(MANY[:20], read_query([("cursor", "35"), ("limit", "10")], PARAMETERS)) == [34, 33, 32, 31]
