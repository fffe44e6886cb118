"""An app's `expect:` as rules: those of `expectations.yml`, of which an app has the ones whose keys it states."""

from collections.abc import Mapping
from math import inf
from typing import Any, Final

from msgspec import Struct, structs

from exporter.config.policy_model import Expect, Range
from exporter.rules.cel_language import Language
from exporter.rules.compiled_rule import CompiledRule, TaskCountRule, compile_rule
from exporter.rules.facts import LONGEST_LIST, fit
from exporter.rules.rule import Rule, Severity
from exporter.rules.rule_files import RESERVED_PREFIX, packaged_rules

FILE: Final = "expectations.yml"
SOURCE: Final = "app"
REASON: Final = "The configuration says what the app's owner expects."
REMEDY: Final = "Change the task, or what the configuration expects of the app."


class AppExpectations(Struct, frozen=True):
    """The rules about what one app's owner expects."""

    rules: tuple[CompiledRule, ...] = ()
    count: TaskCountRule | None = None  # about the number of tasks

    def all_rules(self) -> list[Rule]:
        """Return them as they are written."""
        return [one.rule for one in (*self.rules, self.count) if one is not None]


class ExpectationRules:
    """All rules about expectations, compiled once for all apps."""

    def __init__(self, language: Language) -> None:
        rules = (structs.replace(rule, reason=REASON, remedy=REMEDY) for rule in packaged_rules(FILE, SOURCE))
        self.rules = tuple(compile_rule(rule, language) for rule in rules)

    def of(self, expect: Expect) -> AppExpectations:
        """Return the rules of an app."""
        stated = {rule_name(key) for key in expectation_facts(expect)}
        rules = tuple(rule for rule in self.rules if rule.rule.name in stated)
        return AppExpectations(rules, None if expect.tasks is None else _count(expect.tasks))


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
    """Return the rule about the number of tasks, whose condition is only shown."""
    least, most = (None if bound is None else int(bound) for bound in (bounds.least, bounds.most))
    parts = [*([] if least is None else [f"tasks >= {least}"]), *([] if most is None else [f"tasks <= {most}"])]
    rule = Rule(
        name=rule_name("tasks"),
        title="Number of tasks not as expected of the app",
        severity=Severity.WARNING,
        expect=" && ".join(parts),
        reason=REASON,
        remedy=REMEDY,
        source=SOURCE,
    )
    return TaskCountRule(rule, least, most)
