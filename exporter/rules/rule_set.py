"""Which rules are in force: the default rules, those of files and what is expected of apps, after all switches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from exporter.config.model import Config
from exporter.config.policy_model import Expect, Policy, RuleSwitch
from exporter.core.push_auth import DEFAULTS, PushAuthSettings
from exporter.rules.compiled_rule import CompiledRule, TaskCountRule
from exporter.rules.expectations import AppExpectations
from exporter.rules.rule import AppKey, Rule, Severity

R = TypeVar("R", CompiledRule, TaskCountRule)

_AS_WRITTEN: Final = RuleSwitch()
_NOTHING_EXPECTED: Final = AppExpectations()


class RuleOff(Struct, frozen=True):
    """A rule that is not in force."""

    rule: Rule
    why: str  # what in the configuration switched it off


class AppRules(Struct, frozen=True):
    """What one app's tasks are checked against."""

    rules: tuple[CompiledRule, ...]  # what is expected of the app is last
    count: TaskCountRule | None  # about how many tasks the app has


class RuleSet(Struct, frozen=True):
    """All rules that are in force."""

    rules: tuple[CompiledRule, ...]
    """Default rules, then those of profiles and of files, in their order; severities as switched."""
    off: tuple[RuleOff, ...]
    expectations: Mapping[AppKey, AppExpectations]  # of the apps of which something is expected
    examples_per_rule: int
    max_examples: int
    push_auth: PushAuthSettings = DEFAULTS
    """How the times in push URLs are read."""

    @classmethod
    def empty(cls) -> "RuleSet":
        """Return the set without any rule."""
        policy = Policy()
        return cls((), (), {}, policy.examples_per_rule, policy.max_examples)

    def of_app(self, account: str, app_id: str) -> AppRules:
        """Return the rules that one app's tasks are checked against."""
        expected = self.expectations.get((account, app_id), _NOTHING_EXPECTED)
        applying = tuple(rule for rule in self.rules if rule.applies_to_app(app_id))
        return AppRules(rules=applying + expected.rules, count=expected.count)

    def stopped(self) -> frozenset[str]:
        """Return the names of the rules that are not evaluated any more, because they were too slow."""
        expected = (rule for expectations in self.expectations.values() for rule in expectations.rules)
        return frozenset(one.rule.name for one in (*self.rules, *expected) if one.is_stopped)

    def all_rules(self) -> tuple[Rule, ...]:
        """Return every rule in force, once by name: what is expected of several apps is one rule."""
        by_name = {compiled.rule.name: compiled.rule for compiled in self.rules}
        for expected in self.expectations.values():
            for rule in expected.all_rules():
                by_name.setdefault(rule.name, rule)
        return tuple(by_name.values())


def rule_set(
    config: Config,
    default_rules: Sequence[CompiledRule],
    profiles: Mapping[str, Sequence[CompiledRule]],
    file_rules: Sequence[CompiledRule],
    expectations: Callable[[Expect], AppExpectations],
) -> RuleSet:
    """Return the rules that a configuration puts in force.

    `expectations` makes rules of what is expected of an app; it is asked once for what many apps have in common.
    """
    policy = config.policy
    off: dict[str, RuleOff] = {}
    if not policy.default_rules:
        off.update((one.rule.name, RuleOff(one.rule, "policy.default_rules is false")) for one in default_rules)
        default_rules = ()
    profile_rules: list[CompiledRule] = []
    for profile, rules in profiles.items():
        if profile in policy.profiles:
            profile_rules += rules
        else:
            off.update((one.rule.name, RuleOff(one.rule, f"policy.profiles lacks {profile}")) for one in rules)
    expected = {
        (account.name, app.id): app.expect
        for account in config.accounts
        for app in account.apps
        if app.expect is not None
    }
    switched = {
        expect: _switched_expectations(expectations(expect), policy, off) for expect in dict.fromkeys(expected.values())
    }
    return RuleSet(
        rules=tuple(_switched((*default_rules, *profile_rules, *file_rules), policy, off)),
        off=tuple(off.values()),
        expectations={key: switched[expect] for key, expect in expected.items()},
        examples_per_rule=policy.examples_per_rule,
        max_examples=policy.max_examples,
        push_auth=policy.push_auth_settings,
    )


def _switched_expectations(expected: AppExpectations, policy: Policy, off: dict[str, RuleOff]) -> AppExpectations:
    """Return what is expected of an app after the switches; what is switched off is put into `off`."""
    count = () if expected.count is None else (expected.count,)
    return AppExpectations(
        rules=tuple(_switched(expected.rules, policy, off)), count=next(_switched(count, policy, off), None)
    )


def _switched(rules: Iterable[R], policy: Policy, off: dict[str, RuleOff]) -> Iterator[R]:
    """Yield the rules after the switches; what is switched off is put into `off`."""
    for one in rules:
        switch = policy.rules.get(one.rule.name, _AS_WRITTEN)
        if not switch.enabled:
            off.setdefault(one.rule.name, RuleOff(one.rule, f"policy.rules.{one.rule.name}.enabled is false"))
        elif switch.severity is None:
            yield one
        else:
            rule = msgspec.structs.replace(one.rule, severity=Severity(switch.severity))
            yield msgspec.structs.replace(one, rule=rule)
