"""`/api/v1/changes`: which changes a query gets, in which pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.past import FieldChange
from tests.web.api.api_view import followed, page_of
from tests.web.fake_view import NOW, FakeView, app_view, recorded


def view_of_changes(first: int = 1, last: int = 50) -> FakeView:
    """Return a view of numbered changes of two apps and three tasks."""
    view = FakeView([app_view(app_id="app-0"), app_view(app_id="app-1"), app_view(account="another")])
    view.recorded = [
        recorded(number, app_id=f"app-{number % 2}", task_id=f"task-{number % 3}") for number in range(first, last + 1)
    ]
    return view


def test_a_change_is_shown_with_all_that_is_remembered() -> None:
    """The document has when, whose and what, each group with before and after, null where nothing was set."""
    view = FakeView([app_view()])
    fields = (FieldChange("idle_timeout", None, "60 s"), FieldChange("users", "1 user", "1 user"))
    view.recorded = [recorded(7, change="modified", fields=fields, notes=("probably_restarted",))]
    assert page_of(view, "changes") == {
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
        "remembered_since": NOW - 3600,
    }


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, 51),
        ({"account": "production"}, 51),
        ({"account": "another"}, 0),
        ({"app_id": "app-1"}, 25),
        ({"task_id": "task-0"}, 17),
        ({"app_id": "app-1", "task_id": "task-0"}, 8),
        ({"since": str(NOW + 41)}, 10),
        ({"since": "2027-01-15T08:00:41Z"}, 10),
        ({"since": "2027-01-15t09:00:41+01:00"}, 10),
        ({"since": "2027-01-15 08:00:40.5z"}, 10),
        ({"since": "0", "until": str(NOW + 10)}, 11),
        ({"limit": "3"}, 3),
        ({"cursor": "11"}, 11),
        ({"cursor": "11", "app_id": "app-1"}, 5),
        ({"app_id": "removed"}, 1),  # by a reload: it is known as long as its changes are
    ],
)
def test_parameters_narrow_down(parameters: dict[str, str], expected: int) -> None:
    """Each parameter leaves what fits it, several leave what fits all, newest first."""
    view = view_of_changes()
    view.recorded.insert(0, recorded(0, app_id="removed"))
    found = [change["number"] for change in page_of(view, "changes", **parameters)["changes"]]
    assert len(found) == expected
    assert found == sorted(found, reverse=True)


@given(st.integers(1, 20), st.sampled_from([{}, {"app_id": "app-0"}]), st.lists(st.integers(0, 3), max_size=60))
def test_pages_show_every_change_once(limit: int, parameters: dict[str, str], newcomers: list[int]) -> None:
    """Whatever is noticed between two pages, following the cursor shows what there was at first, each once."""
    view = view_of_changes()
    expected = [one.number for one in reversed(view.recorded) if one.app_id in parameters.get("app_id", one.app_id)]

    def notice(_page: object) -> None:
        for _ in range(newcomers.pop() if newcomers else 0):
            view.recorded.append(recorded(len(view.recorded) + 1, app_id="app-0"))

    found = followed(view, "changes", notice, limit=limit, **parameters)
    assert [change["number"] for change in found] == expected


def test_a_cursor_survives_what_is_forgotten() -> None:
    """When older changes are forgotten meanwhile, the next page is shorter, not wrong."""
    page = page_of(view_of_changes(31, 50), "changes", cursor=35, limit=10)
    assert [change["number"] for change in page["changes"]] == [34, 33, 32, 31]
