"""The rules of one app, grouped by how often they must be evaluated."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from msgspec import Struct

from exporter.policy.backlog import Scope
from exporter.policy.compiled import CompiledRule
from exporter.policy.memo import Memo
from exporter.policy.outcomes import CODES, EXEMPT, FROZEN, VIOLATION, frozen_as, without_exemptions
from exporter.policy.subject import Subject

TIME: Final = frozenset({"now", "age"})
APP: Final = "app"
SHARED_OUTPUTS: Final = "shared_outputs"
OF_A_CONFIGURATION: Final = frozenset({"task", APP, SHARED_OUTPUTS})
"""Rules that do with these have the same outcome for all tasks of an app that agree in them."""

_Outcomes: TypeAlias = Memo[Hashable, bytes]


class Memos:
    """Remembered outcomes, for all apps that are judged by the same rules together. They go with the last of these."""

    def __init__(self) -> None:
        self._memos: WeakValueDictionary[Hashable, _Outcomes] = WeakValueDictionary()

    def of(self, rules: Iterable[CompiledRule], app: Hashable) -> _Outcomes:
        """Return the memo of some rules.

        Args:
            rules: In the order of the outcomes.
            app: What of the app the outcomes depend on.
        """
        key = (tuple((rule.rule.when, rule.rule.expect) for rule in rules), app)
        memo = self._memos.get(key)
        if memo is None:
            memo = self._memos[key] = Memo()
        return memo


class Judging:
    """Judges tasks of one app. `rules` has the order of the outcomes, which is not that in which they were given.

    Args:
        rules: In any order.
        app: What rules can depend on of the app.
        memos: Where outcomes are remembered.
    """

    def __init__(self, rules: Iterable[CompiledRule], app: Hashable, memos: Memos) -> None:
        groups: dict[_Frequency, list[CompiledRule]] = {}
        for rule in rules:
            groups.setdefault(_frequency(rule), []).append(rule)
        self._tiers = [_tier(frequency, group, app, memos) for frequency, group in sorted(groups.items())]
        self.rules = tuple(rule for tier in self._tiers for rule in tier.rules)
        self._with_exemptions = [place for place, rule in enumerate(self.rules) if rule.rule.exempt]

    @property
    def depends_on_time(self) -> bool:
        """Whether tasks have to be judged again as time goes by."""
        return any(tier.scope is Scope.TIME for tier in self._tiers)

    @property
    def has_exemptions(self) -> bool:
        """Whether some violations may be exempt."""
        return bool(self._with_exemptions)

    def outcomes(self, subject: Subject, before: bytes, scope: Scope) -> bytes:
        """Judge a task.

        Args:
            subject: The task.
            before: The outcomes that stay where the scope does not reach.
            scope: By which rules.
        """
        known = without_exemptions(before)
        parts, start = [], 0
        for tier in self._tiers:
            end = start + len(tier.rules)
            before_tier = known[start:end]
            parts.append(frozen_as(before_tier, tier.outcomes(subject)) if tier.scope <= scope else before_tier)
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


class _Frequency(NamedTuple):
    """How often a rule must be evaluated; sortable, so that tiers have an order."""

    scope: Scope
    is_remembered: bool
    depends_on_app: bool
    shares: bool


class _Tier(Struct, frozen=True):
    """Rules that are evaluated together."""

    scope: Scope
    rules: tuple[CompiledRule, ...]
    variables: frozenset[str]
    memo: _Outcomes | None
    """None: they are evaluated for each task."""
    key: Callable[[Subject], Hashable]
    """What outcomes are remembered by."""

    def outcomes(self, subject: Subject) -> bytes:
        """Return the outcomes of these rules."""
        if self.memo is None:
            return self._evaluate(subject)
        key = self.key(subject)
        outcomes = self.memo.get(key)
        if outcomes is None or self._is_evaluated_again(outcomes):
            outcomes = self._evaluate(subject)
            self.memo.put(key, outcomes)
        return outcomes

    def _evaluate(self, subject: Subject) -> bytes:
        activation = subject.activation(self.variables)
        verdicts = (rule.judge(activation) for rule in self.rules)
        return bytes([FROZEN if verdict.is_stopped else CODES[verdict.outcome] for verdict in verdicts])

    def _is_evaluated_again(self, outcomes: bytes) -> bool:
        """Whether a rule that was stopped is there again, since rules were loaded."""
        return FROZEN in outcomes and any(
            outcome == FROZEN and not rule.is_stopped for outcome, rule in zip(outcomes, self.rules, strict=True)
        )


def _frequency(rule: CompiledRule) -> _Frequency:
    is_remembered = rule.uses <= OF_A_CONFIGURATION
    scope = Scope.ALL
    if rule.uses & TIME:
        scope = Scope.TIME
    elif SHARED_OUTPUTS in rule.uses:
        scope = Scope.RELATIONS
    return _Frequency(
        scope=scope,
        is_remembered=is_remembered,
        depends_on_app=is_remembered and APP in rule.uses,
        shares=is_remembered and SHARED_OUTPUTS in rule.uses,
    )


def _tier(frequency: _Frequency, rules: Sequence[CompiledRule], app: Hashable, memos: Memos) -> _Tier:
    memo = memos.of(rules, app if frequency.depends_on_app else None) if frequency.is_remembered else None
    return _Tier(
        scope=frequency.scope,
        rules=tuple(rules),
        variables=frozenset[str]().union(*(rule.uses for rule in rules)),
        memo=memo,
        key=_configuration_and_shared_outputs if frequency.scope is Scope.RELATIONS else _configuration,
    )


def _configuration(subject: Subject) -> Hashable:
    return subject.configuration


def _configuration_and_shared_outputs(subject: Subject) -> Hashable:
    return subject.configuration, subject.shared_outputs
