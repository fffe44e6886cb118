"""Which rules are in force: the default rules, those of files and what is expected of apps, after all switches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from math import inf
from typing import Any, Final, TypeVar

from msgspec import Struct, structs

from exporter.config.model import Config
from exporter.config.policy_model import Expect, Policy, Range, RuleSwitch
from exporter.core.push_auth import DEFAULTS, PushAuthSettings
from exporter.rules.facts import LONGEST_LIST, fit
from exporter.rules.rule import AppKey, CompiledRule, Rule, Severity, TaskCountRule, compile_rule
from exporter.rules.rule_files import RESERVED_PREFIX, default_rules, packaged_rules, profile_rules

R = TypeVar("R", CompiledRule, TaskCountRule)

_AS_WRITTEN: Final = RuleSwitch()

EXPECTED: Final = "app"  # the `source` of the rules about what is expected of an app
REASON: Final = "The configuration says what the app's owner expects."
REMEDY: Final = "Change the task, or what the configuration expects of the app."


class RuleOff(Struct, frozen=True):
    """A rule that is not in force."""

    rule: Rule
    why: str  # what in the configuration switched it off


class AppRules(Struct, frozen=True):
    """What one app's tasks are checked against, or what of it its owner expects."""

    rules: tuple[CompiledRule, ...] = ()  # what is expected of the app is last
    count: TaskCountRule | None = None  # about how many tasks the app has

    def all_rules(self) -> list[Rule]:
        """Return them as they are written."""
        return [one.rule for one in (*self.rules, self.count) if one is not None]


class RuleSet(Struct, frozen=True):
    """All rules that are in force."""

    rules: tuple[CompiledRule, ...]
    """Default rules, then those of profiles and of files, in their order; severities as switched."""
    off: tuple[RuleOff, ...]
    expectations: Mapping[AppKey, AppRules]  # of the apps of which something is expected
    examples_per_rule: int
    max_examples: int
    push_auth: PushAuthSettings = DEFAULTS  # how the times in push URLs are read

    @classmethod
    def empty(cls) -> "RuleSet":
        """Return the set without any rule."""
        policy = Policy()
        return cls((), (), {}, policy.examples_per_rule, policy.max_examples)

    def of_app(self, account: str, app_id: str) -> AppRules:
        """Return the rules that one app's tasks are checked against."""
        expected = self.expectations.get((account, app_id), AppRules())
        applying = tuple(rule for rule in self.rules if rule.applies_to_app(app_id))
        return AppRules(rules=applying + expected.rules, count=expected.count)

    def about_tasks(self) -> Iterator[CompiledRule]:
        """Yield all rules but those about numbers of tasks."""
        return chain(self.rules, *(expected.rules for expected in self.expectations.values()))

    def stopped(self) -> frozenset[str]:
        """Return the names of the rules that are not evaluated any more, because they were too slow."""
        return frozenset(one.rule.name for one in self.about_tasks() if one.is_stopped)

    def all_rules(self) -> tuple[Rule, ...]:
        """Return every rule in force, once by name: what is expected of several apps is one rule."""
        by_name = {compiled.rule.name: compiled.rule for compiled in self.rules}
        for expected in self.expectations.values():
            for rule in expected.all_rules():
                by_name.setdefault(rule.name, rule)
        return tuple(by_name.values())


def rule_set(config: Config, file_rules: Sequence[CompiledRule] = ()) -> RuleSet:
    """Return the rules that a configuration puts in force, with those of its rule files."""
    policy = config.policy
    groups = [(default_rules(), "" if policy.default_rules else "policy.default_rules is false")]
    for profile, rules in profile_rules().items():
        groups.append((rules, "" if profile in policy.profiles else f"policy.profiles lacks {profile}"))
    off = {rule.name: RuleOff(rule, why) for rules, why in groups if why for rule in rules}
    packaged = [compile_rule(rule) for rules, why in groups if not why for rule in rules]
    expected = {
        (account.name, app.id): app.expect
        for account in config.accounts
        for app in account.apps
        if app.expect is not None
    }
    expectations = [*map(compile_rule, expectation_rules())]
    switched: dict[Expect, AppRules] = {}
    for expect in dict.fromkeys(expected.values()):
        of_app = expected_of(expect, expectations)
        count = () if of_app.count is None else _switched((of_app.count,), policy, off)
        switched[expect] = AppRules(tuple(_switched(of_app.rules, policy, off)), next(iter(count), None))
    return RuleSet(
        rules=tuple(_switched((*packaged, *file_rules), policy, off)),
        off=tuple(off.values()),
        expectations={key: switched[expect] for key, expect in expected.items()},
        examples_per_rule=policy.examples_per_rule,
        max_examples=policy.max_examples,
        push_auth=policy.push_auth_settings,
    )


def _switched(rules: Iterable[R], policy: Policy, off: dict[str, RuleOff]) -> Iterator[R]:
    for one in rules:
        switch = policy.rules.get(one.rule.name, _AS_WRITTEN)
        if not switch.enabled:
            off.setdefault(one.rule.name, RuleOff(one.rule, f"policy.rules.{one.rule.name}.enabled is false"))
        elif switch.severity is None:
            yield one
        else:
            rule = structs.replace(one.rule, severity=Severity(switch.severity))
            yield structs.replace(one, rule=rule)


def expectation_rules() -> tuple[Rule, ...]:
    """Return the rules about all that can be expected of an app, but for its number of tasks."""
    rules = packaged_rules("expectations.yml", EXPECTED)
    return tuple(structs.replace(rule, reason=REASON, remedy=REMEDY) for rule in rules)


def expected_of(expect: Expect, expectations: Iterable[CompiledRule]) -> AppRules:
    """Return those of the rules about expectations that are about what is expected of an app."""
    stated = {rule_name(key) for key in expectation_facts(expect)}
    rules = tuple(rule for rule in expectations if rule.rule.name in stated)
    return AppRules(rules, None if expect.tasks is None else _count(expect.tasks))


def rule_name(key: str) -> str:
    """Return the name of the rule about a key of `expect`."""
    return RESERVED_PREFIX + key.replace("_", "-")


def expectation_facts(expect: Expect) -> dict[str, Any]:
    """Return `app.expect`."""
    stated = {key: value for key, value in expect if value is not None and key != "tasks"}
    return {
        key: range_facts(value.least, value.most) if isinstance(value, Range) else fit(value)
        for key, value in stated.items()
    }


def too_long_list(expect: Expect) -> str | None:
    """Return the first key whose list is longer than rules can look at."""
    return next((key for key, value in expect if isinstance(value, tuple) and len(value) > LONGEST_LIST), None)


def range_facts(least: float | None, most: float | None) -> Mapping[str, Any]:
    """Return one of the ranges of `app.expect`."""
    bounds = (("at least", least), ("at most", most))
    return {
        "min": -inf if least is None else float(least),
        "max": inf if most is None else float(most),
        "words": " and ".join(f"{prefix} {bound:.15g}" for prefix, bound in bounds if bound is not None),
    }


def _count(bounds: Range) -> TaskCountRule:
    least, most = (None if bound is None else int(bound) for bound in (bounds.least, bounds.most))
    parts = [*([] if least is None else [f"tasks >= {least}"]), *([] if most is None else [f"tasks <= {most}"])]
    rule = Rule(
        name=rule_name("tasks"),
        title="Number of tasks not as expected of the app",
        severity=Severity.WARNING,
        expect=" && ".join(parts),
        reason=REASON,
        remedy=REMEDY,
        source=EXPECTED,
    )
    return TaskCountRule(rule, least, most)
