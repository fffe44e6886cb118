"""Which tasks a query gets, in which pages, and which queries are refused."""

from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.api.query import BadQueryError
from exporter.web.api.tasks import TasksQuery, read_tasks_query, tasks_page
from exporter.web.view import FindingKind
from tests.metrics.builders import configuration
from tests.support.slices import finished, timed
from tests.web.api.api_view import ApiView, entry
from tests.web.api.documents import document
from tests.web.fake_view import NOW, PENDING, app_view, findings, rule

Name = tuple[str, str, str]

APPS = [app_view(app_id="b"), app_view(app_id="a"), app_view(account="another", app_id="z")]


def view_of_three_apps() -> ApiView:
    """Return a view whose apps and tasks are in no order."""
    view = ApiView(APPS)
    for app in APPS:
        tasks = [
            entry("task-3", configuration(region="EMAA-Saudi")),
            entry("task-1", configuration(mix_mode="single", region=None)),
            entry("task-2"),
        ]
        view.put(tasks, app.status.account, app.status.app_id)
    view.found = {
        FindingKind.VIOLATION: [
            findings({"task-3": NOW, "task-1": NOW}, app_id="a", rule=rule("loud")),
            findings({"task-3": NOW, "gone": NOW}, app_id="b", rule=rule("loud")),
            findings({"task-3": NOW}, app_id="b", rule=rule("bare")),
        ]
    }
    return view


ORDER = [
    (account, app_id, f"task-{number}")
    for account, app_id in [("another", "z"), ("production", "a"), ("production", "b")]
    for number in (1, 2, 3)
]


def names(view: ApiView, query: TasksQuery) -> list[Name]:
    """Return what the tasks of a query's page are called."""
    tasks = document(finished(tasks_page(view, query)))["tasks"]
    return [(task["account"], task["app_id"], task["task_id"]) for task in tasks]


def test_the_order_is_by_names() -> None:
    """Account, AppId, TaskId: whatever the order in which apps and tasks came."""
    assert names(view_of_three_apps(), TasksQuery()) == ORDER


def test_a_task_names_the_rules_that_it_violates() -> None:
    """Rules stand by name; those that other tasks or other apps violate do not."""
    tasks = document(finished(tasks_page(view_of_three_apps(), TasksQuery(account="production"))))["tasks"]
    assert {(task["app_id"], task["task_id"]): task["violations"] for task in tasks if task["violations"]} == {
        ("a", "task-1"): ["loud"],
        ("a", "task-3"): ["loud"],
        ("b", "task-3"): ["bare", "loud"],
    }


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, 9),
        ({"account": "production"}, 6),
        ({"account": "unknown"}, 0),
        ({"app_id": "a"}, 3),
        ({"account": "another", "app_id": "a"}, 0),
        ({"task_region": "EMAA-Saudi"}, 3),
        ({"task_region": "other"}, 3),
        ({"mix_mode": "single"}, 3),
        ({"mix_mode": "other"}, 0),
        ({"mix_mode": "single", "task_region": "EMAA-Saudi"}, 0),
        ({"task_id": "task-2"}, 3),
        ({"task_id": "task-2", "app_id": "b"}, 1),
        ({"rule": "loud"}, 3),
        ({"rule": "bare"}, 1),
        ({"rule": "loud", "task_region": "EMAA-Saudi"}, 2),
        ({"rule": "unknown"}, 0),
        ({"limit": "4"}, 4),
    ],
)
def test_parameters_narrow_down(parameters: dict[str, str], expected: int) -> None:
    """Each parameter leaves what fits it, several leave what fits all."""
    assert len(names(view_of_three_apps(), read_tasks_query(parameters.items()))) == expected


def test_old_data_is_marked() -> None:
    """Tasks of an app whose data is too old are shown as such, and the app is named with the reason."""
    stale = app_view(app_id="old", data_available=False, up=False)
    view = ApiView([app_view(app_id="new"), stale, PENDING])
    view.put([entry("task-1")], app_id="new")
    view.put([entry("task-1")], app_id="old")
    answer = document(finished(tasks_page(view, TasksQuery())))
    assert [(task["app_id"], task["data_available"]) for task in answer["tasks"]] == [("new", True), ("old", False)]
    assert answer["apps_without_data"] == [
        {"account": "production", "app_id": "live-new", "reason": "the first sweep has not finished"},
        {"account": "production", "app_id": "old", "reason": "the last good data is older than 900 s"},
    ]


def test_apps_without_data_are_those_that_are_asked_for() -> None:
    """What is said of other apps is not part of the answer."""
    answer = document(finished(tasks_page(ApiView([PENDING]), TasksQuery(app_id="live-main"))))
    assert answer == {"tasks": [], "apps_without_data": [], "next_cursor": None}


