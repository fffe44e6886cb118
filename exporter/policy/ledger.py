"""The findings of one app by all its rules: counted as outcomes change, and told as they open and resolve."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from exporter.policy.compiled import CompiledRule, TaskCountRule
from exporter.policy.finding_events import AnyRule, AppKey, FindingEvents, Resolution
from exporter.policy.findings import SavedFindings
from exporter.policy.outcomes import CODES, ERROR, EXEMPT, NOT_APPLICABLE, PASS, UNKNOWN, VIOLATION
from exporter.policy.report import RuleReport
from exporter.policy.rule import Severity
from exporter.policy.rule_findings import THE_APP, RuleFindings

REMEMBERED_WAYS: Final = 4096

MOST_MOVES: Final = 256
"""So many different ways of tasks are counted by rule at a time: it takes no longer than a millisecond or two."""

_RESOLUTIONS: Final = {
    PASS: Resolution.FIXED,
    NOT_APPLICABLE: Resolution.NOT_APPLICABLE,
    EXEMPT: Resolution.EXEMPTED,
    ERROR: Resolution.UNEVALUABLE,
    UNKNOWN: Resolution.REMOVED,
}


class Ledger:
    """Keeps what became of tasks by rule.

    Args:
        app: Account and AppId.
        events: Who is told of violations that open and resolve once their rule is settled.
    """

    def __init__(self, app: AppKey, events: FindingEvents) -> None:
        self._app = app
        self._events = events
        self._about_tasks: tuple[RuleFindings, ...] = ()
        """In the order of the outcomes."""
        self._number_rule: TaskCountRule | None = None
        self._about_number: RuleFindings | None = None
        self._number_outcome = UNKNOWN
        self._in_order: tuple[RuleFindings, ...] = ()
        """In the order of the rules, that about the number of tasks last."""
        self._moves: Counter[tuple[bytes, bytes]] = Counter()
        """How many tasks went from which outcomes to which, where that is not counted by rule yet."""
        self._remembered: dict[tuple[str, ...], Mapping[str, float]] = {}

    def set_rules(
        self, rules: Sequence[CompiledRule], number: TaskCountRule | None, *, order: Iterable[CompiledRule]
    ) -> Sequence[int | None]:
        """Take on other rules; what is known by the same version of a rule stays.

        Args:
            rules: In the order of the outcomes.
            number: About the number of tasks.
            order: The rules in the order of reports.

        Returns:
            For each rule, the place of its outcomes before; None: it is new.
        """
        self._count_moves()
        known = {findings.version: findings for findings in self._in_order}
        places = {findings.version: place for place, findings in enumerate(self._about_tasks)}

        def kept(rule: AnyRule) -> RuleFindings:
            findings = known.get(rule.rule.version)
            if findings is None:
                findings = RuleFindings(rule, self._remembered.get(rule.rule.version))
            findings.rule = rule
            return findings

        self._about_tasks = tuple(kept(rule) for rule in rules)
        self._number_rule = number
        before, self._about_number = self._about_number, None if number is None else kept(number)
        if self._about_number is not before:
            self._number_outcome = UNKNOWN
        by_version = {findings.version: findings for findings in self._about_tasks}
        in_order = [by_version[rule.rule.version] for rule in order]
        self._in_order = tuple(in_order if self._about_number is None else [*in_order, self._about_number])
        return [places.get(findings.version) for findings in self._about_tasks]

    def restore(self, saved: Iterable[SavedFindings]) -> None:
        """Let violations of the baseline keep the age that is known of them."""
        self._remembered = {each.rule_version: each.since for each in saved}
        for findings in self._in_order:
            findings.remembered = self._remembered.get(findings.version, {})

    def saved(self) -> tuple[SavedFindings, ...]:
        """Return what the next process should know."""
        return tuple(
            SavedFindings(findings.version, {**findings.remembered, **findings.since}) for findings in self._in_order
        )

    def record(self, task_id: str, before: bytes, after: bytes, *, now: float, text: Callable[[AnyRule], str]) -> None:
        """Take note of a task's outcomes.

        Args:
            task_id: The task.
            before: Its outcomes so far.
            after: Its outcomes now.
            now: Wall-clock seconds.
            text: Makes what people are told of a violation.
        """
        self._moves[before, after] += 1
        if len(self._moves) >= MOST_MOVES:
            self._count_moves()
        for place, old, new in _violations_between(before, after):
            self._open_or_resolve(self._about_tasks[place], task_id, old, new, now=now, text=text)

    def record_number(self, tasks: int, *, now: float, text: Callable[[AnyRule], str]) -> None:
        """Take note of how many tasks there are; the arguments are as those of `record`."""
        if self._number_rule is not None and self._about_number is not None:
            outcome = CODES[self._number_rule.judge(tasks).outcome]
            if outcome != self._number_outcome:
                self._about_number.count(self._number_outcome, outcome, tasks=1)
                self._open_or_resolve(self._about_number, THE_APP, self._number_outcome, outcome, now=now, text=text)
                self._number_outcome = outcome

    def settle(self) -> int | None:
        """Begin to count events by all rules: what is open now is the baseline of those that were not settled.

        Returns:
            How many violations that baseline has; None: all rules were settled.
        """
        self._remembered = {}
        unsettled = [findings for findings in self._in_order if not findings.settled]
        for findings in unsettled:
            findings.settle()
        return sum(findings.violations for findings in unsettled) if unsettled else None

    def violations(self) -> Mapping[Severity, Sequence[int]]:
        """Return how many tasks violate each rule, by severity: what there could be examples of."""
        numbers: dict[Severity, list[int]] = {}
        for findings in self._about_tasks:
            if findings.settled and findings.violations:
                numbers.setdefault(findings.rule.rule.severity, []).append(findings.violations)
        return numbers

    def reports(self, examples: Callable[[Severity], int]) -> tuple[RuleReport, ...]:
        """Return how it stands with each settled rule.

        Args:
            examples: Gives how many a rule of a severity may show.
        """
        self._count_moves()
        return tuple(findings.report(examples(findings.rule.rule.severity)) for findings in self.settled())

    def settled(self) -> Iterator[RuleFindings]:
        """Yield the findings of the rules by which all tasks have been judged, in the order of the rules."""
        return (findings for findings in self._in_order if findings.settled)

    def _count_moves(self) -> None:
        """Count what was recorded, tasks with the same change together."""
        for (before, after), tasks in self._moves.items():
            for findings, old, new in zip(self._about_tasks, before, after, strict=True):
                if old != new:
                    findings.count(old, new, tasks=tasks)
        self._moves.clear()

    def _open_or_resolve(
        self,
        findings: RuleFindings,
        task_id: str,
        before: int,
        after: int,
        *,
        now: float,
        text: Callable[[AnyRule], str],
    ) -> None:
        """Take note of a violation that is new or gone, and tell of it once its rule is settled."""
        if after == VIOLATION:
            findings.open(task_id, now)
            if findings.settled:
                self._events.opened(self._app, findings.rule, task_id or None, text(findings.rule))
        elif before == VIOLATION:
            since = findings.resolve(task_id)
            if findings.settled:
                self._events.resolved(self._app, findings.rule, task_id or None, since, _RESOLUTIONS[after])


# Most tasks go the same few ways.
@lru_cache(maxsize=REMEMBERED_WAYS)
def _violations_between(before: bytes, after: bytes) -> tuple[tuple[int, int, int], ...]:
    """Return place, outcome before and outcome after of each rule by which a violation opens or is resolved."""
    return tuple(
        (place, old, new)
        for place, (old, new) in enumerate(zip(before, after, strict=True))
        if old != new and VIOLATION in {old, new}
    )
