"""`/api/v1/apps`."""

import pytest

from exporter.core.collection_state import State
from exporter.rules.rule import Severity
from exporter.web.view import FindingKind
from tests.web.api.api_view import Client, json_of, page_of
from tests.web.fake_view import NOW, PENDING, FakeView, app_view, findings, rule


def test_an_app_is_shown_with_all_that_is_known() -> None:
    """The document has status, tasks, quota, times, effective intervals, attempts and facts of the last sweep."""
    tasks = {("CN-Shanghai", "single"): 2, ("AP-Singapore", "mixed"): 0}
    assert page_of(FakeView([app_view(tasks, quota_mixed=None)]), "apps") == {
        "apps": [
            {
                "account": "production",
                "app_id": "live-main",
                "name": "Main stage",
                "owner": "live-ops",
                "up": True,
                "state": "ok",
                "reason": "",
                "data_available": True,
                "quota": {"single": 200, "mixed": None},
                "tasks": [
                    {"task_region": "AP-Singapore", "mix_mode": "mixed", "count": 0},
                    {"task_region": "CN-Shanghai", "mix_mode": "single", "count": 2},
                ],
                "violations": {"critical": 0, "warning": 0, "info": 0},
                "last_update_timestamp_seconds": NOW - 3,
                "last_sweep_timestamp_seconds": NOW - 120,
                "last_attempt_timestamp_seconds": NOW - 3,
                "interval_seconds": 10.0,
                "sweep_interval_seconds": 300.0,
                "stale_after_seconds": 900.0,
                "interval_stretch_ratio": 1.0,
                "attempts": [
                    {"kind": "sweep", "outcome": "ok", "count": 2},
                    {"kind": "update", "outcome": "ok", "count": 40},
                ],
                "sweep": {
                    "duration_seconds": 1.5,
                    "requests": 3,
                    "repaired_tasks": 0,
                    "duplicate_rows": 1,
                    "rows_without_task_id": 0,
                },
                "collected_by": None,
            }
        ]
    }


def test_what_is_unknown_is_null() -> None:
    """An app that was never read has null for tasks, times and sweep: no zero stands for not knowing."""
    (app,) = page_of(FakeView([PENDING]), "apps")["apps"]
    assert app["state"] == State.PENDING
    times = {f"last_{kind}_timestamp_seconds" for kind in ("update", "sweep", "attempt")}
    assert {key for key, value in app.items() if value is None} == {
        *times,
        "tasks",
        "violations",
        "sweep",
        "collected_by",
    }


async def test_violations_of_each_app_are_counted_by_severity(client: Client, view: FakeView) -> None:
    """Each app has its own counts, alone and in the list; frozen ones stay, and nothing known is null."""
    view.found[FindingKind.VIOLATION] = [
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


async def test_an_unknown_app_is_a_404(client: Client) -> None:
    """The refusal says what is not configured."""
    answer = await client.get("/api/v1/apps/production/nope")
    assert answer.status == 404
    assert await answer.json() == {"error": "no app 'nope' is configured in account 'production'"}


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("app", ["bad", "big", "full", "live-new"]),
        ("-state", ["bad", "live-new", "big", "full"]),
        ("tasks", ["full", "big", "bad", "live-new"]),
        ("-tasks", ["big", "full", "bad", "live-new"]),
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
    view.found[FindingKind.VIOLATION] = [
        findings({"task-1": NOW, "task-2": NOW}, app_id="big"),
        findings({"task-1": NOW}, app_id="full", rule=rule("b", severity=Severity.CRITICAL)),
    ]
    assert [app["app_id"] for app in page_of(view, "apps", sort=sort)["apps"]] == expected


def test_apps_are_in_the_order_of_the_configuration() -> None:
    """Without `sort` they are not sorted."""
    view = FakeView([app_view(app_id="b"), app_view(app_id="a")])
    assert [app["app_id"] for app in page_of(view, "apps")["apps"]] == ["b", "a"]
