"""Tests of the findings of one app, whatever its tasks are."""

from exporter.rules.findings import MOST_MOVES, AnyRule, CountedFindings
from exporter.rules.rule import PASS, UNKNOWN, VIOLATION, Severity, nothing_known
from tests.support.policy_world import LIVE, Told, rule

ONE = rule("one", "true")
TWO = rule("two", "true", Severity.CRITICAL)
THREE = rule("three", "true")


def _text(rule: AnyRule) -> str:
    return f"text of {rule.rule.name}"


def _counted() -> tuple[CountedFindings, Told]:
    """Return the findings of two rules, whose outcomes are in the other order, and what it tells."""
    reported = Told([], [], [], [])
    counted = CountedFindings(LIVE, reported)
    assert counted.set_rules([TWO, ONE], None, order=[ONE, TWO]) == [None, None]
    return counted, reported


def _record(counted: CountedFindings, task_id: str, before: bytes, *after: int, now: float = 10.0) -> bytes:
    counted.record(task_id, before, bytes(after), now=now, text=_text)
    return bytes(after)


def test_saved_ages_are_forgotten_with_the_baseline() -> None:
    """A rule that goes and comes back begins again: what it found before the process started is long past."""
    counted, _ = _counted()
    counted.restore({ONE.rule.version: {"a": 3.0}})
    before = _record(counted, "a", nothing_known(2), PASS, VIOLATION)
    counted.settle()
    counted.set_rules([TWO], None, order=[TWO])
    before = _record(counted, "a", before[:1], PASS)
    counted.set_rules([TWO, ONE], None, order=[TWO, ONE])
    _record(counted, "a", bytes([PASS, UNKNOWN]), PASS, VIOLATION, now=50.0)
    assert counted.saved()[ONE.rule.version] == {"a": 50.0}


def test_only_so_many_different_ways_are_counted_at_a_time() -> None:
    """Where each task has outcomes of its own, the report does not have to count all of them at once."""
    rules = [rule(f"rule-{number}", "true") for number in range(16)]
    counted = CountedFindings(LIVE, Told([], [], [], []))
    counted.set_rules(rules, None, order=rules)
    for number in range(3 * MOST_MOVES):
        _record(counted, f"task-{number}", nothing_known(16), *(number >> bit & 1 for bit in range(16)))
        assert len(counted._moves) < MOST_MOVES
    counted.settle()
    violations = [sum(number >> bit & 1 for number in range(3 * MOST_MOVES)) for bit in range(16)]
    assert [report.violations for report in counted.reports(lambda _: 5)] == violations
    assert [report.evaluated for report in counted.reports(lambda _: 5)] == [3 * MOST_MOVES] * 16


def test_only_settled_rules_could_show_examples() -> None:
    """Numbers of violations are reported by severity, of rules that are reported."""
    counted, _ = _counted()
    _record(counted, "a", nothing_known(2), VIOLATION, PASS)
    assert counted.violations() == {}
    counted.settle()
    assert counted.violations() == {Severity.CRITICAL: [1]}
