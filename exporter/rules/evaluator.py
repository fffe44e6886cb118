"""Evaluates the rules of one app, as few of them as a change needs and as many as possible together."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from exporter.rules.backlog import Scope
from exporter.rules.cel_language import Activation, EvaluationError, Expression, Language
from exporter.rules.compiled_rule import CompiledRule
from exporter.rules.cost import PUSH_AUTH, TURN_COST
from exporter.rules.rule import CODES, EXEMPT, FROZEN, VIOLATION, Outcome, frozen_as, without_exemptions
from exporter.rules.subject import Subject
from exporter.rules.time_limits import TIME, TimeLimit

APP: Final = "app"
RELATIONS: Final = frozenset({"shared_outputs", "cdn_flag_conflicts"})
"""What follows from other tasks."""
OF_A_CONFIGURATION: Final = frozenset({"task", APP, PUSH_AUTH, *RELATIONS})
"""Rules that name only these have the same outcome for all tasks of an app that agree in them."""

MOST_REMEMBERED: Final = 8192  # outcomes of distinct configurations, of which fleets have some hundred


class _Memory(dict[Hashable, bytes]):
    """Outcomes by what they depend on; unlike `dict`, it can be held weakly."""


class SharedEvaluations:
    """What all apps share: remembered outcomes and programs. Both go with the last evaluator that uses them."""

    def __init__(self, language: Language) -> None:
        self._language = language
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
        program = self._programs.get(key) or self._language.compile_list(map(_outcome_code, rules))
        if program is not None:
            self._programs[key] = program
        return program


class Evaluator:
    """Evaluates the rules of one app. `rules` has the order of the outcomes, which is not that of the argument.

    Args:
        rules: In any order.
        app: What rules can depend on of the app.
        shared: What apps share.
    """

    def __init__(self, rules: Iterable[CompiledRule], app: Hashable, shared: SharedEvaluations) -> None:
        groups: dict[_Kind, list[CompiledRule]] = {}
        for rule in rules:
            groups.setdefault(_kind(rule), []).append(rule)
        self._groups = [_RuleGroup(kind, part, app, shared) for kind in sorted(groups) for part in _parts(groups[kind])]
        self.rules = tuple(rule for group in self._groups for rule in group.rules)
        self._is_costly = sum(group.cost for group in self._groups) > TURN_COST
        self._with_exemptions = [place for place, rule in enumerate(self.rules) if rule.rule.exempt]

    @property
    def depends_on_time(self) -> bool:
        """Whether tasks have to be evaluated again as time goes by."""
        return any(group.scope is Scope.TIME for group in self._groups)

    @property
    def limits(self) -> frozenset[TimeLimit] | None:
        """When outcomes can change as time passes; None: at any time."""
        limits = [rule.limits for rule in self.rules]
        return None if None in limits else frozenset().union(*filter(None, limits))

    @property
    def depends_on_push_keys(self) -> bool:
        """Whether tasks have to be evaluated again as their push keys expire."""
        return any(PUSH_AUTH in rule.uses for rule in self.rules)

    @property
    def has_exemptions(self) -> bool:
        """Whether some violations may be exempt."""
        return bool(self._with_exemptions)

    def prepare(self, subject: Subject, scope: Scope) -> bool:
        """Evaluate some rules, if `outcomes` would take longer than a turn of the event loop; return whether it did."""
        if not self._is_costly:
            return False
        unknown = [group for group in self._groups if group.scope <= scope and not group.remembers(subject)]
        if len(unknown) < 2 or sum(group.cost for group in unknown) <= TURN_COST:
            return False
        unknown[0].evaluate(subject)
        return True

    def outcomes(self, subject: Subject, before: bytes, scope: Scope) -> bytes:
        """Return the outcomes for a task.

        Args:
            subject: The task.
            before: The outcomes that stay where the scope does not reach.
            scope: Which rules to evaluate.
        """
        known = without_exemptions(before)
        parts, start = [], 0
        for group in self._groups:
            end = start + len(group.rules)
            part = known[start:end]
            parts.append(frozen_as(part, group.outcomes(subject)) if group.scope <= scope else part)
            start = end
        return self._with_exemptions_applied(b"".join(parts), subject)

    def _with_exemptions_applied(self, outcomes: bytes, subject: Subject) -> bytes:
        exempt = [
            place
            for place in self._with_exemptions
            if outcomes[place] == VIOLATION and self.rules[place].exempts(subject.task_id, subject.seconds)
        ]
        if not exempt:
            return outcomes
        applied = bytearray(outcomes)
        for place in exempt:
            applied[place] = EXEMPT
        return bytes(applied)


class _Kind(NamedTuple):
    """What makes rules a group; sortable, so that groups have an order."""

    scope: Scope
    is_remembered: bool
    depends_on_app: bool
    shares: bool
    has_keys: bool


class _RuleGroup:
    """Rules that are evaluated together."""

    def __init__(self, kind: _Kind, rules: Sequence[CompiledRule], app: Hashable, shared: SharedEvaluations) -> None:
        self.scope = kind.scope
        self.cost = sum(rule.cost for rule in rules)
        self.rules = tuple(rules)
        self._kind = kind
        self._shared = shared
        self._variables = frozenset[str]().union(*(rule.uses for rule in rules))
        self._memory = shared.memory(rules, app if kind.depends_on_app else None) if kind.is_remembered else _Memory()
        self._program: Expression | None = None
        self._is_compiled = False

    def remembers(self, subject: Subject) -> bool:
        """Whether nothing has to be evaluated."""
        outcomes = self._memory.get(self._key(subject))
        return outcomes is not None and not self._is_evaluated_again(outcomes)

    def evaluate(self, subject: Subject) -> None:
        """Evaluate these rules; what depends on more than the configuration is kept until it is asked for."""
        if len(self._memory) >= (MOST_REMEMBERED if self._kind.is_remembered else 1):
            self._memory.clear()
        self._memory[self._key(subject)] = self._evaluate(subject)

    def outcomes(self, subject: Subject) -> bytes:
        """Return the outcomes of these rules."""
        if not self.remembers(subject):
            self.evaluate(subject)
        key = self._key(subject)
        return self._memory[key] if self._kind.is_remembered else self._memory.pop(key)

    def _key(self, subject: Subject) -> Hashable:
        what = subject.configuration if self._kind.is_remembered else subject.whole_task
        shared = (subject.shared_outputs, subject.cdn_flag_conflicts) if self._kind.shares else None
        return (what, shared, subject.push_states if self._kind.has_keys else None)

    def _evaluate(self, subject: Subject) -> bytes:
        activation = subject.activation(self._variables)
        if not self._is_compiled:
            self._program, self._is_compiled = self._shared.program(self.rules), True
        if self._program is not None:
            try:
                return bytes(self._program.evaluate_list(activation))
            except EvaluationError:
                pass
        return self._evaluate_one_by_one(activation)

    def _evaluate_one_by_one(self, activation: Activation) -> bytes:
        verdicts = [rule.evaluate(activation) for rule in self.rules]
        if self._program is not None and any(verdict.is_stopped for verdict in verdicts):
            self._program.stopped = True
        return bytes([FROZEN if verdict.is_stopped else CODES[verdict.outcome] for verdict in verdicts])

    def _is_evaluated_again(self, outcomes: bytes) -> bool:
        """Whether a rule that was stopped runs again, since rules were loaded."""
        return FROZEN in outcomes and any(
            outcome == FROZEN and not rule.is_stopped for outcome, rule in zip(outcomes, self.rules, strict=True)
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
