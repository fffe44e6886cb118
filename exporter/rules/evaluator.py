"""Evaluates the rules of one app, as few of them as a change needs and as many as possible together."""

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from enum import IntEnum
from functools import cached_property
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from exporter.rules.cel_language import Activation, EvaluationError, Expression, compile_list
from exporter.rules.cost import PUSH_AUTH, TURN_COST
from exporter.rules.rule import (
    CODES,
    ERROR,
    EXEMPT,
    FROZEN,
    VIOLATION,
    CompiledRule,
    Outcome,
    frozen_as,
    without_exemptions,
)
from exporter.rules.subject import Subject
from exporter.rules.syntax_tree import TIME, TimeLimit

APP: Final = "app"
RELATIONS: Final = frozenset({"shared_outputs", "cdn_flag_conflicts"})  # what follows from other tasks
OF_A_CONFIGURATION: Final = frozenset({"task", APP, PUSH_AUTH, *RELATIONS})
"""Rules that name only these have the same outcome for all tasks of an app that agree in them."""

MOST_REMEMBERED: Final = 8192  # outcomes of distinct configurations, of which fleets have some hundred


class Scope(IntEnum):
    """By which rules a task is to be evaluated; each includes those before it."""

    EXEMPTIONS = 0  # by none: only which violations are exempt is looked at again
    TIME = 1  # by rules about the time
    RELATIONS = 2  # by rules about other tasks, too
    ALL = 3


class _Memory(dict[Hashable, bytes]):
    """Outcomes by what they depend on; unlike `dict`, it can be held weakly."""


class SharedEvaluations:
    """What all apps share: remembered outcomes and programs. Both go with the last evaluator that uses them."""

    def __init__(self) -> None:
        self._memories: WeakValueDictionary[Hashable, _Memory] = WeakValueDictionary()
        self._programs: WeakValueDictionary[Hashable, Expression] = WeakValueDictionary()

    def memory(self, rules: Sequence[CompiledRule], app: Hashable) -> _Memory:
        """Return where the outcomes of some rules are remembered; `app` is what they depend on of the app."""
        return self._memories.setdefault((tuple(map(_conditions, rules)), app), _Memory())

    def program(self, rules: Sequence[CompiledRule]) -> Expression | None:
        """Return one expression with the outcomes of some rules; None where they have to be evaluated one by one."""
        if len(rules) == 1:
            return None
        key = tuple((rule.when, rule.expect) for rule in rules)
        program = self._programs.get(key) or compile_list(map(_outcome_code, rules))
        if program is not None:
            self._programs[key] = program
        return program


class Evaluator:
    """Evaluates the rules of one app; `rules` has the order of the outcomes."""

    def __init__(self, rules: Iterable[CompiledRule], app: Hashable, shared: SharedEvaluations) -> None:
        kinds: dict[_Kind, list[CompiledRule]] = {}
        for rule in rules:
            kinds.setdefault(_kind(rule), []).append(rule)
        self._groups: list[_RuleGroup] = []
        self.rules: tuple[CompiledRule, ...] = ()
        for kind in sorted(kinds):
            for part in _parts(kinds[kind]):
                self._groups.append(_RuleGroup(kind, part, app, shared, first=len(self.rules)))
                self.rules += tuple(part)
        self._is_costly = sum(group.cost for group in self._groups) > TURN_COST
        self._with_exemptions = [place for place, rule in enumerate(self.rules) if rule.rule.exempt]
        exemptions = (exemption for rule in self.rules for exemption in rule.rule.exempt)
        self._exemption_ends = sorted(one.ends_at for one in exemptions if one.until is not None)
        self.depends_on_push_keys = any(kind.has_keys for kind in kinds)
        self.limits = frozenset[TimeLimit]().union(*(rule.limits for rule in self.rules))
        """When outcomes can change as time passes; none where no rule depends on the time."""

    def ended_exemptions(self, now: float) -> int:
        """Return how many exemptions have ended at a time, in seconds since 1970."""
        return bisect_right(self._exemption_ends, now)

    def outcomes(self, subject: Subject, before: bytes, scope: Scope) -> bytes | None:
        """Return the outcomes for a task, those before where the scope does not reach.

        None: only some rules were evaluated, since all would take longer than a turn of the event loop: ask again.
        """
        known = without_exemptions(before)
        found = {group: group.recall(subject) for group in self._groups if group.scope <= scope}
        unknown = [group for group, outcomes in found.items() if outcomes is None]
        if self._is_costly and len(unknown) > 1 and sum(group.cost for group in unknown) > TURN_COST:
            unknown[0].evaluate(subject)
            return None
        if variables := [group.variables for group in unknown if not group.has_keys]:
            subject.activation(frozenset[str]().union(*variables))  # one for all of them
        found.update((group, group.evaluate(subject)) for group in unknown)
        parts = []
        for group in self._groups:
            part, outcomes = known[group.places], found.get(group)
            parts.append(part if outcomes is None else frozen_as(part, outcomes))
            group.forget_task()
        return self._with_exemptions_applied(b"".join(parts), subject)

    def _with_exemptions_applied(self, outcomes: bytes, subject: Subject) -> bytes:
        exempt = [
            place
            for place in self._with_exemptions
            if outcomes[place] == VIOLATION
            and self.rules[place].rule.exemption_of(subject.entry.task_id, subject.seconds)
        ]
        if not exempt:
            return outcomes
        applied = bytearray(outcomes)
        for place in exempt:
            applied[place] = EXEMPT
        return bytes(applied)


