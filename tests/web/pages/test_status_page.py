"""`/`: what a person learns from it."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from exporter.core.collection_state import State
from exporter.rules.rule import Severity
from exporter.web.pages.app_pages import APPS_PARAMETERS, shown_status
from exporter.web.query import read_form
from exporter.web.view import AppView, BudgetView, FindingsView, Trend
from tests.web.fake_view import NOW, PENDING, FakeView, app_view, findings, rule
from tests.web.pages.page_view import page_of

TASKS = {("CN-Shanghai", "single"): 137, ("AP-Singapore", "single"): 3, ("CN-Shanghai", "mixed"): 39}
WITHDRAWN = app_view(None, state=State.TIMEOUT, reason="it took 10 s", up=False, data_available=False)
BUDGETS = (BudgetView(("production",), 40.0, 40.0, 3.6, 0), BudgetView(("one", "two"), 40.0, 12.5, 30.0, 7))


def view_of(*apps: AppView, violations: Sequence[FindingsView] = (), budgets: Sequence[BudgetView] = ()) -> FakeView:
    """Return a view of apps."""
    view = FakeView(apps)
    view.violations, view.shown_budgets = violations, budgets
    return view


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (view_of(), ["No app is configured."]),
        (
            view_of(app_view(TASKS), PENDING),
            ["1 of 2 apps up", "179 tasks in 1 of 2 apps", "0 violations in 1 of 2 apps", "not how streams are doing"],
        ),
        (
            view_of(WITHDRAWN, violations=[findings({"a": NOW}, data_available=False)]),
            ["timeout it took 10 s Tasks withdrawn: older than 15 min.", "1 warning frozen"],
        ),
        (
            view_of(app_view({("CN-Shanghai", "mixed"): 3, ("CN-Shanghai", "other"): 2}, interval_stretch_ratio=2.5)),
            ["stretched 2.5 times", "and 2 of another mode"],
        ),
        (
            view_of(app_view(TASKS), budgets=BUDGETS),
            [
                "production 3.6 requests/s 40 requests/s 0 requests",
                "one , two 30 requests/s 12.5 requests/s throttled: configured are 40 7 requests",
            ],
        ),
    ],
    ids=["no app", "one not read yet", "withdrawn", "stretched", "budgets"],
)
async def test_the_page_says_what_it_knows_and_of_how_many_apps(view: FakeView, said: list[str]) -> None:
    """Figures say for how many apps they speak, old data is called withdrawn, and what is unusual is mentioned."""
    page = await page_of(view, "/")
    assert [words for words in said if words not in page.text] == []


@pytest.mark.parametrize(
    ("count", "quota", "meters", "said"),
    [
        (3, None, 0, []),
        (3, 0, 0, []),
        (35, 40, 1, []),
        (36, 40, 1, ["1 quota nearly used live-main 36 of 40 mixed", "36 of 40 90 % used"]),
    ],
)
async def test_quotas_nearly_used_are_a_headline(count: int, quota: int | None, meters: int, said: list[str]) -> None:
    """From 90 % on, in words above and beside the bar; a quota of none or of nothing can't be used up."""
    view = view_of(app_view({("CN-Shanghai", "mixed"): count}, quota_single=None, quota_mixed=quota))
    page = await page_of(view, "/")
    assert len(page.all("meter")) == meters
    assert [words for words in said if words not in page.text] == []
    assert ("used" in page.text) is bool(said)


async def test_a_healthy_app_shows_counts_quota_ages_and_turns() -> None:
    """A row has the app, its people, tasks by mode over all regions against quota, ages, intervals and next turns."""
    app = app_view(TASKS | {("CN-Shanghai", "other"): 0})
    page = await page_of(FakeView([replace(app, next_update=NOW + 7, next_sweep=NOW + 180)]), "/")
    assert "another mode" not in page.text
    for words in (
        "live-main Main stage",
        "production , live-ops",
        "140 of 200",
        "39 of 40",
        "3 s ago every 10 s, next in 7 s",
        "2 min ago every 5 min, next in 3 min",
    ):
        assert words in page.text
    assert [(meter["value"], meter["max"]) for meter in page.all("meter")] == [("140", "200"), ("39", "40")]
    assert "/apps/production/live-main" in page.links
    ends = ("07:59:57", "08:00:07", "07:58:00", "08:03:00", "08:00:00")  # moments in UTC, for machines
    assert [time["datetime"] for time in page.all("time")] == [f"2027-01-15T{end}Z" for end in ends]


async def test_apps_of_other_exporters_link_to_them() -> None:
    """They are a list of their own and not among the figures; their page says who collects them."""
    address = "http://10.0.0.7:10678"
    other = AppView(replace(PENDING.status, reason=f"collected by another exporter: {address}"), None)
    view = FakeView([app_view(TASKS), replace(other, collected_by=address)])
    page = await page_of(view, "/")
    assert "1 of 1 apps up" in page.text
    assert address in page.links
    assert "/apps/production/live-new" not in page.links
    view.tasks = lambda account, app_id: None  # type: ignore[method-assign]  # noqa: ARG005
    own_page = await page_of(view, "/apps/production/live-new")
    assert (own_page.status, address in own_page.links) == (404, True)


