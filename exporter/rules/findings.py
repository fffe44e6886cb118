"""The findings of one app by all its rules: counted as outcomes change, and reported as they open and resolve."""

import logging
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache, partial
from heapq import nsmallest
from typing import Any, Final, TypeAlias

import structlog
import xxhash
from msgspec import Struct

from exporter.collector.past import OpenSince, RuleVersion
from exporter.core.clock import Clock
from exporter.core.log import LimitedLines
from exporter.rules.rule import (
    CODES,
    ERROR,
    EXEMPT,
    NOT_APPLICABLE,
    PASS,
    UNKNOWN,
    VIOLATION,
    AppKey,
    CompiledRule,
    Severity,
    TaskCountRule,
)

AnyRule: TypeAlias = CompiledRule | TaskCountRule


class Resolution(StrEnum):
    """Why a violation is open no longer."""

    FIXED = "fixed"  # it passes
    NOT_APPLICABLE = "not_applicable"  # the rule does not apply any more
    EXEMPTED = "exempted"  # an exemption holds now
    UNEVALUABLE = "unevaluable"  # the rule can't be evaluated any more
    REMOVED = "removed"  # the task is gone


class FindingEvents:
    """Receives events of findings; discards them by itself. A task_id of None is the app as a whole."""

    def baseline(self, app: AppKey, violations: int) -> None:
        """An app was evaluated for the first time, or by some rules; these violations are reported in no other way."""

    def found(self, app: AppKey, rule: AnyRule, task_id: str | None, text: Callable[[], str]) -> None:
        """A violation that no earlier process knew, before the `baseline` that counts it; `text` is for now only."""

    def stopped(self, rule: AnyRule, why: str) -> None:
        """A rule is not evaluated any more; its findings stay as they are until rules are loaded again."""

    def opened(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, text: str) -> None:
        """A violation is there that was not there before, since a wall-clock time."""

    def resolved(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, why: Resolution) -> None:
        """A violation, open since a wall-clock time, is open no longer."""


LINES_PER_SECOND: Final = 10  # of each kind. When many open together, one line says how many were left out.


