"""What a rule is, as it is written and ready to run, and what can come of it."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from math import inf
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from exporter.rules.cel_language import (
    Activation,
    CompileError,
    CompileMistake,
    EvaluationError,
    Expression,
    compile_condition,
    compile_message,
)
from exporter.rules.syntax_tree import TimeLimit

AppKey: TypeAlias = tuple[str, str]  # account and AppId


class Severity(StrEnum):
    """How much a violation matters, least first. Info is for dashboards and never alerts."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its place, for comparisons: 0 is the least."""
        return SEVERITIES.index(self)


SEVERITIES: Final = tuple(Severity)


class Outcome(StrEnum):
    """What comes of a rule for one task; exactly one of these."""

    PASS = "pass"  # noqa: S105 - no password
    VIOLATION = "violation"
    NOT_APPLICABLE = "not_applicable"
    EXEMPT = "exempt"  # it would be a violation, but for an exemption
    ERROR = "error"  # it can't be evaluated: neither pass nor violation


class Exemption(Struct, frozen=True, kw_only=True):
    """Tasks whose violations of a rule are agreed upon."""

    name: str
    tasks: tuple[str, ...]  # TaskIds or globs
    until: date | None = None  # the last day, which ends at 24:00 UTC; None: for good
    reason: str = ""

    @property
    def ends_at(self) -> float:
        """The first second in which it no longer holds, since 1970; infinite: it holds for good."""
        if self.until is None:
            return inf
        return datetime.combine(self.until + timedelta(days=1), time(), UTC).timestamp()


class Case(Struct, frozen=True):
    """One test that is beside a rule."""

    variables: Mapping[str, Any]
    """What the case gives: `task` as nested mappings, and any of the other variables, as `vocabulary.py` types them."""
    outcome: Outcome
    place: str = ""  # file:line:column, for reports


class Rule(Struct, frozen=True, kw_only=True):
    """One rule as it is written; expressions are texts in CEL."""

    name: str  # the label `rule`
    title: str
    severity: Severity
    expect: str
    owner: str = ""
    runbook_url: str = ""
    apps: tuple[str, ...] = ()  # AppIds or globs; empty: all apps
    when: str = ""  # where it is false, the rule does not apply; empty: it always does
    message: str = ""  # makes the text that people see for one task; empty: the title
    exempt: tuple[Exemption, ...] = ()
    tests: tuple[Case, ...] = ()
    reason: str = ""  # why anyone should care, for documents and pages
    remedy: str = ""  # what to do about a violation
    source: str = ""  # where it is: `default`, `profile`, `app` for expectations of an app, or file:line

    @property
    def version(self) -> tuple[str, ...]:
        """What findings and counters belong to: while it is the same, they survive a reload."""
        return (self.name, self.severity, self.when, self.expect)

    def exemption_of(self, task_id: str, now: float) -> Exemption | None:
        """Return the first exemption that holds for a task at a time, given in seconds since 1970."""
        for exemption in self.exempt:
            if now < exemption.ends_at and any(fnmatchcase(task_id, pattern) for pattern in exemption.tasks):
                return exemption
        return None


OUTCOMES: Final = tuple(Outcome)  # by code

CODES: Final = {outcome: code for code, outcome in enumerate(OUTCOMES)}

PASS, VIOLATION, NOT_APPLICABLE, EXEMPT, ERROR = range(len(OUTCOMES))
UNKNOWN: Final = len(OUTCOMES)  # nothing is known: the rule is new, or the task is not there
FROZEN: Final = UNKNOWN + 1
"""The rule is stopped: the outcome before stays. Never among the outcomes that are kept of a task."""

_AS_JUDGED: Final = bytes.maketrans(bytes([EXEMPT]), bytes([VIOLATION]))


def nothing_known(rules: int) -> bytes:
    """Return the outcomes of a task that was not evaluated."""
    return bytes([UNKNOWN]) * rules


def frozen_as(before: bytes, after: bytes) -> bytes:
    """Return the outcomes after, with those before where they are frozen; what was never evaluated is an error."""
    if FROZEN not in after:
        return after
    kept = (ERROR if old == UNKNOWN else old for old in before)
    return bytes(old if new == FROZEN else new for old, new in zip(kept, after, strict=True))


