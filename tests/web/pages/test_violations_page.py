"""`/violations` and `/rules`: what is shown, how it is narrowed, and in which order."""

from datetime import date

import pytest

from exporter.rules.rule import Exemption, Severity
from exporter.web.lists import AT_ONCE
from exporter.web.pages.page_routes import FINDING_PARAMETERS, RULE_PARAMETERS, shown_rules, shown_violations
from exporter.web.query import Query, read_form
from exporter.web.view import FindingDetail, FindingKind, RuleView, TotalsDocument
from tests.support.virtual_time import timed
from tests.web.fake_view import NOW, FakeView, app_view, findings, rule
from tests.web.pages.page_view import page_of

BAD = rule("bad", severity=Severity.CRITICAL, owner="")
HOUR = 3600.0


def view_of_two_apps() -> FakeView:
    """Return a view of findings of all ages."""
    view = FakeView([app_view(), app_view(app_id="frozen", up=False, data_available=False)])
    view.violations = [
        findings({"new": NOW - 10, "old": NOW - 8 * 24 * HOUR}),
        findings({"day": NOW - 30 * HOUR}, app_id="frozen", data_available=False),
        findings({"": NOW - 2 * HOUR}, rule=BAD),
    ]
    detail = FindingDetail(message="too fast", exemption="load-test")
    view.found = {FindingKind.EXEMPTED: [findings({}, ageless=["agreed"], detail=lambda _task_id: detail)]}
    return view


async def shown(**parameters: str) -> list[str]:
    """Return the TaskIds that a query shows."""
    _, document = await shown_violations(view_of_two_apps(), read_form(parameters, FINDING_PARAMETERS), NOW)
    counts = [row["count"] for row in document["summaries"]]
    assert all(counts)
    assert sum(counts) == document["page"].matching == len(document["page"].rows)
    return [row.task_id for row in document["page"].rows]


@pytest.mark.parametrize(
    ("parameters", "task_ids"),
    [
        ({}, ["", "day", "old", "new"]),
        ({"rule": "bad"}, [""]),
        ({"severity": "warning"}, ["day", "old", "new"]),
        ({"app_id": "frozen"}, ["day"]),
        ({"account": "staging"}, []),
        ({"owner": "live-ops"}, ["", "day", "old", "new"]),
        ({"age": "under-1h"}, ["new"]),
        ({"age": "over-1h"}, ["", "day", "old"]),
        ({"age": "over-1d"}, ["day", "old"]),
        ({"age": "over-7d"}, ["old"]),
        ({"outcome": "exempted"}, ["agreed"]),
        ({"outcome": "exempted", "age": "under-1h"}, []),
        ({"outcome": "unevaluable"}, []),
    ],
)
async def test_only_what_is_asked_for_is_shown(parameters: dict[str, str], task_ids: list[str]) -> None:
    """Each filter narrows; the severest and then the oldest stand first."""
    assert await shown(**parameters) == task_ids


async def test_the_page_has_rules_and_findings() -> None:
    """A folded table of rules leads to their findings; each finding has its task, app, message and age."""
    page = await page_of(view_of_two_apps(), "/violations")
    assert "bad Video bitrate within what was agreed Runbook of bad critical 1 1 2 h ago" in page.text
    assert "agreed Runbook of video-bitrate-agreed warning 3 2 8 d ago live-ops" in page.text
    assert "https://runbooks.example.com/bitrate" in page.links
    assert {"id": "by-rule"} in page.all("details")
    assert "/violations?rule=bad" in page.links
    assert "the app as a whole production / live-main bad Runbook of bad critical about the app 2 h ago" in page.text
    assert "/apps/production/live-main/tasks/old" in page.links
    assert "1\N{EN DASH}4 of 4 findings" in page.text


@pytest.mark.parametrize(
    ("path", "parameters", "said"),
    [
        (
            "/violations",
            {},
            "Frozen: of production / frozen these are the findings of the last good data, which is withdrawn.",
        ),
        ("/violations", {}, "production / frozen frozen video-bitrate-agreed"),
        ("/violations", {"outcome": "exempted"}, "warning too fast exemption: load-test \N{EN DASH} not known"),
        ("/violations", {"outcome": "unevaluable"}, "Nothing is found."),
        ("/violations", {"rule": "nope"}, "There is no rule 'nope'."),
        ("/violations", {"app_id": "nope"}, "There is no app 'nope'."),
        ("/violations", {"account": "nope"}, "There is no account 'nope'."),
        ("/violations", {"owner": "nope"}, "No app and no rule has the owner 'nope'."),
        ("/rules", {}, "Findings are frozen until a reload; stopped: too slow"),
        ("/rules", {"text": "zzz"}, "No rule is like that."),
    ],
)
async def test_what_is_not_plain_is_said(path: str, parameters: dict[str, str], said: str) -> None:
    """Frozen findings and stopped rules are marked, exempted ones name the exemption, and nothing found is said.

    A name that nothing has does not look as if all were well, and is kept in the form.
    """
    view = view_of_two_apps()
    view.shown_rules = [RuleView(rule(), why_stopped="stopped: too slow")]
    page = await page_of(view, path, parameters)
    assert said in page.text
    if "nope" in parameters.values():
        assert "Nothing is found." not in page.text
        assert {"value": "nope", "selected": None} in page.all("option")


@pytest.mark.parametrize(
    ("app_id", "words", "said"),
    [
        ("", "Not known: of production / app-000", True),
        ("", "production / app-004 and 115 more there is no data now", True),
        ("app-007", "Not known: of production / app-007 there is no data now", True),
        ("live-main", "Not known", False),
    ],
)
async def test_apps_of_which_nothing_can_be_known_are_named(app_id: str, words: str, *, said: bool) -> None:
    """That nothing is found is no all-clear for apps without data that are asked for; of many, some are named."""
    apps = [app_view(app_id=f"app-{number:03}", up=False, data_available=False) for number in range(120)]
    page = await page_of(FakeView([app_view(), *apps]), "/violations", {"app_id": app_id})
    assert (words in page.text) is said
    assert "Nothing is found." in page.text


