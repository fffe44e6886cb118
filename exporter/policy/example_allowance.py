"""How many examples each rule may show, so that all of them together stay within a limit."""

from collections.abc import Mapping, Sequence

from exporter.policy.finding_events import AppKey
from exporter.policy.rule import SEVERITIES, Severity


class ExampleAllowance:
    """Shares out examples over the rules of all apps: critical ones first, and alike within one severity.

    For each severity it is the largest number of examples for each rule and app with which all violations that are
    shown stay within what the severities above leave.

    Args:
        per_rule: At most so many for each rule and app.
        most: At most so many over all.
    """

    def __init__(self, per_rule: int, most: int) -> None:
        self._per_rule = per_rule
        self._most = most
        self._violations: dict[AppKey, Mapping[Severity, Sequence[int]]] = {}
        self._at_least = {severity: [0] * per_rule for severity in SEVERITIES}
        """At `[n]`: how many rules and apps have more than n violations."""
        self._allowed = dict.fromkeys(SEVERITIES, per_rule)

    def of(self, severity: Severity) -> int:
        """Return how many examples each rule of a severity may show of each app."""
        return self._allowed[severity]

    def update(self, app: AppKey, violations: Mapping[Severity, Sequence[int]]) -> bool:
        """Take note of how many violations each rule of an app has; return whether any allowance differs now."""
        before = self._violations.get(app, {})
        if before == violations:
            return False
        self._count(before, -1)
        self._count(violations, 1)
        self._violations[app] = violations
        return self._share_out()

    def _count(self, violations: Mapping[Severity, Sequence[int]], change: int) -> None:
        for severity, numbers in violations.items():
            at_least = self._at_least[severity]
            for number in numbers:
                for place in range(min(number, self._per_rule)):
                    at_least[place] += change

    def _share_out(self) -> bool:
        before, self._allowed = self._allowed, {}
        left = self._most
        for severity in reversed(SEVERITIES):
            allowed = 0
            for rules in self._at_least[severity]:
                if rules > left:
                    break
                allowed += 1
                left -= rules
            self._allowed[severity] = allowed
        return self._allowed != before