def without_exemptions(outcomes: bytes) -> bytes:
    """Return the outcomes as they were before exemptions were applied."""
    return outcomes.translate(_AS_JUDGED)


LONGEST_MESSAGE: Final = 500

Key = Literal["when", "expect", "message"]


class Verdict(NamedTuple):
    """What comes of a rule, exemptions apart."""

    outcome: Outcome
    reason: str = ""  # why it can't be evaluated


class RuleError(Exception):
    """A rule that can't be used; every mistake of its expressions, with the key of the rule."""

    def __init__(self, mistakes: tuple[tuple[Key, CompileMistake], ...]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(f"{key}: {at.line}:{at.column}: {at.text}" for key, at in mistakes))


class CompiledRule(Struct, frozen=True):
    """A rule that is ready to run."""

    rule: Rule
    when: Expression | None
    expect: Expression
    message: Expression | None
    uses: frozenset[str]  # the variables that `when` and `expect` name: what decides how often it is evaluated

    @property
    def is_stopped(self) -> bool:
        """Whether it is not evaluated any more, because it was too slow; what it has found stays as it is."""
        return self.expect.stopped or (self.when is not None and self.when.stopped)

    @property
    def cost(self) -> int:
        """The most that an evaluation of its conditions can cost."""
        return self.expect.cost + (0 if self.when is None else self.when.cost)

    @property
    def limits(self) -> frozenset[TimeLimit]:
        """When its outcome can change as time passes."""
        return self.expect.limits if self.when is None else self.when.limits | self.expect.limits

    def applies_to_app(self, app_id: str) -> bool:
        """Whether the rule is for this app."""
        return not self.rule.apps or any(fnmatchcase(app_id, pattern) for pattern in self.rule.apps)

    def evaluate(self, activation: Activation) -> Verdict:
        """Return what comes of the rule for one task."""
        try:
            if self.when is not None and not self.when.evaluate(activation):
                return _NOT_APPLICABLE
            return _PASS if self.expect.evaluate(activation) else _VIOLATION
        except EvaluationError as error:
            return Verdict(Outcome.ERROR, str(error))

    def text_for(self, activation: Activation) -> str:
        """Return one line about a task that violates the rule; the title where the rule has no message."""
        if self.message is None:
            return self.rule.title
        try:
            text = " ".join(self.message.evaluate_text(activation).split())
        except EvaluationError as error:
            return f"{self.rule.title} (no message: {error})"
        return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"


class TaskCountRule(Struct, frozen=True):
    """A rule about how many tasks an app has."""

    rule: Rule
    least: int | None
    most: int | None

    def evaluate(self, tasks: int) -> Verdict:
        """Return what comes of it for a number of tasks."""
        too_few = self.least is not None and tasks < self.least
        too_many = self.most is not None and tasks > self.most
        return _VIOLATION if too_few or too_many else _PASS

    def text_for(self, tasks: int) -> str:
        """Return one line about a number of tasks that violates the rule."""
        if self.least is not None and tasks < self.least:
            return f"too few tasks: {tasks}, expected at least {self.least}"
        return f"too many tasks: {tasks}, expected at most {self.most}"


def compile_rule(rule: Rule) -> CompiledRule:
    """Compile a rule's expressions; raises RuleError if at least one can't be used."""
    mistakes: list[tuple[Key, CompileMistake]] = []

    def compiled(key: Key, text: str, compile_text: Callable[[str], Expression]) -> Expression | None:
        try:
            return compile_text(text)
        except CompileError as error:
            mistakes.extend((key, mistake) for mistake in error.mistakes)
            return None

    when = compiled("when", rule.when, compile_condition) if rule.when else None
    expect = compiled("expect", rule.expect, compile_condition)
    message = compiled("message", rule.message, compile_message) if rule.message else None
    if expect is None or mistakes:
        raise RuleError(tuple(mistakes))
    uses = expect.uses if when is None else expect.uses | when.uses
    return CompiledRule(rule, when, expect, message, uses)


_PASS: Final = Verdict(Outcome.PASS)
_VIOLATION: Final = Verdict(Outcome.VIOLATION)
_NOT_APPLICABLE: Final = Verdict(Outcome.NOT_APPLICABLE)
