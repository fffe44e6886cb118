"""`/api/v1/rules`: which rules a query gets, and what is said of each."""

from datetime import date
from typing import Any

import pytest

from exporter.rules.rule import Exemption, Severity
from exporter.web.api.violations_api import rules_listing
from exporter.web.query import Query
from exporter.web.view import RuleView, TotalsDocument
from tests.web.api.api_view import document, followed, page_of
from tests.web.fake_view import NOW, FakeView, rule

MIDNIGHT = 1_801_440_000.0
"""The end of 2027-01-31."""

RULES = [
    RuleView(rule("c", severity=Severity.INFO)),
    RuleView(rule("a")),
    RuleView(rule("d"), why_off="policy.rules"),
    RuleView(rule("b", severity=Severity.CRITICAL), why_off="policy.default_rules"),
]


def view_of(*rules: RuleView) -> FakeView:
    """Return a view of rules."""
    view = FakeView()
    view.shown_rules = list(rules)
    return view


def test_a_rule_is_shown_with_all_that_is_known() -> None:
    """A rule has its texts, where it is, its exemptions, how it is over all apps and why it can't be evaluated."""
    exemption = Exemption(name="load-test", tasks=("t-*",), until=date(2027, 1, 31), reason="agreed")
    shown = RuleView(
        rule(
            apps=("live-*",),
            when="task.mix_mode == 'mixed'",
            message="'too much'",
            reason="It costs.",
            remedy="Lower it.",
            source="rules/live.yml:3",
            exempt=(exemption,),
        ),
        totals=TotalsDocument(3, 90, 7, 2, 1, NOW - 60),
        reasons=lambda: ("task has no video.bitrate_kbps here",),
    )
    assert page_of(view_of(shown), "rules") == {
        "rules": [
            {
                "name": "video-bitrate-agreed",
                "title": "Video bitrate within what was agreed",
                "severity": "warning",
                "owner": "live-ops",
                "runbook_url": "https://runbooks.example.com/bitrate",
                "source": "rules/live.yml:3",
                "enabled": True,
                "state": "on",
                "why": None,
                "apps": ["live-*"],
                "when": "task.mix_mode == 'mixed'",
                "expect": "task.video.bitrate_kbps <= 3000",
                "message": "'too much'",
                "reason": "It costs.",
                "remedy": "Lower it.",
                "exemptions": [
                    {"name": "load-test", "tasks": ["t-*"], "until": "2027-01-31", "reason": "agreed", "ended": False}
                ],
                "totals": {
                    "violations": 3,
                    "evaluated": 90,
                    "not_applicable": 7,
                    "exempted": 2,
                    "unevaluable": 1,
                    "oldest_violation_timestamp_seconds": NOW - 60,
                },
                "unevaluable_reasons": ["task has no video.bitrate_kbps here"],
            }
        ],
        "matching": 1,
        "next_cursor": None,
    }


@pytest.mark.parametrize(("now", "ended"), [(MIDNIGHT - 1, False), (MIDNIGHT, True)])
def test_an_exemption_ends_with_its_last_day(now: float, *, ended: bool) -> None:
    """The last second of the day still counts; the next one does not."""
    exemptions = (Exemption(name="a", tasks=("t",), until=date(2027, 1, 31)), Exemption(name="b", tasks=("t",)))
    (shown,) = document(rules_listing([RuleView(rule(exempt=exemptions))], Query(), now=now))["rules"]
    assert [(exemption["until"], exemption["ended"]) for exemption in shown["exemptions"]] == [
        ("2027-01-31", ended),
        (None, False),
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (RULES[2], (False, "off", "policy.rules", None)),
        (RuleView(rule(), why_stopped="too slow", totals=TotalsDocument(2)), (True, "stopped", "too slow", 2)),
    ],
)
def test_a_rule_that_is_not_evaluated_says_why(given: RuleView, expected: tuple[bool, str, str, int | None]) -> None:
    """One that is off has no numbers, one that is stopped those that were last."""
    (shown,) = page_of(view_of(given), "rules")["rules"]
    violations = shown["totals"] and shown["totals"]["violations"]
    assert (shown["enabled"], shown["state"], shown["why"], violations) == expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "abcd"),
        ({"severity": "critical"}, "b"),
        ({"enabled": "true"}, "ac"),
        ({"enabled": "false"}, "bd"),
        ({"enabled": "false", "severity": "info"}, ""),
        ({"rule": "c"}, "c"),
        *(({"limit": limit}, "abcd") for limit in (1, 2, 3, 4)),
    ],
)
def test_parameters_narrow_down(parameters: dict[str, Any], expected: str) -> None:
    """Each parameter leaves what fits it, by name; several leave what fits all, and pages show each once."""
    view = view_of(*RULES)
    assert [shown["name"] for shown in followed(view, "rules", **parameters)] == list(expected)
    assert page_of(view, "rules", **parameters)["matching"] == len(expected)