class _Kind(NamedTuple):
    scope: Scope
    is_remembered: bool
    depends_on_app: bool
    shares: bool
    has_keys: bool


class _RuleGroup:
    def __init__(
        self, kind: _Kind, rules: Sequence[CompiledRule], app: Hashable, shared: SharedEvaluations, *, first: int
    ) -> None:
        self.scope = kind.scope
        self.has_keys = kind.has_keys
        self.cost = sum(rule.cost for rule in rules)
        self.variables = frozenset[str]().union(*(rule.uses for rule in rules))
        self.places = slice(first, first + len(rules))
        self._rules = rules
        self._kind = kind
        self._shared = shared
        self._memory = shared.memory(rules, app if kind.depends_on_app else None) if kind.is_remembered else _Memory()

    @cached_property
    def _program(self) -> Expression | None:
        return self._shared.program(self._rules)

    def recall(self, subject: Subject) -> bytes | None:
        """Return the outcomes; None: the rules have to be evaluated."""
        outcomes = self._memory.get(self._key(subject))
        return None if outcomes is None or self._is_evaluated_again(outcomes) else outcomes

    def evaluate(self, subject: Subject) -> bytes:
        if len(self._memory) >= MOST_REMEMBERED:
            self._memory.clear()
        outcomes = self._memory[self._key(subject)] = self._evaluate(subject.activation(self.variables))
        return outcomes

    def forget_task(self) -> None:
        """Forget what depends on more than the configuration."""
        if not self._kind.is_remembered:
            self._memory.clear()

    def _key(self, subject: Subject) -> Hashable:
        what = subject.configuration if self._kind.is_remembered else subject.whole_task
        shared = (subject.shared_outputs, subject.cdn_flag_conflicts) if self._kind.shares else None
        return (what, shared, subject.push_states if self._kind.has_keys else None)

    def _evaluate(self, activation: Activation) -> bytes:
        if self._program is not None:
            try:
                return bytes(self._program.evaluate_list(activation))
            except EvaluationError:
                pass
        outcomes = bytes([CODES[rule.evaluate(activation).outcome] for rule in self._rules])
        if ERROR in outcomes:
            each = zip(outcomes, self._rules, strict=True)
            outcomes = bytes(FROZEN if code == ERROR and rule.is_stopped else code for code, rule in each)
            if self._program is not None and FROZEN in outcomes:
                self._program.stopped = True
        return outcomes

    def _is_evaluated_again(self, outcomes: bytes) -> bool:
        """Whether a rule that was stopped runs again, since rules were loaded."""
        return FROZEN in outcomes and any(
            outcome == FROZEN and not rule.is_stopped for outcome, rule in zip(outcomes, self._rules, strict=True)
        )


def _kind(rule: CompiledRule) -> _Kind:
    is_remembered = rule.uses <= OF_A_CONFIGURATION
    scope = Scope.ALL
    if rule.uses & TIME:
        scope = Scope.TIME
    elif rule.uses & {PUSH_AUTH, *RELATIONS}:
        scope = Scope.RELATIONS
    return _Kind(
        scope=scope,
        is_remembered=is_remembered,
        depends_on_app=is_remembered and APP in rule.uses,
        shares=not RELATIONS.isdisjoint(rule.uses),
        has_keys=PUSH_AUTH in rule.uses,
    )


def _parts(rules: Iterable[CompiledRule]) -> Iterator[Sequence[CompiledRule]]:
    """Divide rules so that each part takes a turn of the event loop at most, or is one rule."""
    part, cost = list[CompiledRule](), 0
    for rule in sorted(rules, key=lambda rule: rule.cost):
        cost += rule.cost
        if part and cost > TURN_COST:
            yield part
            part, cost = [], rule.cost
        part.append(rule)
    yield part


def _conditions(rule: CompiledRule) -> tuple[str, str]:
    return rule.rule.when, rule.rule.expect


def _outcome_code(rule: CompiledRule) -> str:
    """Return an expression whose value is the code of the rule's outcome; a comment ends with its line."""
    when, expect = _conditions(rule)
    code = f"({expect}\n) ? {CODES[Outcome.PASS]} : {CODES[Outcome.VIOLATION]}"
    return f"({when}\n) ? ({code}) : {CODES[Outcome.NOT_APPLICABLE]}" if when else code
