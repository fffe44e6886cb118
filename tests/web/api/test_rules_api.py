"""`/api/v1/rules`: which rules a query gets, and what is said of each."""

from datetime import date

import pytest

from exporter.rules.rule import Exemption, Severity
from exporter.web.api.rules_api import PARAMETERS, rules_listing
from exporter.web.query import Query, read_query
from exporter.web.view import RuleTotals, RuleView
from tests.web.api.documents import document
from tests.web.fake_view import NOW, rule

MIDNIGHT = 1_801_440_000.0
"""The end of 2027-01-31."""

RULES = [
    RuleView(rule("c", severity=Severity.INFO)),
    RuleView(rule("a")),
    RuleView(rule("d"), why_off="policy.rules"),
    RuleView(rule("b", severity=Severity.CRITICAL), why_off="policy.default_rules"),
]


def names(query: Query) -> list[str]:
    """Return the names on the page that a query gets."""
    return [shown["name"] for shown in document(rules_listing(RULES, query, now=NOW))["rules"]]


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
        totals=RuleTotals(3, 90, 7, 2, 1, NOW - 60),
        reasons=lambda: ("task has no video.bitrate_kbps here",),
    )
    assert document(rules_listing([shown], Query(), now=NOW)) == {
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
                "apps": ("live-*",),
                "when": "task.mix_mode == 'mixed'",
                "expect": "task.video.bitrate_kbps <= 3000",
                "message": "'too much'",
                "reason": "It costs.",
                "remedy": "Lower it.",
                "exemptions": [
                    {"name": "load-test", "tasks": ("t-*",), "until": "2027-01-31", "reason": "agreed", "ended": False}
                ],
                "totals": {
                    "violations": 3,
                    "evaluated": 90,
                    "not_applicable": 7,
                    "exempted": 2,
                    "unevaluable": 1,
                    "oldest_violation_timestamp_seconds": NOW - 60,
                },
                "unevaluable_reasons": ("task has no video.bitrate_kbps here",),
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


def test_a_rule_that_is_off_says_why() -> None:
    """It is listed, with the reason and without numbers."""
    (shown,) = document(rules_listing([RULES[2]], Query(), now=NOW))["rules"]
    assert (shown["enabled"], shown["state"], shown["why"], shown["totals"]) == (False, "off", "policy.rules", None)


def test_a_rule_that_is_stopped_says_why() -> None:
    """It is in force, and its numbers are shown as they were last."""
    stopped = RuleView(rule(), why_stopped="stopped: too slow", totals=RuleTotals(violations=2))
    (shown,) = document(rules_listing([stopped], Query(), now=NOW))["rules"]
    assert (shown["enabled"], shown["state"], shown["why"]) == (True, "stopped", "stopped: too slow")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "abcd"),
        ({"severity": "critical"}, "b"),
        ({"enabled": "true"}, "ac"),
        ({"enabled": "false"}, "bd"),
        ({"enabled": "false", "severity": "info"}, ""),
        ({"rule": "c"}, "c"),
        ({"rule": "x"}, ""),
    ],
)
def test_parameters_narrow_down(parameters: dict[str, str], expected: str) -> None:
    """Each parameter leaves what fits it, by name; several leave what fits all."""
    assert names(read_query(parameters.items(), PARAMETERS)) == list(expected)


@pytest.mark.parametrize("limit", ["1", "2", "3", "4"])
def test_pages_show_every_rule_once(limit: str) -> None:
    """Following the cursor shows all of them by name, and each page says how many there are."""
    seen: list[str] = []
    cursor = None
    while cursor is not None or not seen:
        query = read_query([("limit", limit), *([("cursor", cursor)] if cursor else [])], PARAMETERS)
        page = document(rules_listing(RULES, query, now=NOW))
        assert page["matching"] == 4
        seen += [shown["name"] for shown in page["rules"]]
        cursor = page["next_cursor"]
    assert seen == list("abcd")
