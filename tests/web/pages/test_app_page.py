"""`/apps/…`: one app, and the table of its tasks."""

import random

import pytest
from msgspec.structs import replace

from exporter.collector.inventory import Entry
from exporter.collector.past import FieldChange
from exporter.core.collection_state import State
from exporter.core.task import Output
from exporter.rules.rule import Severity
from exporter.web.pages.app_pages import TASKS_PARAMETERS, task_page
from exporter.web.query import Query
from tests.metrics.builders import configuration, encoding
from tests.support.virtual_time import finished, timed
from tests.web.fake_view import FULL, NOW, PENDING, FakeView, app_view, entry, findings, push_key, recorded, rule
from tests.web.pages.page_view import page_of

PATH = "/apps/production/live-main"
TASKS = {("CN-Shanghai", "mixed"): 3}


def view_of(*task_ids: str) -> FakeView:
    """Return a view of one app with tasks."""
    view = FakeView([app_view(TASKS), app_view(app_id="another")])
    view.put([entry(task_id) for task_id in task_ids])
    return view


def withdrawn() -> FakeView:
    """Return a view of an app whose data is too old."""
    view = FakeView([app_view(None, up=False, data_available=False, state=State.TIMEOUT, reason="it took 10 s")])
    view.put([entry("t-1")])
    return view


def pending() -> FakeView:
    """Return a view of an app whose list was not read yet."""
    return FakeView([replace(PENDING, status=replace(PENDING.status, app_id="live-main"))])


@pytest.mark.parametrize(
    ("view", "task_id", "said"),
    [
        (view_of("t-1"), "", ["live-main Main stage", "Owner: live-ops", "State ok", "Mixed tasks 3 of 40"]),
        (view_of("t-1"), "", ["Last sweep 1.5 s 3 requests", "Duplicate rows 1", "2 sweep: ok 40 update: ok"]),
        (view_of("t-1", "t-2"), "", ["1\N{EN DASH}2 of 2 tasks"]),
        (view_of(), "", ["The app has no task."]),
        (view_of("t-1"), "x", ["No task is like that."]),
        (pending(), "", ["The list has not been read yet."]),
        (withdrawn(), "", ["Withdrawn: these are the tasks as they were last read, 2 min ago .", "t-1"]),
    ],
)
async def test_it_says_how_the_app_is_and_how_it_is_collected(view: FakeView, task_id: str, said: list[str]) -> None:
    """State, counts against quota, what the last sweep took, old data as such, and why a table is empty."""
    page = await page_of(view, PATH, {"task_id": task_id})
    assert [words for words in said if words not in page.text] == []
    assert "0 tasks" not in page.text or view.apps[0].tasks
    assert {"class": "actions", "method": "post", "action": f"{PATH}/collect"} in page.all("form")
    assert f"{PATH}/collect" in page.links


async def test_an_unknown_app_is_a_page_of_its_own() -> None:
    """It is 404, names what was asked for, and leads back."""
    page = await page_of(view_of(), "/apps/production/<b>")
    assert (page.status, page.all("b")) == (404, [])
    assert "The account production has no app <b> in the configuration." in page.text
    assert "/" in page.links


async def test_violated_rules_lead_to_their_tasks() -> None:
    """The severest is first, with the number of its tasks; tasks lead to their pages; other apps have their own."""
    view = view_of("t-1", "a/b?c#d")
    view.violations = [
        findings({"t-1": NOW, "a/b?c#d": NOW}, rule=rule("loud")),
        findings({"t-1": NOW - 90}, rule=rule("bad", severity=Severity.CRITICAL)),
        findings({"t-7": NOW}, app_id="another", rule=rule("elsewhere")),
    ]
    page = await page_of(view, PATH)
    assert "1 bad (critical) 2 loud (warning)" in page.text
    assert "elsewhere" not in page.text
    assert {f"{PATH}?rule=bad#tasks", f"{PATH}/tasks/t-1", f"{PATH}/tasks/a%2Fb%3Fc%23d"} <= set(page.links)
    assert "critical: Video bitrate within what was agreed, oldest 1 min 30 s ago" in [
        link.get("title") for link in page.all("a")
    ]


async def test_filters_are_kept_by_links_and_fields() -> None:
    """What is asked for is in the form, in the headings' links and in those to other pages."""
    view = view_of(*(f"task-{number:03}" for number in range(120)))
    page = await page_of(view, PATH, {"task_id": "task", "mix_mode": "mixed", "sort": "changed", "page": "2"})
    fields = {field["name"]: field["value"] for field in page.all("input")}
    unset = dict.fromkeys(("text", "host", "min_video_bitrate_kbps", "max_video_bitrate_kbps"), "")
    assert fields == {**unset, "task_id": "task", "sort": "changed"}
    assert {"value": "mixed", "selected": None} in page.all("option")
    assert "51\N{EN DASH}100 of 120 tasks" in page.text
    assert f"{PATH}?task_id=task&mix_mode=mixed&sort=changed&page=3" in page.links
    assert f"{PATH}?task_id=task&mix_mode=mixed&sort=changed&order=desc#tasks" in page.links
    assert f"{PATH}?task_id=task&mix_mode=mixed#tasks" in page.links
    (sorted_by,) = [heading["aria-sort"] for heading in page.all("th") if "aria-sort" in heading]
    assert sorted_by == "ascending"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "push.example.com"),
        ("push_auth", "expired"),
        ("codec", "H.265"),
        ("min_video_bitrate_kbps", "0"),
        ("min_video_bitrate_kbps", "800"),
        ("max_video_bitrate_kbps", "0"),
    ],
)
async def test_each_filter_of_the_url_has_a_field(name: str, value: str) -> None:
    """It shows its value, and the filters that are folded away otherwise are open as soon as one of them is used."""
    page = await page_of(view_of("t-1"), PATH, {name: value})
    fields = [*page.all("input"), *page.all("select")]
    known = {parameter.name for parameter in TASKS_PARAMETERS} - {"sort", "order", "page"}
    assert known <= {field["name"] for field in fields}
    chosen = {"value": value, "selected": None} in page.all("option")
    assert chosen or [field["value"] for field in fields if field["name"] == name] == [value]
    assert ["open" in details for details in page.all("details")] == [False, True]
    assert ["open" in details for details in (await page_of(view_of("t-1"), PATH)).all("details")] == [False, False]


