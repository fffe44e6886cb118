"""`/`: what a person learns from it."""

import pytest

from exporter.core.collection_state import State
from exporter.rules.rule import Severity
from exporter.web.view import BudgetView, FindingKind
from tests.web.fake_view import NOW, PENDING, FakeView, app_view, findings, rule
from tests.web.pages.page_view import page_of

TASKS = {("CN-Shanghai", "single"): 137, ("AP-Singapore", "single"): 3, ("CN-Shanghai", "mixed"): 39}
BUDGET = BudgetView(("production",), 40.0, 40.0, needed_rate=3.6, waiting=0)


async def test_the_page_says_how_many_apps_are_up_and_what_it_does_not_know() -> None:
    """The first figures say for how many apps the page speaks, and a note that the list is no stream health."""
    page = await page_of(FakeView([app_view(TASKS), PENDING]), "/")
    assert "1 of 2 apps up" in page.text
    assert "179 tasks in 1 of 2 apps" in page.text
    assert "not how streams are doing" in page.text


async def test_a_healthy_app_shows_counts_quota_ages_and_turns() -> None:
    """A row has the app, its people, tasks by mode over all regions against quota, ages, intervals and next turns."""
    view = FakeView()
    healthy = app_view(TASKS)
    view.apps = [type(healthy)(healthy.status, healthy.tasks, next_update=NOW + 7, next_sweep=NOW + 180)]
    page = await page_of(view, "/")
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


async def test_times_can_be_read_by_machines() -> None:
    """Each age carries the moment in UTC."""
    times = [time["datetime"] for time in (await page_of(FakeView([app_view(TASKS)]), "/")).all("time")]
    assert times == ["2027-01-15T07:59:57Z", "2027-01-15T07:58:00Z", "2027-01-15T08:00:00Z"]


async def test_what_is_unknown_is_a_dash_and_never_zero() -> None:
    """An app without data shows dashes for tasks, violations and ages, and its reason in words."""
    page = await page_of(FakeView([PENDING]), "/")
    assert "pending the first sweep has not finished" in page.text
    assert page.text.count("\N{EN DASH}") == 5
    assert not page.all("meter")
    assert "0 of 200" not in page.text
    assert "0 violations" not in page.text
    assert "none" not in page.text


async def test_withdrawn_tasks_are_called_withdrawn() -> None:
    """An app whose data grew too old says so and after how long."""
    view = FakeView([app_view(None, state=State.AUTH_ERROR, reason="the key is unknown", up=False)])
    assert "auth error the key is unknown Tasks withdrawn: older than 15 min." in (await page_of(view, "/")).text


async def test_violations_of_withdrawn_data_are_called_frozen() -> None:
    """What was found last stays, and is not taken for what is found now."""
    view = FakeView([app_view(None, state=State.TIMEOUT, up=False, data_available=False)])
    view.found = {FindingKind.VIOLATION: [findings({"a": NOW}, data_available=False)]}
    assert "1 warning frozen" in (await page_of(view, "/")).text


async def test_the_worst_app_stands_first() -> None:
    """Failing apps come before good ones, and the worse failure before the other."""
    names = {"b-throttled": State.THROTTLED, "a-fine": State.OK, "c-denied": State.AUTH_ERROR}
    apps = [app_view(TASKS, app_id=name, state=state, up=state is State.OK) for name, state in names.items()]
    page = await page_of(FakeView(apps), "/")
    assert [link for link in page.links if link.startswith("/apps/")] == [
        "/apps/production/c-denied",
        "/apps/production/b-throttled",
        "/apps/production/a-fine",
    ]


async def test_violations_are_counted_by_severity_and_linked() -> None:
    """The severest is first, for all apps and for each, and leads to what it counts."""
    view = FakeView([app_view(TASKS)])
    view.found = {
        FindingKind.VIOLATION: [
            findings({"a": NOW, "b": NOW}),
            findings({"a": NOW}, rule=rule("bad", severity=Severity.CRITICAL)),
        ]
    }
    page = await page_of(view, "/")
    assert "1 critical violation 2 warning violations" in page.text
    assert [link for link in page.links if "violations?" in link] == [
        "/violations?severity=critical",
        "/violations?severity=warning",
        "/violations?account=production&app_id=live-main&severity=critical",
        "/violations?account=production&app_id=live-main&severity=warning",
    ]


async def test_no_violation_is_said() -> None:
    """Nothing found is a figure, too, and says for how many apps it speaks."""
    assert "0 violations in 1 of 2 apps" in (await page_of(FakeView([app_view(TASKS), PENDING]), "/")).text


async def test_budgets_say_what_is_needed_and_what_is_allowed() -> None:
    """An account that was throttled shows what it is allowed now and what is configured."""
    view = FakeView([app_view(TASKS)])
    view.shown_budgets = [BUDGET, BudgetView(("one", "two"), 40.0, 12.5, needed_rate=30.0, waiting=7)]
    page = await page_of(view, "/")
    assert "production 3.6 requests/s 40 requests/s 0 requests" in page.text
    assert "one , two 30 requests/s 12.5 requests/s throttled: configured are 40 7 requests" in page.text


async def test_stretched_intervals_and_other_modes_are_said() -> None:
    """What is not as configured, and what counts against no quota, is mentioned where it is."""
    tasks = {("CN-Shanghai", "mixed"): 3, ("CN-Shanghai", "other"): 2}
    page = await page_of(FakeView([app_view(tasks, interval_stretch_ratio=2.5)]), "/")
    assert "stretched 2.5 times" in page.text
    assert "and 2 of another mode" in page.text


@pytest.mark.parametrize(("quota", "meters"), [(None, 0), (0, 0), (10, 1)])
async def test_without_a_quota_there_is_no_meter(quota: int | None, meters: int) -> None:
    """A quota of none or of nothing can't be used up."""
    view = FakeView([app_view({("CN-Shanghai", "mixed"): 3}, quota_single=None, quota_mixed=quota)])
    assert len((await page_of(view, "/")).all("meter")) == meters


async def test_no_app_is_said() -> None:
    """An empty configuration is no empty table."""
    assert "No app is configured." in (await page_of(FakeView(), "/")).text
