"""Tests of how examples are shared out."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.rules.rule import SEVERITIES, Severity
from exporter.rules.violation_examples import ExampleAllowance

_apps = st.dictionaries(
    st.tuples(st.just("prod"), st.sampled_from("abcd")),
    st.dictionaries(st.sampled_from(SEVERITIES), st.lists(st.integers(0, 12), max_size=4), max_size=3),
    max_size=4,
)


def _expected(apps: dict[tuple[str, str], dict[Severity, list[int]]], per_rule: int, most: int) -> dict[Severity, int]:
    """Return the largest allowances that fit, found by trying."""
    allowed = {}
    for severity in reversed(SEVERITIES):
        numbers = [number for app in apps.values() for number in app.get(severity, ())]
        fitting = [each for each in range(per_rule + 1) if sum(min(each, number) for number in numbers) <= most]
        allowed[severity] = max(fitting)
        most -= sum(min(allowed[severity], number) for number in numbers)
    return allowed


@given(st.lists(_apps, max_size=3), st.integers(0, 10), st.integers(0, 40))
def test_as_many_as_fit_critical_first(
    rounds: list[dict[tuple[str, str], dict[Severity, list[int]]]], per_rule: int, most: int
) -> None:
    """However violations come and go, each severity gets the largest number that fits into what is left for it."""
    allowance = ExampleAllowance(per_rule, most)
    known: dict[tuple[str, str], dict[Severity, list[int]]] = {}
    for apps in rounds:
        for app, violations in apps.items():
            before = {severity: allowance.of(severity) for severity in SEVERITIES}
            moved = allowance.update(app, violations)
            known[app] = violations
            now = {severity: allowance.of(severity) for severity in SEVERITIES}
            assert now == _expected(known, per_rule, most)
            assert moved == (now != before)
