"""`/api/v1/apps`, and the search over all accounts, on its page and in the API."""

import gc
import time

import pytest

from exporter.core.collection_state import State
from exporter.rules.rule import Severity
from exporter.web.api.apps_api import search
from exporter.web.query import Query
from tests.support.virtual_time import finished, timed
from tests.web.api.api_view import json_of, page_of
from tests.web.fake_view import NOW, PENDING, Client, FakeView, app_view, client_of, entry, findings, rule
from tests.web.pages.page_view import page_of as shown_page_of


def test_counts_of_an_app_are_in_order() -> None:
    """Tasks are by region and mode, attempts by kind and outcome."""
    tasks = {("CN-Shanghai", "single"): 2, ("CN-Shanghai", "mixed"): 1, ("AP-Singapore", "mixed"): 0}
    attempts = {("update", State.OK): 40, ("sweep", State.TIMEOUT): 1, ("sweep", State.OK): 2}
    (app,) = page_of(FakeView([app_view(tasks, attempts=attempts)]), "apps")["apps"]
    assert [each["count"] for each in app["tasks"]] == [0, 1, 2]
    assert [each["count"] for each in app["attempts"]] == [2, 1, 40]


def test_what_is_unknown_is_null() -> None:
    """An app that was never read has null for tasks, times and sweep: no zero stands for not knowing."""
    (app,) = page_of(FakeView([PENDING]), "apps")["apps"]
    assert app["state"] == State.PENDING
    times = {f"last_{kind}_timestamp_seconds" for kind in ("update", "sweep", "attempt")}
    others = {"tasks", "violations", "sweep", "collected_by"}
    assert {key for key, value in app.items() if value is None} == times | others


async def test_violations_of_each_app_are_counted_by_severity(client: Client, view: FakeView) -> None:
    """Each app has its own counts, alone and in the list; frozen ones stay, and nothing known is null."""
    view.violations = [
        findings({"task-1": NOW, "task-2": NOW}),
        findings({"task-1": NOW}, rule=rule("b", severity=Severity.CRITICAL)),
        findings({"task-1": NOW}, app_id="live-stale", data_available=False),
    ]
    apps = (await json_of(client, "/api/v1/apps"))["apps"]
    assert {app["app_id"]: app["violations"] for app in apps} == {
        "live-main": {"critical": 1, "warning": 2, "info": 0},
        "live-stale": {"critical": 0, "warning": 1, "info": 0},
        "live-new": None,
    }
    assert [await json_of(client, f"/api/v1/apps/production/{app['app_id']}") for app in apps] == apps


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("app", ["bad", "big", "full", "live-new"]),
        ("-state", ["bad", "live-new", "big", "full"]),
        ("tasks", ["full", "big", "bad", "live-new"]),
        ("-tasks", ["big", "full", "bad", "live-new"]),
        ("quota_used", ["big", "full", "bad", "live-new"]),
        ("-quota_used", ["full", "big", "bad", "live-new"]),
        ("-violations", ["full", "big", "bad", "live-new"]),
        ("last_update", ["bad", "big", "full", "live-new"]),
        ("-last_update", ["big", "full", "bad", "live-new"]),
    ],
)
def test_apps_are_sorted(sort: str, expected: list[str]) -> None:
    """Each key has its order, apps without the value are last, equal ones are by name, also with `-`."""
    big = app_view({("CN-Shanghai", "single"): 90, ("CN-Shanghai", "mixed"): 9}, app_id="big")
    full = app_view({("CN-Shanghai", "mixed"): 39}, app_id="full")
    bad = app_view(app_id="bad", state=State.TIMEOUT, data_available=False, last_update_began=NOW - 90)
    view = FakeView([PENDING, full, bad, big])
    view.violations = [
        findings({"task-1": NOW, "task-2": NOW}, app_id="big"),
        findings({"task-1": NOW}, app_id="full", rule=rule("b", severity=Severity.CRITICAL)),
    ]
    assert [app["app_id"] for app in page_of(view, "apps", sort=sort)["apps"]] == expected


@pytest.mark.parametrize(("quota", "used"), [(None, None), (0, None), (4, 0.75)])
def test_what_has_no_quota_uses_none(quota: int | None, used: float | None) -> None:
    """An app without one is not one that uses nothing of it."""
    assert app_view({("CN-Shanghai", "mixed"): 3}, quota_single=None, quota_mixed=quota).used == used


def test_apps_are_in_the_order_of_the_configuration() -> None:
    """Without `sort` they are not sorted."""
    view = FakeView([app_view(app_id="b"), app_view(app_id="a")])
    assert [app["app_id"] for app in page_of(view, "apps")["apps"]] == ["b", "a"]


def view_of_two_accounts() -> FakeView:
    """Return a view of tasks whose names contain one another."""
    view = FakeView(
        [app_view(app_id="stage", name="Main"), app_view(account="staging", state=State.TIMEOUT, up=False), PENDING]
    )
    view.put([entry("abc-1", channel_id="one"), entry("xabc", channel_id="Stage")], app_id="stage")
    view.put([entry("ABC", channel_id="two")], account="staging")
    return view


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("abc", ["ABC", "abc-1", "xabc"]),
        ("STAGE", ["stage", "xabc", "live-new", "live-main"]),
        ("tw", ["ABC"]),
        ("main s", ["live-new", "live-main"]),
        ("live", ["live-new", "live-main"]),
        ("nope", []),
    ],
)
async def test_apps_tasks_and_channels_are_found_in_all_accounts(text: str, names: list[str]) -> None:
    """Equal names are first, then those that begin with the text; case is ignored; apps come before tasks."""
    view = view_of_two_accounts()
    async with client_of(view) as client:
        answer = await json_of(client, f"/api/v1/search?text={text}")
    assert [one["task_id"] or one["app_id"] for one in answer["results"]] == names
    assert answer["matching"] == len(names)
    page = await shown_page_of(view, "/search", {"text": text})
    links = [link.split("/")[-1] for link in page.links if link.startswith("/apps/")]
    assert [name for name in names if name not in links] == []


@pytest.mark.parametrize(("text", "words"), [("", "Enter a part of"), ("nope", "No task, channel or app is like that")])
async def test_no_result_is_said(text: str, words: str) -> None:
    """The box keeps what was searched for."""
    page = await shown_page_of(view_of_two_accounts(), "/search", {"text": text})
    assert words in page.text
    assert [one["value"] for one in page.all("input") if one.get("name") == "text"] == [text]


@pytest.mark.parametrize(("text", "matching"), [("4e1f", 1), ("0", 20_048)])
def test_20_000_tasks_are_searched_within_100_ms(text: str, matching: int) -> None:
    """Whether one matches or all do, it takes 100 ms of processor time in slices, between which the event loop runs."""
    view = FakeView([app_view(app_id=f"app-{number}") for number in range(300)])
    for number in range(20_000):
        view.put([entry(f"{number:032x}")], app_id=f"app-{number % 300}")

    def seconds() -> float:
        began = time.process_time()
        found, slices = timed(search(view, Query(text=text)))
        assert found.matching == matching
        assert len(slices) >= 10
        return time.process_time() - began

    assert any(seconds() < 0.1 for _ in range(10))


def test_results_cost_no_garbage_collection() -> None:
    """The collector does not track them: 20,000 at a time would make it stop the event loop for 40 ms."""
    found = finished(search(view_of_two_accounts(), Query(text="abc")))
    hits = finished(found.rows(0, 3))
    assert [gc.is_tracked(hit) for hit in hits] == [False] * 3