class FindingLog(FindingEvents):
    """Writes events of findings to the log."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        lines = partial(LimitedLines, clock=clock, per_second=LINES_PER_SECOND, counted="left_out")
        self._opened = lines("more violations opened than are logged one by one")
        self._resolved = lines("more violations were resolved than are logged one by one")

    def baseline(self, app: AppKey, violations: int) -> None:
        """Sum up what is violated from the start."""
        account, app_id = app
        structlog.get_logger().info(
            "all tasks are evaluated by the rules in force", account=account, app_id=app_id, violations=violations
        )

    def stopped(self, rule: AnyRule, why: str) -> None:
        """Log that a rule is not evaluated any more."""
        structlog.get_logger().error(
            "rule stopped, its findings are frozen until a reload", rule=rule.rule.name, why=why
        )

    def opened(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, text: str) -> None:  # noqa: ARG002
        """Log a violation as a warning, or as info where it does not matter more."""
        level = logging.INFO if rule.rule.severity is Severity.INFO else logging.WARNING
        self._opened.write(level, "violation opened", lambda: {**_about(app, rule, task_id), "message": text})

    def resolved(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, why: Resolution) -> None:
        """Log that a violation has ended, and why."""
        lasted = {"why": why.value, "lasted_seconds": max(0, round(self._clock.now() - since))}
        self._resolved.write(logging.INFO, "violation resolved", lambda: {**_about(app, rule, task_id), **lasted})

    def flush(self) -> None:
        """Say how many lines were left out in seconds that are over; to be called about every second."""
        self._opened.flush()
        self._resolved.flush()


def _about(app: AppKey, rule: AnyRule, task_id: str | None) -> Mapping[str, Any]:
    account, app_id = app
    return {
        "account": account,
        "app_id": app_id,
        "rule": rule.rule.name,
        "severity": rule.rule.severity.value,
        "task_id": task_id,
    }


class RuleReport(Struct, frozen=True):
    """The state of one rule in one app.

    `evaluated + not_applicable + exempted + unevaluable` is the number of its tasks, or 1 for a rule of the app.
    """

    rule: str
    severity: Severity
    evaluated: int = 0  # tasks that pass or violate it
    not_applicable: int = 0
    exempted: int = 0
    unevaluable: int = 0
    violations: int = 0
    oldest_violation: float | None = None
    """Wall-clock seconds since when the oldest open violation is seen; None: there is none."""
    opened: int = 0  # since the baseline: violations = those at the baseline + opened - resolved
    resolved: int = 0
    examples: tuple[str, ...] = ()  # TaskIds of some violations, chosen stably
    examples_omitted: int = 0  # violating tasks that are not among the examples


class PolicyReport(Struct, frozen=True):
    """The state of all rules of one app."""

    revision: int  # another one for each report of the process: equal means that nothing differs
    rules: tuple[RuleReport, ...]
    """In the order of the rules; those that were not evaluated for all tasks yet are left out."""


LEAST_ROOM: Final = 128
"""More than `examples_per_rule` can be: else a question about many tasks would look at all of them."""


class StableExamples:
    """Chooses the TaskIds with the lowest hashes, whatever happened before; `added` and `removed` follow a change."""

    def __init__(self, tasks: Collection[str]) -> None:
        self._tasks = tasks
        self._room = LEAST_ROOM
        self._lowest: list[tuple[int, str]] = []  # the lowest of all, in order, though not all that are low

    def added(self, task_id: str) -> None:
        """Take note of a task that was not there before."""
        ranked = _ranked(task_id)
        knows_all = len(self._lowest) == len(self._tasks) - 1
        if knows_all or (self._lowest and ranked < self._lowest[-1]):
            insort(self._lowest, ranked)
            if len(self._lowest) > 2 * self._room:
                del self._lowest[self._room :]

    def removed(self, task_id: str) -> None:
        """Take note of a task that was there before."""
        ranked = _ranked(task_id)
        place = bisect_left(self._lowest, ranked)
        if place < len(self._lowest) and self._lowest[place] == ranked:
            del self._lowest[place]

    def first(self, most: int) -> tuple[str, ...]:
        """Return this many examples, or all tasks where there are fewer."""
        if len(self._lowest) < min(most, len(self._tasks)):
            self._room = max(LEAST_ROOM, 2 * most)
            self._lowest = nsmallest(self._room, map(_ranked, self._tasks))
        return tuple(task_id for _, task_id in self._lowest[:most])


def _ranked(task_id: str) -> tuple[int, str]:
    return xxhash.xxh3_64_intdigest(task_id.encode("utf-8", "replace")), task_id


THE_APP: Final = ""  # the TaskId of a violation of the app as a whole: no task has an empty one


class RuleFindings:
    """The outcomes of one rule, counted, and its open violations with their ages.

    Until it is settled, violations belong to the baseline: they are no events, and keep their age if it is remembered.
    """

    def __init__(self, rule: AnyRule, remembered: OpenSince | None = None) -> None:
        self.rule = rule
        self.settled = False  # whether all tasks have been evaluated by it
        self.since: dict[str, float] = {}  # the open violations by TaskId: since when, in wall-clock seconds
        self.remembered = remembered or {}
        self._counts = [0] * (UNKNOWN + 1)
        self._opened = 0
        self._resolved = 0
        self._report: tuple[int, RuleReport] | None = None  # the last one, by how many examples were asked for
        self._tasks_since: Counter[float] = Counter()
        """How many violations are open since a time: there are few such times, each that of a sweep or an update."""
        self._examples = StableExamples(self.since)

    @property
    def version(self) -> RuleVersion:
        """What the findings belong to: see `Rule.version`."""
        return self.rule.rule.version

    def count(self, before: int, after: int, *, tasks: int) -> None:
        """Count that the outcome of this many tasks is another one now; opening and resolving come on top."""
        self._counts[before] -= tasks
        self._counts[after] += tasks
        self._report = None

    def open(self, task_id: str, now: float) -> None:
        """A task violates the rule that did not before."""
        since = now if self.settled else min(now, self.remembered.get(task_id, now))
        self._opened += self.settled
        self.since[task_id] = since
        self._count_since(since, 1)
        self._examples.added(task_id)

    def resolve(self, task_id: str) -> float:
        """A task does not violate the rule any more; return since when it did."""
        since = self.since.pop(task_id)
        self._count_since(since, -1)
        self._examples.removed(task_id)
        self._resolved += self.settled
        return since

    def remember(self, since: OpenSince) -> None:
        """Let violations keep the age that is known of them, those of the baseline that is coming and open ones."""
        self.remembered = {} if self.settled else since
        for task_id, known_since in since.items():
            if known_since < self.since.get(task_id, known_since):
                self._count_since(self.since[task_id], -1)
                self._count_since(known_since, 1)
                self.since[task_id] = known_since
        self._report = None

    def settle(self) -> None:
        """All tasks have been evaluated: what is open now is the baseline."""
        self.settled = True
        self.remembered = {}

    def report(self, examples: int) -> RuleReport:
        """Return its findings, with at most this many examples."""
        if self._report is None or examples != self._report[0]:
            has_examples = not isinstance(self.rule, TaskCountRule)
            shown = self._examples.first(examples) if has_examples else ()
            report = RuleReport(
                rule=self.rule.rule.name,
                severity=self.rule.rule.severity,
                evaluated=self._counts[PASS] + self._counts[VIOLATION],
                not_applicable=self._counts[NOT_APPLICABLE],
                exempted=self._counts[EXEMPT],
                unevaluable=self._counts[ERROR],
                violations=len(self.since),
                oldest_violation=min(self._tasks_since, default=None),
                opened=self._opened,
                resolved=self._resolved,
                examples=shown,
                examples_omitted=len(self.since) - len(shown) if has_examples else 0,
            )
            self._report = examples, report
        return self._report[1]

    def _count_since(self, since: float, tasks: int) -> None:
        self._tasks_since[since] += tasks
        if not self._tasks_since[since]:
            del self._tasks_since[since]


_Text: TypeAlias = Callable[[AnyRule], str]

REMEMBERED_WAYS: Final = 4096

MOST_MOVES: Final = 256
"""This many different ways of tasks are counted by rule at a time: it takes no longer than a millisecond or two."""

_RESOLUTIONS: Final = {
    PASS: Resolution.FIXED,
    NOT_APPLICABLE: Resolution.NOT_APPLICABLE,
    EXEMPT: Resolution.EXEMPTED,
    ERROR: Resolution.UNEVALUABLE,
    UNKNOWN: Resolution.REMOVED,
}


class CountedFindings:
    """Keeps what became of an app's tasks by rule; `events` receives what opens and resolves in settled rules."""

    def __init__(self, app: AppKey, events: FindingEvents) -> None:
        self._app = app
        self._events = events
        self._about_tasks: tuple[RuleFindings, ...] = ()  # in the order of the outcomes
        self._about_number: RuleFindings | None = None
        self._number_outcome = UNKNOWN
        self._in_order: tuple[RuleFindings, ...] = ()  # in the order of the rules, that about the number of tasks last
        self._moves: Counter[tuple[bytes, bytes]] = Counter()
        """How many tasks went from which outcomes to which, where that is not counted by rule yet."""
        self._remembered: Mapping[RuleVersion, OpenSince] = {}

    def set_rules(
        self, rules: Sequence[CompiledRule], number: TaskCountRule | None, *, order: Iterable[CompiledRule]
    ) -> Sequence[int | None]:
        """Take on other rules; what is known by the same version of a rule stays.

        `order` has them in that of reports. Returns the place of each rule's outcomes before; None: it is new.
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
        before, self._about_number = self._about_number, None if number is None else kept(number)
        if self._about_number is not before:
            self._number_outcome = UNKNOWN
        by_version = {findings.version: findings for findings in self._about_tasks}
        in_order = [by_version[rule.rule.version] for rule in order]
        self._in_order = tuple(in_order if self._about_number is None else [*in_order, self._about_number])
        return [places.get(findings.version) for findings in self._about_tasks]

    def restore(self, saved: Mapping[RuleVersion, OpenSince]) -> None:
        """Let violations keep the age that is known of them."""
        self._remembered = saved
        for findings in self._in_order:
            findings.remember(self._remembered.get(findings.version, {}))

    def saved(self) -> Mapping[RuleVersion, OpenSince]:
        """Return what the next process should know."""
        return {findings.version: {**findings.remembered, **findings.since} for findings in self._in_order}

    def record(self, task_id: str, before: bytes, after: bytes, *, now: float, text: _Text) -> None:
        """Take note of a task's outcomes before and now; `now` is in wall-clock seconds, `text` is of a violation."""
        self._moves[before, after] += 1
        if len(self._moves) >= MOST_MOVES:
            self._count_moves()
        for place, old, new in _violations_between(before, after):
            self._open_or_resolve(self._about_tasks[place], task_id, old, new, now=now, text=text)

    def record_number(self, tasks: int, *, now: float, text: _Text) -> None:
        """Take note of how many tasks there are; the arguments are as those of `record`."""
        findings, before = self._about_number, self._number_outcome
        if findings is not None and isinstance(findings.rule, TaskCountRule):
            outcome = CODES[findings.rule.evaluate(tasks).outcome]
            if outcome != before:
                self._number_outcome = outcome
                findings.count(before, outcome, tasks=1)
                self._open_or_resolve(findings, THE_APP, before, outcome, now=now, text=text)

    def settle(self) -> int | None:
        """Begin to count events by all rules; return how many violations a new baseline has, else None."""
        self._remembered = {}
        unsettled = [findings for findings in self._in_order if not findings.settled]
        for findings in unsettled:
            findings.settle()
        return sum(len(findings.since) for findings in unsettled) if unsettled else None

    def violations(self) -> Mapping[Severity, Sequence[int]]:
        """Return how many tasks violate each rule, by severity: what there could be examples of."""
        numbers: dict[Severity, list[int]] = {}
        for findings in self._about_tasks:
            if findings.settled and findings.since:
                numbers.setdefault(findings.rule.rule.severity, []).append(len(findings.since))
        return numbers

    def reports(self, examples: Callable[[Severity], int]) -> tuple[RuleReport, ...]:
        """Return the state of each settled rule; `examples` gives how many a rule of a severity may show."""
        self._count_moves()
        most = {severity: examples(severity) for severity in Severity}
        return tuple([findings.report(most[findings.rule.rule.severity]) for findings in self.settled()])

    def settled(self) -> Iterator[RuleFindings]:
        """Yield the findings of the rules by which all tasks have been evaluated, in the order of the rules."""
        return (findings for findings in self._in_order if findings.settled)

    def remembered(self) -> Iterator[tuple[AnyRule, OpenSince]]:
        """Yield what an earlier process left open by rules by which not all tasks have been evaluated since."""
        return ((each.rule, each.remembered) for each in self._in_order if not each.settled and each.remembered)

    def _count_moves(self) -> None:
        for (before, after), tasks in self._moves.items():
            for findings, old, new in zip(self._about_tasks, before, after, strict=True):
                if old != new:
                    findings.count(old, new, tasks=tasks)
        self._moves.clear()

    def _open_or_resolve(
        self, findings: RuleFindings, task_id: str, before: int, after: int, *, now: float, text: _Text
    ) -> None:
        if after == VIOLATION:
            findings.open(task_id, now)
            if findings.settled:
                self._events.opened(self._app, findings.rule, task_id or None, now, text(findings.rule))
            elif task_id not in findings.remembered:
                self._events.found(self._app, findings.rule, task_id or None, partial(text, findings.rule))
        elif before == VIOLATION:
            since = findings.resolve(task_id)
            if findings.settled:
                self._events.resolved(self._app, findings.rule, task_id or None, since, _RESOLUTIONS[after])


# Most tasks go the same few ways.
@lru_cache(maxsize=REMEMBERED_WAYS)
def _violations_between(before: bytes, after: bytes) -> tuple[tuple[int, int, int], ...]:
    return tuple(
        (place, old, new)
        for place, (old, new) in enumerate(zip(before, after, strict=True))
        if old != new and VIOLATION in {old, new}
    )
