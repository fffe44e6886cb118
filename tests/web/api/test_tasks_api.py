"""`/api/v1/tasks` and `/api/v1/changes`: which of them a query gets, in which pages, and what is said of each."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.task import Configuration, Encoding, Output, Pane
from exporter.rules.rule import Outcome
from exporter.rules.vocabulary import TaskFacts
from exporter.web.api.tasks_api import MOST_PARTS, all_tasks, task_document, task_with_findings_document
from exporter.web.lists import AT_ONCE
from exporter.web.query import Query
from exporter.web.responses import json_text
from exporter.web.view import FindingDetail, RuleView, TaskFinding, TaskView
from tests.metrics.builders import configuration, configurations, encoding, push
from tests.support.virtual_time import timed
from tests.web.api.api_view import document, followed, page_of
from tests.web.fake_view import NOW, PENDING, FakeView, app_view, entry, findings, push_key, recorded, rule, status

Name = tuple[str, str, str]
T = 1_800_000_000

APPS = [app_view(app_id="b"), app_view(app_id="a"), app_view(account="another", app_id="z")]


CODECS = (("H.264", 1500), ("H.265", 3000), ("H.264", None))
VIDEOS = [encoding(codec=codec, bitrate_kbps=kbps) for codec, kbps in CODECS]


def pushing(*hosts: str, of: Encoding | None, **changes: Any) -> Configuration:
    """Return a configuration that pushes to hosts."""
    outputs = tuple(Output("rtmp", host, is_ali_cdn=None, has_userinfo=False) for host in hosts)
    return configuration(outputs=outputs, encoding=of, **changes)


def view_of_three_apps() -> FakeView:
    """Return a view whose apps and tasks are in no order; one of the tasks has no video."""
    view = FakeView(APPS)
    for app in APPS:
        third = None if app.status.app_id == "z" else VIDEOS[2]
        tasks = [
            entry("task-3", pushing("x.example", "b.example", of=third, region="EMAA-Saudi")),
            entry("task-1", pushing("a.example", of=VIDEOS[0], mix_mode="single", region=None)),
            entry("task-2", pushing("b.example", "a.example", of=VIDEOS[1])),
        ]
        view.put(tasks, app.status.account, app.status.app_id)
    view.push_keys = {
        "task-1": (push_key("expired", 1_700_000_000),),
        "task-2": (push_key("unsigned", None), push_key("expired", 1)),
        "task-3": (push_key("valid", 2_000_000_000),),
    }
    view.shown_rules = [RuleView(rule("loud")), RuleView(rule("bare"))]
    view.violations = [
        findings({"task-3": NOW, "task-1": NOW}, app_id="a", rule=rule("loud")),
        findings({"task-3": NOW, "gone": NOW}, app_id="b", rule=rule("loud")),
        findings({"task-3": NOW}, app_id="b", rule=rule("bare")),
    ]
    return view


ORDER = [
    (account, app_id, f"task-{number}")
    for account, app_id in [("another", "z"), ("production", "a"), ("production", "b")]
    for number in (1, 2, 3)
]


def names(tasks: Iterable[Mapping[str, Any]]) -> list[Name]:
    """Return what tasks are called."""
    return [(task["account"], task["app_id"], task["task_id"]) for task in tasks]


def test_a_task_names_the_rules_that_it_violates() -> None:
    """Rules stand by name; those that other tasks or other apps violate do not."""
    tasks = page_of(view_of_three_apps(), "tasks", account="production")["tasks"]
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
        ({"app_id": "a"}, 3),
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
        ({"push_auth": "expired"}, 6),
        ({"push_auth": "valid", "app_id": "a"}, 1),
        ({"push_auth": "malformed"}, 0),
        ({"limit": "4"}, 4),
        ({"host": "B.example"}, 6),
        ({"host": "example"}, 0),
        ({"codec": "H.264"}, 5),
        ({"min_video_bitrate_kbps": "0"}, 6),
        ({"min_video_bitrate_kbps": "1500"}, 6),
        ({"min_video_bitrate_kbps": "1501", "max_video_bitrate_kbps": "3000"}, 3),
        ({"max_video_bitrate_kbps": "2999"}, 3),
    ],
)
def test_parameters_narrow_down(parameters: dict[str, Any], expected: int) -> None:
    """Each parameter leaves what fits it, several leave what fits all, by account, AppId and TaskId.

    A task without a value is left out by a range.
    """
    found = names(page_of(view_of_three_apps(), "tasks", **parameters)["tasks"])
    assert found == [name for name in ORDER if name in found]
    assert len(found) == expected


def test_old_data_is_marked() -> None:
    """Tasks of an app whose data is too old are shown as such, and the app is named with the reason."""
    stale = app_view(app_id="old", data_available=False, up=False)
    view = FakeView([app_view(app_id="new"), stale, PENDING])
    view.put([entry("task-1")], app_id="new")
    view.put([entry("task-1")], app_id="old")
    answer = page_of(view, "tasks")
    assert [(task["app_id"], task["data_available"]) for task in answer["tasks"]] == [("new", True), ("old", False)]
    assert answer["apps_without_data"] == [
        {"account": "production", "app_id": "live-new", "reason": "the first sweep has not finished"},
        {"account": "production", "app_id": "old", "reason": "the last good data is older than 900 s"},
    ]
    assert page_of(view, "tasks", app_id="new")["apps_without_data"] == [], "of another app"


_TASK_IDS = [f"task-{number}" for number in range(8)]
_SOME_TASKS = st.sets(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(_TASK_IDS)))


@given(st.integers(1, 5), st.lists(_SOME_TASKS, min_size=1, max_size=30))
def test_pages_show_every_lasting_task_once(limit: int, moments: list[set[tuple[str, str]]]) -> None:
    """Whatever comes and goes between two pages, following the cursor repeats no task and misses none that lasts."""
    view = FakeView([app_view(app_id="b"), app_view(app_id="a")])
    lasting = set(moments[0])
    turn = 0

    def change(_page: object) -> None:
        nonlocal turn
        there = moments[turn % len(moments)]
        lasting.intersection_update(there)
        view.entries = {}
        for app_id, task_id in sorted(there, reverse=True):
            view.put([entry(task_id)], app_id=app_id)
        turn += 1

    change(None)
    seen = names(followed(view, "tasks", change, limit=limit))
    assert seen == sorted(set(seen))
    assert {("production", *name) for name in lasting} <= set(seen)


@pytest.mark.parametrize("limit", [1, 2, 4, 9])
@pytest.mark.parametrize(
    ("sort", "order"), [("push_expires", "231"), ("video_bitrate", "123"), ("-video_bitrate", "213")]
)
def test_tasks_are_sorted_over_all_apps(sort: str, order: str, limit: int) -> None:
    """The least or greatest is first, tasks without the value are last, and pages show each task once."""
    view = view_of_three_apps()
    del view.push_keys["task-1"]

    def end_the_last(page: Mapping[str, Any]) -> None:
        _, app_id, task_id = names(page["tasks"])[-1]
        view.entries["production", "a"].pop(task_id if app_id == "a" else "", None)

    found = names(followed(view, "tasks", end_the_last, sort=sort, limit=limit))
    assert found == [name for number in order for name in ORDER if name[2] == f"task-{number}"]


def test_tasks_of_many_apps_are_put_in_order_one_app_after_the_other() -> None:
    """Others run after each app, and of all together no more tasks are kept than a page shows, and the next one."""
    listing, slices = timed(all_tasks(view_of_three_apps(), Query(sort="-video_bitrate", limit=1), NOW))
    assert len(list(listing.rows)) == 2
    assert len(slices) == 1 + len(APPS)


def test_a_page_of_many_tasks_lets_others_run() -> None:
    """A page out of 10,000 tasks is found in slices, and is the first in order."""
    view = FakeView([app_view()])
    view.put(entry(f"task-{number * 7919 % 10_000:06}") for number in range(10_000))
    listing, slices = timed(all_tasks(view, Query(limit=1000, after=("production", "live-main", "task-005000")), NOW))
    assert [task["task_id"] for task in document(listing)["tasks"]] == [
        f"task-{number:06}" for number in range(5001, 6001)
    ]
    assert len(slices) >= 10_000 // AT_ONCE
    assert len(page_of(view, "tasks")["tasks"]) == 100, "without a limit"


def test_keys_of_outputs_are_shown_as_they_are_now() -> None:
    """Each output has the state and expiry of its key, the task the earliest expiry."""
    of = configuration(outputs=(push(), push()))
    keys = (push_key("valid", 1_900_000_000), push_key("expired", T, expired_at_start=True))
    shown = json.loads(json_text(task_document(status(), entry("task-1", of), [], keys)))["configuration"]
    assert [
        (output["signer"], output["push_auth"], output["push_expires"], output["expired_at_start"])
        for output in shown["outputs"]
    ] == [
        ("tencent", "valid", "2030-03-17T17:46:40Z", False),
        ("tencent", "expired", "2027-01-15T08:00:00Z", True),
    ]
    assert shown["push_expires"] == "2027-01-15T08:00:00Z"


@given(configurations)
def test_a_configuration_is_always_complete(configured: Configuration) -> None:
    """Every field of the vocabulary is there, null where nothing is known, whatever is configured."""
    shown = task_document(status(), entry("task-1", configured), []).configuration
    assert json.loads(json_text(msgspec.to_builtins(shown))).keys() == set(TaskFacts.__struct_fields__)
    assert shown.region == configured.region
    assert shown.mix_mode == configured.mix_mode
    assert shown.video.bitrate_kbps == (configured.encoding.video.bitrate_kbps if configured.encoding else None)


def test_a_task_of_very_many_parts_is_cut() -> None:
    """What is left out is counted, and the numbers that follow from all parts stay."""
    pane = Pane(0.0, 0.0, 0.1, 0.1, 1, None, None, has_background_image=False)
    output = Output("rtmp", "push.example.com", is_ali_cdn=None, has_userinfo=False)
    many = configuration(panes=(pane,) * 103, outputs=(output,) * 102, user_streams=((None, None),) * 101, users=101)
    shown = task_document(status(), entry("task-1", many), [])
    assert msgspec.to_builtins(shown.omitted) == {"outputs": 2, "panes": 3, "user_streams": 1}
    assert len(shown.configuration.panes) == MOST_PARTS
    assert (shown.configuration.pane_count, shown.configuration.users) == (103, 101)


def test_a_single_task_has_all_findings() -> None:
    """Each rule that it was evaluated by says what has come of it; those that it violates are named once more."""
    findings = (
        TaskFinding(rule("passed"), Outcome.PASS, None, FindingDetail()),
        TaskFinding(rule("violated"), Outcome.VIOLATION, NOW, FindingDetail(message="too much")),
        TaskFinding(rule("odd"), Outcome.ERROR, None, FindingDetail(reason="no gop here")),
    )
    shown = task_with_findings_document(TaskView(status(), entry("task-1"), findings))
    assert shown.violations == ["violated"]
    assert [(one.rule, one.outcome, one.since) for one in shown.findings] == [
        ("passed", "pass", None),
        ("violated", "violation", NOW),
        ("odd", "error", None),
    ]
    assert shown.findings[1].message == "too much"
    assert shown.findings[2].reason == "no gop here"


def view_of_changes(first: int = 1, last: int = 50) -> FakeView:
    """Return a view of numbered changes of two apps and three tasks."""
    view = FakeView([app_view(app_id="app-0"), app_view(app_id="app-1"), app_view(account="another")])
    view.recorded = [
        recorded(number, app_id=f"app-{number % 2}", task_id=f"task-{number % 3}") for number in range(first, last + 1)
    ]
    return view


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
def test_changes_are_narrowed_down(parameters: dict[str, str], expected: int) -> None:
    """Each parameter leaves what fits it, several leave what fits all, newest first; all since an hour are known."""
    view = view_of_changes()
    view.recorded.insert(0, recorded(0, app_id="removed"))
    page = page_of(view, "changes", **parameters)
    assert page["remembered_since"] == NOW - 3600
    found = [change["number"] for change in page["changes"]]
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