_TASK_IDS = [f"task-{number}" for number in range(8)]
_SOME_TASKS = st.sets(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(_TASK_IDS)))


@given(st.integers(1, 5), st.lists(_SOME_TASKS, min_size=1, max_size=30))
def test_pages_show_every_lasting_task_once(limit: int, moments: list[set[tuple[str, str]]]) -> None:
    """Whatever comes and goes between two pages, following the cursor repeats no task and misses none that lasts."""
    view = ApiView([app_view(app_id="b"), app_view(app_id="a")])
    seen: list[Name] = []
    lasting: set[tuple[str, str]] | None = None
    cursor, moment = None, 0
    while cursor is not None or not moment:
        there = moments[moment % len(moments)]
        lasting = there if lasting is None else lasting & there
        view.entries = {}
        view.put([entry(task_id) for app_id, task_id in sorted(there, reverse=True) if app_id == "a"], app_id="a")
        view.put([entry(task_id) for app_id, task_id in there if app_id == "b"], app_id="b")
        query = read_tasks_query([("limit", str(limit)), *([("cursor", cursor)] if cursor else [])])
        page = document(finished(tasks_page(view, query)))
        assert len(page["tasks"]) <= limit
        seen += [(task["account"], task["app_id"], task["task_id"]) for task in page["tasks"]]
        cursor = page["next_cursor"]
        moment += 1
    assert seen == sorted(set(seen))
    assert lasting is not None
    assert {("production", *name) for name in lasting} <= set(seen)


@pytest.mark.parametrize("last", ORDER)
def test_a_cursor_survives_its_task(last: Name) -> None:
    """The next page begins behind the last task shown, also when that one or its app is gone meanwhile."""
    view = view_of_three_apps()
    rest = ORDER[ORDER.index(last) + 1 :]
    query = TasksQuery(after=last)
    assert names(view, query) == rest
    del view.entries[last[:2]][last[2]]
    assert names(view, query) == rest
    view.apps = [app for app in APPS if (app.status.account, app.status.app_id) != last[:2]]
    assert names(view, query) == [name for name in rest if name[:2] != last[:2]]


@cache
def view_of_many_tasks(step: int) -> ApiView:
    """Return a view of 100,000 tasks, in an order that `step` sets."""
    view = ApiView([app_view()])
    view.put(entry(f"task-{(number * step) % 100_000:06}") for number in range(100_000))
    return view


@pytest.mark.parametrize("after", [(), ("production", "live-main", "task-050000")])
@pytest.mark.parametrize("task_region", [None, "EMAA-Saudi"])
@pytest.mark.parametrize("step", [-1, 7919])
def test_a_page_of_many_tasks_holds_nobody_up(after: tuple[str, ...], task_region: str | None, step: int) -> None:
    """A page out of 100,000 tasks lets others run every few milliseconds, in whatever order the tasks came."""
    view = view_of_many_tasks(step)
    query = TasksQuery(limit=1000, after=after, task_region=task_region)
    shares, longest = [], []
    for _ in range(3):
        page, took = timed(tasks_page(view, query))
        shares.append(max(took) / sum(took))
        longest.append(max(took))
        assert len(took) > 12
        assert len(list(page.items)) == (0 if task_region == "EMAA-Saudi" else 1000)
    assert min(shares) < 0.4
    assert min(longest) < 0.1


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        (
            [("region", "x")],
            "unknown parameter 'region', expected one of account, app_id, task_region, mix_mode, rule,",
        ),
        ([("app_id", "a"), ("app_id", "a")], "app_id is given twice, expected once"),
        (
            [("task_region", "mars")],
            "task_region is 'mars', expected one of CN-Shanghai, AP-Singapore, EMAA-Saudi, other",
        ),
        ([("mix_mode", "1")], "mix_mode is '1', expected one of single, mixed, other"),
        ([("rule", "")], "rule is empty, expected a value"),
        ([("limit", "1001")], "limit is '1001', expected a whole number from 1 to 1000"),
        ([("cursor", "WyJhIl0")], "cursor is 'WyJhIl0', expected the next_cursor of an answer"),
    ],
)
def test_a_bad_parameter_is_refused(parameters: list[tuple[str, str]], complaint: str) -> None:
    """The refusal says which parameter, what it was and what was expected."""
    with pytest.raises(BadQueryError) as refused:
        read_tasks_query(parameters)
    assert str(refused.value).startswith(complaint)


@given(st.lists(st.tuples(st.sampled_from(["account", "limit", "cursor", "rule"]), st.text(max_size=40)), max_size=3))
def test_any_query_is_read_or_refused(parameters: list[tuple[str, str]]) -> None:
    """Nothing that somebody writes is anything but a query or a refusal."""
    query = None
    with suppress(BadQueryError):
        query = read_tasks_query(parameters)
    assert query is None or 1 <= query.limit <= 1000
