"""Tests of running the cases that are beside rules."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from exporter.commands.rule_commands import CASES_NOW, CaseResult, run_cases, variables_of
from exporter.rules.rule import Case, Exemption, Outcome, Rule, Severity, compile_rule

LATER = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _result(given: Mapping[str, Any], expected: Outcome, **parts: Any) -> CaseResult:
    rule = Rule(
        **{"name": "one", "title": "One", "severity": Severity.WARNING, **parts},
        tests=(Case(variables=given, outcome=expected),),
    )
    (result,) = run_cases(compile_rule(rule))
    return result


LOW_BITRATE = "task.video.bitrate_kbps <= 3000"


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ({"task": {"video": {"bitrate_kbps": 3000}}}, Outcome.PASS),
        ({"task": {"video": {"bitrate_kbps": 3001}}}, Outcome.VIOLATION),
        ({"task": {"mix_mode": "single"}}, Outcome.NOT_APPLICABLE),
        ({"task": {"video": {"bitrate_kbps": 3001}}, "task_id": "t-load-1"}, Outcome.EXEMPT),
        ({"task": {"video": {"bitrate_kbps": 3000}}, "task_id": "t-load-1"}, Outcome.PASS),
        ({"task": {}}, Outcome.ERROR),
        ({}, Outcome.ERROR),
    ],
)
def test_each_outcome_comes_of_what_the_case_gives(given: Mapping[str, Any], outcome: Outcome) -> None:
    """A case passes with the outcome that the rule has for it, and with no other one."""
    exempt = (Exemption(name="load-test", tasks=("t-load-*",)),)
    for expected in Outcome:
        result = _result(given, expected, when='task.mix_mode == "mixed"', expect=LOW_BITRATE, exempt=exempt)
        assert result.outcome is outcome
        assert result.passed == (expected is outcome)
        assert bool(result.reason) == (outcome is Outcome.ERROR)


@pytest.mark.parametrize(
    ("given", "expression"),
    [
        ({}, 'task.mix_mode == "mixed" && task_id == "task" && channel_id == "channel" && shared_outputs == 0'),
        ({}, 'now == timestamp("2000-01-01T00:00:00Z") && first_seen == now && last_changed == now'),
        ({}, 'age == duration("0s")'),
        ({}, 'app.id == "app" && app.name == "" && app.owner == "" && app.account == "default"'),
        ({}, "!has(app.quota.single) && !has(app.quota.mixed)"),
        ({"task_id": "x"}, 'task_id == "x"'),
        ({"channel_id": "x"}, 'channel_id == "x"'),
        ({"shared_outputs": 2}, "shared_outputs == 2"),
        ({"now": LATER}, "first_seen == now && last_changed == now"),
        ({"now": LATER, "first_seen": LATER - timedelta(hours=2)}, 'age == duration("2h")'),
        ({"age": timedelta(hours=2)}, 'now - first_seen == duration("2h")'),
        ({"last_changed": CASES_NOW - timedelta(days=1)}, 'now - last_changed == duration("24h")'),
        ({"app": {"id": "live"}}, 'app.id == "live" && app.account == "default" && !has(app.quota.mixed)'),
        ({"app": {"quota": {"single": 5}}}, "app.quota.single == 5 && !has(app.quota.mixed)"),
    ],
)
def test_what_a_case_gives_is_what_the_rule_sees(given: Mapping[str, Any], expression: str) -> None:
    """Every variable can be given, and what depends on it follows.

    An empty case is a mixed task of an app whose quota is unknown, seen for the first time now.
    """
    assert _result(given, Outcome.PASS, expect=expression).passed


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (datetime(2027, 1, 31, 23, 59, 59, tzinfo=UTC), Outcome.EXEMPT),
        (datetime(2027, 2, 1, tzinfo=UTC), Outcome.VIOLATION),
    ],
)
def test_exemptions_end_when_the_case_is_late_enough(now: datetime, outcome: Outcome) -> None:
    """The last day ends at midnight; without `now` every exemption holds."""
    exempt = (Exemption(name="all", tasks=("*",), until=date(2027, 1, 31)),)
    assert _result({"now": now}, outcome, expect="false", exempt=exempt).passed
    assert _result({}, Outcome.EXEMPT, expect="false", exempt=exempt).passed


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ({}, Outcome.VIOLATION),
        ({"app": {"owner": "live-ops"}}, Outcome.VIOLATION),
        ({"app": {"id": "live-main"}}, Outcome.VIOLATION),
        ({"app": {"id": "other"}}, Outcome.NOT_APPLICABLE),
    ],
)
def test_a_rule_does_not_apply_to_an_app_that_it_is_not_for(given: Mapping[str, Any], outcome: Outcome) -> None:
    """An app that the case names is checked against the rule's patterns; one that it leaves out is meant."""
    assert _result(given, outcome, expect="false", apps=("live-*",)).passed


def test_cases_run_in_order_and_a_rule_without_cases_has_none() -> None:
    """There is one result for each case."""
    cases = tuple(Case(variables={"task_id": name}, outcome=Outcome.PASS) for name in ("a", "b", "c"))
    rule = Rule(name="one", title="One", severity=Severity.INFO, expect='task_id != "b"', tests=cases)
    results = list(run_cases(compile_rule(rule)))
    assert [result.case for result in results] == list(cases)
    assert [result.passed for result in results] == [True, False, True]
    alone = Rule(name="one", title="One", severity=Severity.INFO, expect="true")
    assert list(run_cases(compile_rule(alone))) == []


def test_a_case_is_not_changed_by_running_it() -> None:
    """The variables are a copy: the same case can run again."""
    given = {"task": {"video": {"bitrate_kbps": 1}}, "app": {"id": "live"}}
    case = Case(variables=given, outcome=Outcome.PASS)
    assert variables_of(case) == variables_of(case)
    assert given == {"task": {"video": {"bitrate_kbps": 1}}, "app": {"id": "live"}}
