"""Tests of what an audit fails for."""

import pytest

from exporter.commands.audit_report import Audit, RuleOutcome
from exporter.rules.rule import SEVERITIES, Severity
from tests.support.audits import app, everything, failed_app, rule, violations


@pytest.mark.parametrize("found", SEVERITIES)
@pytest.mark.parametrize("fail_on", SEVERITIES)
def test_an_audit_fails_at_or_above_the_severity(found: Severity, fail_on: Severity) -> None:
    """A violation below what is asked for does not fail; one at it or above does."""
    its_rule = rule("one", found)
    audit = Audit((its_rule,), (app("main", RuleOutcome(rule=its_rule, violations=violations("t"))),))
    assert audit.fails(fail_on) == (SEVERITIES.index(found) >= SEVERITIES.index(fail_on))


def test_nothing_fails_an_audit_that_is_never_to_fail() -> None:
    """Without a severity no violation counts."""
    assert not everything().fails(None)


def test_only_violations_fail_an_audit() -> None:
    """A critical rule that every task passes, is exempt from or can't be evaluated for fails nothing."""
    (main, _) = everything().apps
    (bitrate, _) = main.rules
    unviolated = RuleOutcome(rule=bitrate.rule, exempted=bitrate.exempted, unevaluable=bitrate.unevaluable)
    assert not Audit((bitrate.rule,), (app("main", unviolated),)).fails(Severity.INFO)


def test_violations_are_counted_by_severity_over_all_apps() -> None:
    """The counts are those of tasks, not of rules."""
    audit = everything()
    assert [audit.violations(severity) for severity in SEVERITIES] == [3, 0, 1]


def test_one_app_that_could_not_be_read_is_enough() -> None:
    """An audit knows that it has not seen all."""
    assert not everything().all_read
    assert Audit((), (app("main"),)).all_read
    assert not Audit((), (app("main"), failed_app("gone"))).all_read
