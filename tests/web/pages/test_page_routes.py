"""The pages over real HTTP: what holds for all of them, the reading on demand, changes, and the timeline of a task."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace
from yarl import URL

from exporter.collector.past import FieldChange, History, HistoryError, HistoryFilter, PastViolation, RecordedChange
from exporter.collector.status import Difference, RequestReport, Sweep, SweepReport
from exporter.core.collection_state import State
from exporter.core.task import Pane
from exporter.rules.rule import Exemption, Outcome
from exporter.web.api import ENDPOINTS
from exporter.web.view import FindingDetail, FindingKind, RuleView, SweepStart, TaskFinding
from tests.metrics.builders import encoding
from tests.support.virtual_time import SetClock
from tests.web.fake_view import FULL, NOW, Client, FakeView, app_view, client_of, entry, findings, recorded, rule
from tests.web.pages.page_view import Page, page_of

APP = "/apps/production/live-main"
COLLECT = f"{APP}/collect"
PATHS = ("/", APP, f"{APP}/tasks/t-1", COLLECT, "/violations", "/changes", "/rules", "/search?text=t", "/families")
HOSTILE = "</script><img src=x onerror=alert(1)>\"'`&{{7*191}}\u202e\x00\n\ud800"
"""Text that would be dangerous if it were taken for anything but text."""

OK = RequestReport(1, "page 1 of 100 rows: 1 to 100", 1, 0.0, 0.01, 0.2, 100, State.OK)
THROTTLED = RequestReport(2, "page 2 of 96 rows: 97 to 192", 2, 0.3, 1.5, 0.05, None, State.THROTTLED, "too many")
UNDER_WAY = RequestReport(3, "page 3 of 94 rows: 189 to 282", 1, 0.5, 0.0, None, None, None)
ENDED = SweepReport(
    "production",
    "live-main",
    began=NOW - 5,
    seconds=1.7,
    requests=(OK, THROTTLED),
    requests_sent=1200,
    ended=True,
    state=State.OK,
    tasks=180,
    sweep=Sweep(NOW - 5, 1.7, 1200, repaired_tasks=2, duplicate_rows=3, rows_without_task_id=0),
    difference=Difference(only_read=1, only_known=0, changed=4),
)
RUNNING = SweepReport("production", "live-main", NOW, 0.6, (OK, UNDER_WAY), 2, ended=False, state=State.PENDING)


@pytest.fixture
def view() -> FakeView:
    """What is shown: one app with one task."""
    view = FakeView([app_view({("CN-Shanghai", "mixed"): 1})])
    view.put([entry("t-1")])
    return view


async def test_pages_load_nothing_but_our_own_style_and_script(client: Client, subtests: pytest.Subtests) -> None:
    """No page has a style, a script or a handler of its own, or a resource from elsewhere."""
    for path in PATHS:
        with subtests.test(path):
            answer = await client.get(path)
            assert (answer.status, answer.content_type, answer.charset) == (200, "text/html", "utf-8")
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            page = Page(await answer.text())
            resources = [link["href"] for link in page.all("link")], [script["src"] for script in page.all("script")]
            assert resources == (["/static/style.css"], ["/static/pages.js"])
            assert not page.all("style")
            for _, attributes in page.elements:
                assert not [name for name in attributes if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("path", [APP, "/violations", "/rules"])
async def test_a_query_that_can_t_be_answered_is_a_page(client: Client, view: FakeView, path: str) -> None:
    """It is 400, says what was expected, and leads to the page without filters."""
    parameter = {"sort": "<b>"} if path == APP else {"severity": "<b>"}
    answer = await client.get(path, params=parameter)
    page = Page(await answer.text(), answer.status)
    assert (page.status, page.all("b")) == (400, [])
    assert "is '<b>', expected one of" in page.text
    assert path in page.links
    assert view.finished[-1][1] == 400


async def test_a_query_about_an_odd_name_leads_back_to_it(client: Client, view: FakeView) -> None:
    """The page of an error links to the same app without filters, whatever is in its name."""
    view.apps = [app_view(account="x y", app_id="a/b?c%2F")]
    path = "/apps/x%20y/a%2Fb%3Fc%252F"
    page = Page(await (await client.get(URL(f"{path}?sort=odd", encoded=True))).text())
    assert path in page.links
    assert (await client.get(URL(path, encoded=True))).status == 200


@pytest.mark.parametrize(
    ("path", "status", "words", "content_type"),
    [
        ("/config", 200, "Configuration In force now", "text/plain"),
        ("/api/v1/", 200, "GET /api/v1/apps/{account}/{app_id} State of one app", "application/json"),
        ("/nothing", 404, "Not Found: GET /nothing", "text/plain"),
    ],
)
async def test_browsers_get_a_page_where_scripts_get_text(
    client: Client, path: str, status: int, words: str, content_type: str
) -> None:
    """With navigation and search, if Accept names HTML; others and the API get what no browser takes for HTML."""
    answer = await client.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    page = Page(await answer.text(), answer.status)
    assert (answer.status, answer.content_type) == (status, "text/html")
    assert words in page.text
    assert "/violations" in page.links
    assert "/search" in [form["action"] for form in page.all("form") if form.get("aria-label") == "Everything"]
    for accept in ("*/*", "text/*", "text/html;q=0, */*"):
        answer = await client.get(path, headers={"Accept": accept})
        assert (answer.status, answer.content_type) == (status, content_type)
    answer = await client.get("/metrics", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.content_type == "text/plain"
    answer = await client.get("/api/v2/<script>", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (answer.status, answer.content_type) == (404, "application/json")
    assert await answer.text() == '{"error": "Not Found: GET /api/v2/<script>"}\n'
    answer = await client.get("/<script>")
    assert (answer.content_type, await answer.text()) == ("text/plain", "Not Found: GET /<script>\n")


async def test_the_api_page_has_an_example_of_each_path(client: Client) -> None:
    """A link to data that exists, and a response."""
    answer = await client.get("/api/v1/", headers={"Accept": "text/html"})
    page = Page(await answer.text())
    tried = [link for link in page.links if link.startswith("/api/v1/") and link != "/api/v1/"]
    assert "/api/v1/tasks/production/live-main/t-1" in tried
    assert len({*tried}) == len(ENDPOINTS)
    for link in tried:
        assert (await client.get(link)).status == 200
    assert len(page.all("pre")) == len([one for one in ENDPOINTS if one.answer])


@pytest.mark.parametrize("has_tasks", [True, False])
async def test_the_page_of_metrics_lists_all_families(client: Client, view: FakeView, *, has_tasks: bool) -> None:
    """With names, labels and meanings, and links to what is scraped, or how to have what is off."""
    view.task_chunks = (b"",) if has_tasks else None
    page = Page(await (await client.get("/families")).text())
    assert "rtcmpu_task_quota gauge account, app_id, mix_mode" in page.text
    assert "/metrics" in page.links
    assert ("/metrics/tasks" in page.links) is has_tasks
    assert ("metrics: {per_task: {enabled: true}}" in page.text) is not has_tasks


def hostile(value: Any) -> Any:
    """Return a value in which each text is hostile."""
    if type(value) is str:
        return HOSTILE
    if isinstance(value, tuple):
        return tuple(map(hostile, value))
    if isinstance(value, Struct):
        return replace(value, **{name: hostile(getattr(value, name)) for name in value.__struct_fields__})
    return value


def hostile_view() -> FakeView:
    """Return a view with hostile text wherever text can be, and odd numbers."""
    exempt = (Exemption(name="e", tasks=("t",), reason="r"),)
    hostile_rule = hostile(rule(when="w", message="m", reason="r", remedy="r", source="s", apps=("a",), exempt=exempt))
    detail = FindingDetail(HOSTILE, HOSTILE, HOSTILE)
    of = replace(
        hostile(FULL),
        encoding=encoding(codec=HOSTILE, profile=HOSTILE, preset=HOSTILE, bitrate_kbps=10**30, framerate=-5, gop=7),
        panes=(Pane(1e308, -1e308, 0.5, float("inf"), -(10**20), 10**20, HOSTILE, has_background_image=True),) * 50,
        user_streams=((HOSTILE, HOSTILE),),
        unknown_values=(HOSTILE,),
    )
    view = FakeView([replace(hostile(app_view(up=False, reason="r")), tasks={(HOSTILE, HOSTILE): 1})])
    view.put([entry(HOSTILE, of, HOSTILE)], HOSTILE, HOSTILE)
    names = {"account": HOSTILE, "app_id": HOSTILE}
    group = findings({HOSTILE: NOW}, **names, rule=hostile_rule, detail=lambda _: detail, data_available=False)
    view.violations, view.found = [group], {kind: [group] for kind in FindingKind}
    view.shown_rules = [RuleView(hostile_rule, why_off=HOSTILE, reasons=lambda: (HOSTILE,))]
    view.task_findings = tuple(TaskFinding(hostile_rule, outcome, NOW, detail) for outcome in Outcome)
    view.recorded = [hostile(recorded(1, fields=(FieldChange("f", "b", "a"),)))]
    view.shown_sweep = hostile(replace(RUNNING, ended=True, state=State.TIMEOUT, reason="r"))
    return view


async def test_hostile_text_stays_text() -> None:
    """Whatever is in names, reasons, messages and rules makes no element, no attribute and no link of its own."""
    hostile = hostile_view()
    pages = [await page_of(hostile, path) for path in ("/", "/violations", "/changes", "/rules")]
    async with client_of(hostile) as client:
        assert (await client.get("/api/v1/", headers={"Accept": "text/html"})).status == 200
    # A path can't hold half a surrogate pair, so the pages of this app and this task have other names.
    view = FakeView([app_view({}, account="x y", app_id="a/b", name=HOSTILE, owner=HOSTILE, reason=HOSTILE, up=False)])
    view.entries = {("x y", "a/b"): {"t?#/{1}": hostile.entries[HOSTILE, HOSTILE][HOSTILE]}}
    view.violations, view.found, view.task_findings = hostile.violations, hostile.found, hostile.task_findings
    view.recorded, view.shown_sweep = hostile.recorded, hostile.shown_sweep
    base = "/apps/x%20y/a%2Fb"
    for path in (base, f"{base}/tasks/t%3F%23%2F%7B1%7D", f"{base}/collect"):
        async with client_of(view) as client:
            answer = await client.get(path)
            pages.append(Page(await answer.text(), answer.status))
        assert pages[-1].status == 200
    for page in pages:
        assert "1337" not in page.text
        assert not page.all("img")
        assert [script.get("src") for script in page.all("script")] == ["/static/pages.js"]
        assert not [link for link in page.links if not link.startswith(("/", "#"))]
        assert "alert(1)" in page.text


async def test_a_reading_is_begun_and_shown(client: Client, view: FakeView) -> None:
    """A POST begins it and leads to its page, which tells every request; before, it says that there was none.

    One that is under way is not waited for for long; its page refreshes itself, and can be loaded without a script.
    """
    before = Page(await (await client.get(COLLECT)).text()).text
    assert "It publishes nothing" in before
    assert "No check since the exporter started." in before
    for report, said in (
        (RUNNING, ["Under way: look again", "\N{EN DASH} under way \N{EN DASH} none under way"]),
        (ENDED, ["Outcome ok", "Took 1.7 s", "Tasks 180", "Repaired tasks 2", "1,198 more are not shown one by one."]),
        (ENDED, ["1 page 1 of 100 rows: 1 to 100 0 ms 10 ms 200 ms 100 ok", "1 only read: created a moment ago"]),
        (ENDED, ["attempt 2 300 ms 1.5 s 50 ms \N{EN DASH} none throttled too many"]),
    ):
        view.shown_sweep = report
        answer = await client.post(COLLECT, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, COLLECT)
        page = Page(await (await client.get(COLLECT)).text())
        assert [words for words in said if words not in page.text] == []
        assert ({"id": "report", "data-refresh": "1"} in page.all("div")) is (report is RUNNING)
    assert set(view.collected) == {("production", "live-main")}


@pytest.mark.parametrize(
    ("start", "status", "words"),
    [
        (SweepStart.BUSY, 409, "Another app is being checked: try again later."),
        (SweepStart.TOO_SOON, 429, "This app was checked less than a minute ago"),
        (SweepStart.UNKNOWN, 404, "No such app"),
    ],
)
async def test_a_reading_that_can_t_begin_is_refused(
    client: Client, view: FakeView, start: SweepStart, status: int, words: str
) -> None:
    """One reading runs at a time, and each app that there is can be read once a minute: a page says so."""
    view.start = start
    answer = await client.post(COLLECT, allow_redirects=False)
    assert (answer.status, answer.content_type) == (status, "text/html")
    assert words in Page(await answer.text()).text
    assert (await client.get("/apps/production/unknown/collect")).status == 404


TASK = "/apps/production/live-main/tasks/t-1"
MODIFIED_TASK = recorded(
    1,
    task_id="t-1",
    change="modified",
    earliest=NOW - 240,
    fields=(FieldChange("video", "720p", "1080p"),),
    notes=("probably_restarted",),
)
RESOLVED = PastViolation(1, "production", "live-main", "t-1", "bitrate", "warning", "8 Mbit/s", NOW, NOW + 60, "fixed")


class LostPast(History):
    """A database that is away."""

    async def changes(self, wanted: HistoryFilter) -> Sequence[RecordedChange]:
        raise HistoryError(f"the database is away: {wanted.limit}")

    async def apps(self) -> Collection[tuple[str, str]]:
        return ()


def view_of_changes() -> FakeView:
    """Return a view of one task with a past."""
    view = FakeView([app_view()])
    view.put([entry("t-1")])
    view.recorded = [MODIFIED_TASK, recorded(2, task_id="t-2", change="removed")]
    view.ended = [RESOLVED]
    return view


async def test_changes_are_filtered_and_dated() -> None:
    """What happened while the exporter was down has both ends of the time; each row names its app."""
    page = await page_of(view_of_changes(), "/changes", {"change": "modified", "field": "video"})
    assert "video: 720p \N{RIGHTWARDS ARROW} 1080p probably restarted" in page.text
    assert "between 2027-01-15 07:56:00 UTC and 2027-01-15 08:00:01 UTC" in page.text
    assert "t-2" not in page.text
    assert "production / live-main modified" in page.text
    page = await page_of(view_of_changes(), "/changes", {"app_id": "nobodys"})
    assert "There is no app 'nobodys'." in page.text, "an empty table would look like nothing has changed"


async def test_older_changes_are_on_further_pages() -> None:
    """Following the link shows each change once."""
    view = FakeView([app_view()])
    view.recorded = [recorded(number) for number in range(1, 121)]
    async with client_of(view) as client:
        texts = [await (await client.get("/changes", params=query)).text() for query in ({}, {"cursor": "71"})]
    assert "cursor=71" in texts[0]
    assert '<a href="/changes">Newest</a>' in texts[1]
    assert "task-71<" in texts[0]
    assert "task-70<" not in texts[0]
    assert "task-70<" in texts[1]
    assert "task-71<" not in texts[1]


@pytest.mark.parametrize("is_listed", [True, False])
async def test_a_task_has_a_timeline(is_listed: bool) -> None:
    """Changes and violations from open to resolved, also of a task that is gone."""
    view = view_of_changes()
    if not is_listed:
        view.entries.clear()
    page = await page_of(view, TASK)
    assert page.status == 200
    assert ("not listed any more" in page.text) is not is_listed
    assert "bitrate : 8 Mbit/s fixed, 2027-01-15 08:01:00 UTC" in page.text
    assert page.text.index("720p") < page.text.index("probably restarted") < page.text.index("8 Mbit/s")


async def test_a_database_that_is_away_is_said() -> None:
    """The page of changes and the API answer 503; pages about the present go on without the past."""
    view = FakeView([app_view()])
    view.put([entry("t-1")])
    view.past = lambda: LostPast(SetClock(NOW))  # type: ignore[method-assign]
    page = await page_of(view, "/changes")
    assert (page.status, "the database is away" in page.text) == (503, True)
    async with client_of(view) as client:
        answer = await client.get("/api/v1/changes")
        assert answer.status == 503
        assert "the database is away" in (await answer.json())["error"]
    assert (await page_of(view, TASK)).status == 200
    assert (await page_of(view, "/apps/production/live-main")).status == 200


async def test_violations_that_have_ended_are_in_the_api() -> None:
    """With state=resolved the newest come first, with message, times, reason and a cursor."""
    view = view_of_changes()
    view.ended = [msgspec.structs.replace(RESOLVED, number=number) for number in (1, 2, 3)]
    async with client_of(view) as client:
        query = {"state": "resolved", "limit": "2"}
        first = await (await client.get("/api/v1/violations", params=query)).json()
        rest = await (await client.get("/api/v1/violations", params={**query, "cursor": first["next_cursor"]})).json()
    assert [[found["number"] for found in page["violations"]] for page in (first, rest)] == [[3, 2], [1]]
    (found,) = rest["violations"]
    assert (found["rule"], found["why"], found["resolved_timestamp_seconds"]) == ("bitrate", "fixed", NOW + 60)
    assert (found["message"], found["since_timestamp_seconds"]) == (RESOLVED.message, RESOLVED.opened)
    assert (rest["matching"], rest["next_cursor"]) == (None, None)