async def test_only_apps_that_are_asked_for_are_said_to_be_frozen() -> None:
    """A banner about an app that the filter leaves out would be about findings that are not there."""
    page = await page_of(view_of_two_apps(), "/violations", {"app_id": "live-main"})
    assert "Frozen" not in page.text


async def test_a_page_whose_findings_have_ended_meanwhile_is_shown() -> None:
    """A rule's findings can be fewer than they were when they were counted, a moment before."""
    view = FakeView([app_view()])
    view.violations = [findings({"t-1": NOW, "t-2": NOW}, count=53), findings({"t-3": NOW}, rule=rule("z"))]
    page = await page_of(view, "/violations", {"page": "2"})
    assert (page.status, "t-1" in page.text, "t-3" in page.text) == (200, False, True)


async def test_pages_go_through_all_groups() -> None:
    """Each finding is on one page, also where a page ends within a rule or an app."""
    view = FakeView([app_view(app_id=app_id) for app_id in ("a", "b")])
    view.violations = [
        findings({f"{name}-{app_id}-{number:02}": NOW for number in range(size)}, app_id=app_id, rule=rule(name))
        for name, app_id, size in (("x", "b", 30), ("y", "a", 75), ("x", "a", 45))
    ]
    pages = [(await shown_violations(view, Query(page=number), NOW))[1]["page"] for number in (1, 2, 3, 4)]
    assert [len(page.rows) for page in pages] == [50, 50, 50, 50]
    shown = [row.task_id for page in pages[:3] for row in page.rows]
    assert shown == sorted(shown)
    assert len({*shown}) == pages[0].matching == 150


def test_a_page_of_20_000_findings_lets_others_run() -> None:
    """A page is found step by step, in those of the rule and app that it shows, and nothing is worded on the way."""
    view = FakeView([app_view()])
    worded: list[str] = []

    def detail(task_id: str) -> FindingDetail:
        worded.append(task_id)
        return FindingDetail(message=task_id)

    since = {f"{number:032x}": NOW - number for number in range(10_000)}
    view.violations = [findings(since, rule=rule(name), detail=detail) for name in ("one", "two")]
    (_, document), slices = timed(shown_violations(view, Query(page=10**6), NOW))
    assert (document["page"].matching, len(document["page"].rows), len(worded)) == (20_000, 50, 0)
    assert len(slices) >= 10_000 // AT_ONCE


LOUD = rule(
    "loud",
    when="task.mix_mode == 'mixed'",
    message='"too loud"',
    reason="Ears.",
    remedy="Turn it down.",
    apps=("live-*",),
    source="rules/own.yml:3",
    exempt=(
        Exemption(name="forever", tasks=("t-*",)),
        Exemption(name="over", tasks=("x",), until=date(2020, 1, 1), reason="a test"),
    ),
)
TOTALS = TotalsDocument(3, 100, 20, 2, 1, oldest_violation=NOW - 90)


def view_of_rules() -> FakeView:
    """Return a view of three rules."""
    view = FakeView()
    view.shown_rules = [
        RuleView(rule("asleep", severity=Severity.CRITICAL), why_off="switched off by `policy.rules`"),
        RuleView(LOUD, totals=TOTALS, reasons=lambda: ("no such field",)),
        RuleView(rule("worse", severity=Severity.CRITICAL, owner="video", runbook_url="javascript:alert(1)")),
    ]
    return view


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({}, ["worse", "loud", "asleep"]),
        ({"enabled": "false"}, ["asleep"]),
        ({"enabled": "true", "severity": "critical"}, ["worse"]),
        ({"text": "LOU"}, ["loud"]),
        ({"text": "video"}, ["worse", "loud", "asleep"]),
        ({"text": "bitrate", "severity": "warning"}, ["loud"]),
        ({"text": "nothing"}, []),
    ],
)
async def test_rules_are_filtered_and_sorted(parameters: dict[str, str], names: list[str]) -> None:
    """What is on is before what is off, the severest first."""
    _, shown = await shown_rules(view_of_rules(), read_form(parameters, RULE_PARAMETERS), NOW)
    assert [row.rule.name for row in shown["rules"]] == names
    assert shown["all_rules"] == 3


async def test_a_rule_says_everything_about_itself() -> None:
    """Counts, expressions, reason, remedy, source and exemptions with their end stand on the page."""
    page = await page_of(view_of_rules(), "/rules")
    for words in (
        "3 violations 100 evaluated 20 not applicable 2 exempted 1 can't be evaluated oldest 1 min 30 s ago",
        "Can't be evaluated for some: no such field",
        "Applies when task.mix_mode == 'mixed'",
        "Expects task.video.bitrate_kbps <= 3000",
        'Message "too loud"',
        "Why Ears.",
        "What to do Turn it down.",
        "Apps live-*",
        "Written in rules/own.yml:3",
        "Exemption forever t-* for good",
        "Exemption over x until the end of 2020-01-01 (UTC) ended a test",
        "Off: switched off by `policy.rules`",
    ):
        assert words in page.text
    assert "/violations?rule=loud&outcome=exempted" in page.links


async def test_only_web_addresses_are_linked() -> None:
    """A runbook is followed where it is a web address, and reported as text where it is not."""
    page = await page_of(view_of_rules(), "/rules")
    assert "https://runbooks.example.com/bitrate" in page.links
    assert "javascript:alert(1)" in page.text
    assert not any(link.startswith("javascript:") for link in page.links)