async def test_what_is_unknown_is_a_dash_and_never_zero() -> None:
    """An app without data shows dashes for tasks, violations and ages, and its reason in words."""
    page = await page_of(FakeView([replace(PENDING, next_update=NOW + 7)]), "/")
    assert "pending the first sweep has not finished" in page.text
    assert page.text.count("\N{EN DASH}") == 6  # one of them in the number of rows
    assert not page.all("meter")
    assert "0 of 200" not in page.text
    assert not [words for words in ("0 violations", "none", "withdrawn", "next in") if words in page.text]


def view_of_four_apps() -> FakeView:
    """Return a view of two failing apps, one that has nearly used its quota, and one with violations."""
    mixed = ("CN-Shanghai", "mixed")
    view = FakeView(
        [
            app_view({mixed: 5}, app_id="b-throttled", state=State.THROTTLED, up=False, owner="events"),
            app_view({mixed: 10}, app_id="a-violating", last_update_began=NOW - 5),
            app_view({mixed: 36}, app_id="d-full", last_update_began=NOW - 9),
            app_view(None, app_id="c-denied", state=State.AUTH_ERROR, up=False, data_available=False),
        ]
    )
    view.violations = [findings({"t": NOW}, app_id="a-violating", rule=rule(severity=Severity.CRITICAL))]
    return view


@pytest.mark.parametrize(
    ("parameters", "app_ids"),
    [
        ({}, "cbda"),
        ({"text": "DENIED"}, "c"),
        ({"text": "events"}, "b"),
        ({"owner": "live-ops"}, "cda"),
        ({"state": "throttled"}, "b"),
        ({"severity": "critical"}, "a"),
        ({"severity": "info"}, ""),
        ({"sort": "app"}, "abcd"),
        ({"sort": "app", "order": "desc"}, "dcba"),
        ({"sort": "state"}, "cbad"),
        ({"sort": "mixed"}, "dabc"),
        ({"sort": "mixed", "order": "desc"}, "badc"),
        ({"sort": "violations"}, "abdc"),
        ({"sort": "updated"}, "dabc"),
    ],
)
async def test_apps_are_filtered_and_sorted(parameters: dict[str, str], app_ids: str) -> None:
    """Failures, quotas nearly used and violations are first without a choice; unknown values are last in any order."""
    view = view_of_four_apps()
    shown = (await shown_status(view, read_form(parameters, APPS_PARAMETERS), NOW))[1]["page"].rows
    assert "".join(row.status.app_id[0] for row in shown) == app_ids


async def test_a_filter_that_nothing_matches_is_said_and_kept() -> None:
    """The figures are of all apps, whatever is filtered."""
    page = await page_of(view_of_four_apps(), "/", {"text": "nope", "owner": "nobody", "sort": "state"})
    assert "No app is like that." in page.text
    assert "2 of 4 apps up" in page.text
    assert {"value": "nobody", "selected": None} in page.all("option")
    assert {"type": "hidden", "name": "sort", "value": "state"} in page.all("input")


@pytest.mark.parametrize("path", ["/", "/apps/production/live-main"])
async def test_an_app_that_was_swept_is_up_to_date(path: str) -> None:
    """Before the first update, it was updated when its sweep began."""
    view = FakeView([app_view(TASKS, last_update_began=None, last_sweep_began=NOW - 3)])
    assert "Updated 3 s ago every 10 s" in (await page_of(view, path)).text or path == "/"
    assert "not yet" not in (await page_of(view, path)).text


@pytest.mark.parametrize("path", ["/", "/apps/production/live-main"])
async def test_the_last_hours_are_drawn(path: str) -> None:
    """Small charts of tasks and violations, in words too, once there are two samples."""
    view = FakeView([app_view(TASKS)])
    assert "svg" not in (await page_of(view, path)).html
    view.trends = {
        key: Trend(60.0, [150, 160, None, 179], [2, 9, 4, 4]) for key in [("", ""), ("production", "live-main")]
    }
    page = await page_of(view, path)
    assert [svg["aria-label"] for svg in page.all("svg")] == [
        "from 150 to 179, between 150 and 179",
        "from 2 to 4, between 2 and 9",
    ]
    assert "2\N{EN DASH}9 in 4 min" in page.text


async def test_many_apps_are_on_pages() -> None:
    """The table has 50 apps; links lead to the rest with the same filter."""
    view = FakeView([app_view(TASKS, app_id=f"app-{number:03}") for number in range(120)])
    page = await page_of(view, "/", {"text": "app", "sort": "app", "page": "3"})
    assert "101\N{EN DASH}120 of 120 apps" in page.text
    assert "/?text=app&sort=app&page=2" in page.links


async def test_violations_are_counted_by_severity_and_linked() -> None:
    """The severest is first, for all apps and for each, and leads to what it counts."""
    bad = rule("bad", severity=Severity.CRITICAL)
    groups = [findings({"a": NOW, "b": NOW}), findings({"a": NOW}, rule=bad)]
    view = view_of(app_view(TASKS), violations=groups)
    page = await page_of(view, "/")
    assert "1 critical violation 2 warning violations" in page.text
    assert [link for link in page.links if "violations?" in link] == [
        "/violations?severity=critical",
        "/violations?severity=warning",
        "/violations?account=production&app_id=live-main&severity=critical",
        "/violations?account=production&app_id=live-main&severity=warning",
    ]