async def test_changes_say_what_stood_there_before() -> None:
    """The newest first, those of other apps left out; a difference in what is not shown is one all the same."""
    view = view_of("t-1")
    fields = (FieldChange("video", "720p", "1080p"), FieldChange("outputs", "rtmp://a", "rtmp://a"))
    view.recorded = [
        recorded(1, task_id="t-1", change="modified", fields=fields),
        recorded(2, task_id="t-2"),
        recorded(3, app_id="another", task_id="t-3"),
    ]
    page = await page_of(view, PATH)
    assert "video: 720p \N{RIGHTWARDS ARROW} 1080p" in page.text
    assert "outputs: rtmp://a \N{RIGHTWARDS ARROW} rtmp://a (another)" in page.text
    assert "t-3" not in page.text
    assert page.text.index("t-2") < page.text.index("video: 720p")


FEW = [
    entry("t-2", configuration(region="EMAA-Saudi", idle_timeout_seconds=9), channel_id="Studio-A"),
    entry("t-1", configuration(region=None, mix_mode="single", encoding=encoding(bitrate_kbps=900))),
    entry("t-3", configuration(idle_timeout_seconds=60, encoding=encoding(bitrate_kbps=3000))),
]
FEW[2] = Entry.of(FEW[2].task, first_seen=NOW, last_changed=NOW, sent_at=0.0)


KEYS = {"t-1": (push_key("valid", 300), push_key("valid", 200)), "t-3": (push_key("expired", 100),)}


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (Query(), "123"),
        (Query(text="T-2"), "2"),
        (Query(text="studio"), "2"),
        (Query(task_region="EMAA-Saudi"), "2"),
        (Query(task_region="other"), "1"),
        (Query(mix_mode="single"), "1"),
        (Query(rule="loud"), "3"),
        (Query(rule="unknown"), ""),
        (Query(rule="loud", mix_mode="single"), ""),
        (Query(push_auth="expired"), "3"),
        (Query(sort="task"), "123"),
        (Query(sort="bitrate"), "132"),
        (Query(sort="idle"), "231"),
        (Query(sort="idle", order="desc"), "321"),
        (Query(sort="region"), "321"),
        (Query(sort="mode"), "231"),
        (Query(sort="expires"), "312"),
        (Query(sort="expires", order="desc"), "132"),
        (Query(sort="changed"), "312"),
    ],
)
def test_tasks_are_filtered_and_sorted(query: Query, shown: str) -> None:
    """Each filter narrows, all of them together; tasks without the value are last in either order, the newest first."""
    groups = [findings({"t-3": NOW, "gone": NOW}, rule=rule("loud"))]
    page = finished(task_page(FEW, query, groups, lambda entry: KEYS.get(entry.task_id, ())))
    assert [row.entry.task_id for row in page.rows] == [f"t-{number}" for number in shown]


def test_a_row_says_what_people_look_for() -> None:
    """Hosts stand once each, video and audio in words, violations by severity with the severest first."""
    outputs = tuple(Output("rtmp", host, is_ali_cdn=None, has_userinfo=False) for host in ("a.example", "a.example"))
    groups = [
        findings({"t": NOW}, rule=rule("one")),
        findings({"t": NOW}, rule=rule("two", severity=Severity.CRITICAL)),
        findings({"t": NOW}, rule=rule("three")),
        findings({"other": NOW}, rule=rule("four")),
    ]
    (row,) = finished(task_page([entry("t", replace(FULL, outputs=outputs))], Query(), groups)).rows
    assert row.outputs == ("rtmp://a.example",)
    assert row.video == "H.264 main fast 1280x720 1500 kbit/s 25 fps gop 50"
    assert row.audio == "128 kbit/s 2 channels 48000 Hz"
    assert list(row.violations.items()) == [(Severity.CRITICAL, 1), (Severity.WARNING, 2)]


@pytest.mark.parametrize("query", [Query(), Query(page=400), Query(sort="bitrate"), Query(text="9")])
def test_a_page_of_many_tasks_lets_others_run(query: Query) -> None:
    """It is found in slices, and only rows that are shown are looked up among the violations."""
    numbers = random.Random(1).sample(range(10**9), 20_000)  # noqa: S311 - no secret
    tasks = [entry(f"{number:032x}") for number in numbers]
    page, slices = timed(task_page(tasks, query, [findings({}, rule=rule("loud"))]))
    assert len(page.rows) == 50
    assert len(slices) >= 10
