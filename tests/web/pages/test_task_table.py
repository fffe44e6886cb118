"""Which tasks a page of the table shows, and in which order."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collect.inventory import Entry
from exporter.policy.rule import Severity
from exporter.task import Output
from exporter.web.api.query import BadQueryError
from exporter.web.pages.task_table import COLUMNS, TaskQuery, read_task_query, task_page
from exporter.web.view import FindingsView
from tests.metrics.builders import configuration, encoding
from tests.support.slices import finished, timed
from tests.web.api.api_view import FULL, entry
from tests.web.fake_view import NOW, findings, rule

FEW = [
    entry("t-2", configuration(region="EMAA-Saudi", idle_timeout_seconds=9), channel_id="Studio-A"),
    entry("t-1", configuration(region=None, mix_mode="single", encoding=encoding(bitrate_kbps=900))),
    entry("t-3", configuration(idle_timeout_seconds=60, encoding=encoding(bitrate_kbps=3000))),
]


def names(query: TaskQuery, entries: list[Entry] = FEW, groups: list[FindingsView] | None = None) -> list[str]:
    """Return the TaskIds on the page of a query."""
    return [row.entry.task.task_id for row in finished(task_page(entries, query, groups or [])).rows]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (TaskQuery(), ["t-1", "t-2", "t-3"]),
        (TaskQuery(task_id="T-2"), ["t-2"]),
        (TaskQuery(task_id="studio"), ["t-2"]),
        (TaskQuery(task_region="EMAA-Saudi"), ["t-2"]),
        (TaskQuery(task_region="other"), ["t-1"]),
        (TaskQuery(mix_mode="single"), ["t-1"]),
        (TaskQuery(rule="loud"), ["t-3"]),
        (TaskQuery(rule="unknown"), []),
        (TaskQuery(rule="loud", mix_mode="single"), []),
    ],
)
def test_only_what_is_asked_for_is_shown(query: TaskQuery, shown: list[str]) -> None:
    """Each filter narrows, all of them together."""
    assert names(query, groups=[findings({"t-3": NOW, "gone": NOW}, rule=rule("loud"))]) == shown


@pytest.mark.parametrize(
    ("sort", "ascending"),
    [
        ("task", ["t-1", "t-2", "t-3"]),
        ("bitrate", ["t-1", "t-3", "t-2"]),
        ("idle", ["t-2", "t-3", "t-1"]),
        ("region", ["t-3", "t-2", "t-1"]),
        ("mode", ["t-2", "t-3", "t-1"]),
    ],
)
def test_what_is_not_set_stands_last(sort: str, ascending: list[str]) -> None:
    """Numbers rise and names follow the alphabet."""
    assert names(TaskQuery(sort=sort)) == ascending


def test_the_other_order_also_has_what_is_not_set_last() -> None:
    """The largest idle timeout stands first, and tasks without one are still at the end."""
    assert names(TaskQuery(sort="idle", descending=True)) == ["t-3", "t-2", "t-1"]


def test_what_changed_last_stands_first() -> None:
    """The column of changes begins with the newest."""
    newer = msgspec.structs.replace(entry("t-9"), last_changed=NOW)
    assert names(TaskQuery(sort="changed"), [*FEW, newer])[0] == "t-9"


def test_a_row_says_what_people_look_for() -> None:
    """Hosts stand once each, video and audio in words, violations by severity with the severest first."""
    outputs = tuple(Output("rtmp", host, is_ali_cdn=None, has_userinfo=False) for host in ("a.example", "a.example"))
    groups = [
        findings({"t": NOW}, rule=rule("one")),
        findings({"t": NOW}, rule=rule("two", severity=Severity.CRITICAL)),
        findings({"t": NOW}, rule=rule("three")),
        findings({"other": NOW}, rule=rule("four")),
    ]
    (row,) = finished(task_page([entry("t", msgspec.structs.replace(FULL, outputs=outputs))], TaskQuery(), groups)).rows
    assert row.outputs == ("rtmp://a.example",)
    assert row.video == "H.264 main fast 1280x720 1500 kbit/s 25 fps gop 50"
    assert row.audio == "128 kbit/s 2 channels 48000 Hz"
    assert list(row.violations.items()) == [(Severity.CRITICAL, 1), (Severity.WARNING, 2)]


@given(st.sampled_from(sorted(COLUMNS)), st.booleans(), st.text(max_size=3), st.sampled_from(["", "CN-Shanghai"]))
def test_a_query_comes_back_from_its_parameters(sort: str, descending: bool, task_id: str, region: str) -> None:
    """What links and forms send is what is shown."""
    query = TaskQuery(task_id=task_id.strip(), task_region=region, sort=sort, descending=descending)
    assert read_task_query(query.parameters()) == query
    assert read_task_query(query.parameters(page="3")).page == 3


@pytest.mark.parametrize("name", ["task_region", "mix_mode", "sort", "order", "page"])
def test_a_bad_parameter_is_refused(name: str) -> None:
    """What can't be shown is said, not ignored."""
    with pytest.raises(BadQueryError, match=f"{name} is 'nonsense'"):
        read_task_query({name: "nonsense"})


@pytest.mark.parametrize("query", [TaskQuery(), TaskQuery(page=400), TaskQuery(sort="bitrate"), TaskQuery(task_id="9")])
def test_a_page_of_20_000_tasks_holds_nobody_up(query: TaskQuery) -> None:
    """It is found step by step, each much shorter than anyone would notice."""
    numbers = random.Random(1).sample(range(10**9), 20_000)  # noqa: S311 - no secret
    tasks = [entry(f"{number:032x}") for number in numbers]
    groups = [findings(dict.fromkeys((one.task.task_id for one in tasks), NOW), rule=rule(f"r{n}")) for n in range(30)]
    page, took = timed(task_page(tasks, query, groups))
    assert len(page.rows) == 50
    assert max(took) < 0.05
    assert sum(took) < 0.5
