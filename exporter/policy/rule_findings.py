"""How it stands with one rule in one app, kept up to date task by task."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from exporter.policy.compiled import TaskCountRule
from exporter.policy.finding_events import AnyRule
from exporter.policy.outcomes import ERROR, EXEMPT, NOT_APPLICABLE, PASS, UNKNOWN, VIOLATION
from exporter.policy.report import RuleReport
from exporter.policy.stable_examples import StableExamples

THE_APP: Final = ""
"""Stands where a TaskId does for a violation of the app as a whole: no task has an empty TaskId."""


class RuleFindings:
    """The outcomes of one rule, counted, and its open violations with their ages.

    Until it is settled, violations belong to the baseline: they are no events, and those that are remembered keep
    their age.

    Args:
        rule: The rule, which another spelling of the same version may replace.
        remembered: Since when tasks were known to violate it before.
    """

    def __init__(self, rule: AnyRule, remembered: Mapping[str, float] | None = None) -> None:
        self.rule = rule
        self.settled = False
        """Whether all tasks have been judged by it."""
        self.since: dict[str, float] = {}
        """The open violations by TaskId: since when, in wall-clock seconds."""
        self.remembered = remembered or {}
        self._counts = [0] * (UNKNOWN + 1)
        self._opened = 0
        self._resolved = 0
        self._report: RuleReport | None = None
        """The last one, while it still holds."""
        self._shown = 0
        """With at most so many examples."""
        self._tasks_since: Counter[float] = Counter()
        """How many violations are open since a time: there are few such times, each that of a sweep or an update."""
        self._examples = StableExamples(self.since)

    @property
    def version(self) -> tuple[str, ...]:
        """What the findings belong to: see `Rule.version`."""
        return self.rule.rule.version

    @property
    def violations(self) -> int:
        """How many violations are open."""
        return len(self.since)

    def count(self, before: int, after: int, *, tasks: int) -> None:
        """Count that the outcome of so many tasks is another one now; opening and resolving come on top."""
        self._counts[before] -= tasks
        self._counts[after] += tasks
        self._report = None

    def open(self, task_id: str, now: float) -> None:
        """A task violates the rule that did not before."""
        since = now
        if self.settled:
            self._opened += 1
        else:
            since = min(now, self.remembered.get(task_id, now))
        self.since[task_id] = since
        self._tasks_since[since] += 1
        self._examples.added(task_id)

    def resolve(self, task_id: str) -> float:
        """A task does not violate the rule any more; return since when it did."""
        since = self.since.pop(task_id)
        self._tasks_since[since] -= 1
        if not self._tasks_since[since]:
            del self._tasks_since[since]
        self._examples.removed(task_id)
        if self.settled:
            self._resolved += 1
        return since

    def settle(self) -> None:
        """All tasks have been judged: what is open now is the baseline."""
        self.settled = True
        self.remembered = {}

    def report(self, examples: int) -> RuleReport:
        """Return how it stands, with at most so many examples."""
        if self._report is None or examples != self._shown:
            self._report, self._shown = self._new_report(examples), examples
        return self._report

    def _new_report(self, examples: int) -> RuleReport:
        shown: tuple[str, ...] = ()
        omitted = 0
        if not isinstance(self.rule, TaskCountRule):
            shown = self._examples.first(examples)
            omitted = self.violations - len(shown)
        return RuleReport(
            rule=self.rule.rule.name,
            severity=self.rule.rule.severity,
            evaluated=self._counts[PASS] + self._counts[VIOLATION],
            not_applicable=self._counts[NOT_APPLICABLE],
            exempted=self._counts[EXEMPT],
            unevaluable=self._counts[ERROR],
            violations=self.violations,
            oldest_violation=min(self._tasks_since, default=None),
            opened=self._opened,
            resolved=self._resolved,
            examples=shown,
            examples_omitted=omitted,
        )
