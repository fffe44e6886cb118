"""`/rules`: which rules are shown, and what is said of each."""

from datetime import date

import pytest

from exporter.rules.rule import Exemption, Severity
from exporter.web.pages.violations_page import RULE_PARAMETERS, shown_rules
from exporter.web.query import read_form
from exporter.web.view import RuleTotals, RuleView
from tests.web.fake_view import NOW, FakeView, rule
from tests.web.pages.page_view import page_of

FULL = rule(
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
TOTALS = RuleTotals(3, 100, 20, 2, 1, oldest_violation=NOW - 90)


def view_of_rules() -> FakeView:
    """Return a view of three rules."""
    view = FakeView()
    view.shown_rules = [
        RuleView(rule("asleep", severity=Severity.CRITICAL), why_off="switched off by `policy.rules`"),
        RuleView(FULL, totals=TOTALS, reasons=lambda: ("no such field",)),
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
async def test_only_what_is_asked_for_is_shown(parameters: dict[str, str], names: list[str]) -> None:
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


async def test_a_stopped_rule_is_shown_as_such() -> None:
    """The page says that its findings are frozen, and why."""
    view = FakeView()
    view.shown_rules = [RuleView(FULL, why_stopped="stopped: too slow", totals=TOTALS)]
    assert "Findings are frozen until a reload; stopped: too slow" in (await page_of(view, "/rules")).text


async def test_only_web_addresses_are_linked() -> None:
    """A runbook is followed where it is a web address, and reported as text where it is not."""
    page = await page_of(view_of_rules(), "/rules")
    assert "https://runbooks.example.com/bitrate" in page.links
    assert "javascript:alert(1)" in page.text
    assert not any(link.startswith("javascript:") for link in page.links)


async def test_no_rule_is_said() -> None:
    """An empty list is no empty page."""
    assert "No rule is like that." in (await page_of(view_of_rules(), "/rules", {"text": "zzz"})).text
