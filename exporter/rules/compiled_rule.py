"""Rules whose expressions are compiled: their outcome for one task, and its text."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from exporter.rules.cel_language import (
    Activation,
    CompileError,
    CompileMistake,
    EvaluationError,
    Expression,
    StoppedError,
    compile_condition,
    compile_message,
)
from exporter.rules.rule import Exemption, Outcome, Rule
from exporter.rules.time_limits import TimeLimit

LONGEST_MESSAGE: Final = 500

Key = Literal["when", "expect", "message"]


class Verdict(NamedTuple):
    """What comes of a rule, exemptions apart."""

    outcome: Outcome
    reason: str = ""  # why it can't be evaluated
    is_stopped: bool = False  # whether it is not evaluated any more, because it was too slow


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
    def limits(self) -> frozenset[TimeLimit] | None:
        """When its outcome can change as time passes; None: at any time."""
        limits = [each.limits for each in (self.when, self.expect) if each is not None]
        return None if None in limits else frozenset().union(*filter(None, limits))

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
            return Verdict(Outcome.ERROR, str(error), isinstance(error, StoppedError))

    def exemption_of(self, task_id: str, now: float) -> Exemption | None:
        """Return the first exemption that holds for a task at a time, given in seconds since 1970."""
        for exemption in self.rule.exempt:
            if now < exemption.ends_at and any(fnmatchcase(task_id, pattern) for pattern in exemption.tasks):
                return exemption
        return None

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
