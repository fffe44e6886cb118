"""`rules list`: which rules are in force, and why. `rules test`: do they find what their authors mean?"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct

from exporter.commands import ExitCode
from exporter.commands.console import console, counted, printable, table, warn
from exporter.config.policy_model import Policy
from exporter.rules.cel_language import activation_of
from exporter.rules.facts import facts_of_case, fit, without_long_lists
from exporter.rules.rule import Case, CompiledRule, Exemption, Outcome, Rule
from exporter.rules.rule_loader import ConfigurationSource, load_rules
from exporter.rules.rule_set import RuleSet, range_facts

CASES_NOW: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""What `now` is in a case that does not give it: early enough for every exemption to hold still."""

_APP: Final = {"id": "app", "name": "", "owner": "", "account": "default", "expect": {}}


class CaseResult(Struct, frozen=True):
    """What came of one case."""

    case: Case
    outcome: Outcome
    reason: str = ""  # why the rule could not be evaluated; empty otherwise

    @property
    def passed(self) -> bool:
        """Whether it is what the case expects."""
        return self.outcome == self.case.outcome


def run_cases(rule: CompiledRule) -> Iterator[CaseResult]:
    """Evaluate a rule for each of its cases, in their order; a rule without cases gives nothing."""
    for case in rule.rule.tests:
        variables = variables_of(case)
        if "id" in case.variables.get("app", {}) and not rule.applies_to_app(variables["app"]["id"]):
            yield CaseResult(case, Outcome.NOT_APPLICABLE)
            continue
        outcome, reason = rule.evaluate(activation_of(variables))
        is_exempt = rule.rule.exemption_of(variables["task_id"], variables["now"].timestamp()) is not None
        yield CaseResult(case, Outcome.EXEMPT if outcome is Outcome.VIOLATION and is_exempt else outcome, reason)


def variables_of(case: Case) -> dict[str, Any]:
    """Return the variables of a test case, the rest at their defaults."""
    given = case.variables
    now: datetime = given.get("now", CASES_NOW)
    first_seen: datetime = given.get("first_seen", now - given.get("age", timedelta()))
    return {
        "task_id": "task",
        "channel_id": "channel",
        "last_changed": now,
        "age": now - first_seen,
        "shared_outputs": 0,
        "cdn_flag_conflicts": 0,
        **given,
        "task": without_long_lists(facts_of_case(given.get("task", {}))),
        "app": _app(given.get("app", {})),
        "first_seen": first_seen,
        "now": now,
    }


def _app(given: Mapping[str, Any]) -> dict[str, Any]:
    app = {**_APP, "quota": {}, **fit(given)}
    app["expect"] = {
        key: range_facts(value.get("min"), value.get("max")) if isinstance(value, Mapping) else value
        for key, value in app["expect"].items()
    }
    return app


Output = Literal["table", "json"]


def list_rules(source: ConfigurationSource, output: Output, now: float) -> int:
    """Print every rule that a configuration knows; returns the exit code. Raises ConfigError."""
    loaded = source.load()
    warn(loaded.warnings)
    policy, rule_set = loaded.config.policy, loaded.rule_set
    if output == "json":
        sys.stdout.write(_as_json(rule_set, policy, now))
    else:
        _print_tables(rule_set, policy, now)
    return ExitCode.FINE


def run_tests(paths: Sequence[Path]) -> int:
    """Run the cases of the rules in files and print those that fail; returns the exit code. Raises ConfigError."""
    rules = load_rules(list(dict.fromkeys(paths)))
    passed = failed = 0
    without_case = []
    for rule in rules:
        if not rule.rule.tests:
            without_case.append(rule.rule)
        for result in run_cases(rule):
            passed += result.passed
            failed += not result.passed
            if not result.passed:
                found = f"{result.outcome}: {result.reason}" if result.reason else result.outcome
                what = f"{rule.rule.name}: expected {result.case.outcome}, got {found}"
                _say(f"{result.case.place}: {what}")
    for untested in without_case:
        _say(f"{untested.source}: {untested.name}: no test case")
    _say(f"{counted(len(rules), 'rule')}, {counted(passed + failed, 'case')}: {passed} passed, {failed} failed")
    return ExitCode.FOUND if failed else ExitCode.FINE


def _say(line: str) -> None:
    sys.stdout.write(f"{printable(line)}\n")


def _print_tables(rule_set: RuleSet, policy: Policy, now: float) -> None:
    out = console()
    out.print(table(("rule", "severity", "source", "apps", "exemptions"), _rules_on(rule_set, policy, now)))
    if rule_set.off:
        rows = [(off.rule.name, off.rule.severity, off.rule.source, off.why) for off in rule_set.off]
        out.print(table(("off", "severity", "source", "why"), rows))


def _rules_on(rule_set: RuleSet, policy: Policy, now: float) -> Iterator[tuple[object, ...]]:
    for rule in rule_set.all_rules():
        changed = " (by policy.rules)" if _severity_is_changed(rule, policy) else ""
        exemptions = [f"{exemption.name}{_end(exemption, now)}" for exemption in rule.exempt]
        apps = _apps(rule, rule_set)
        yield rule.name, f"{rule.severity}{changed}", rule.source, ", ".join(apps), "; ".join(exemptions) or None


def _severity_is_changed(rule: Rule, policy: Policy) -> bool:
    switch = policy.rules.get(rule.name)
    return switch is not None and switch.severity is not None


def _apps(rule: Rule, rule_set: RuleSet) -> list[str]:
    expecting = [
        f"{account}/{app_id}"
        for (account, app_id), expected in rule_set.expectations.items()
        if rule.name in {one.name for one in expected.all_rules()}
    ]
    return expecting or list(rule.apps) or ["all"]


def _end(exemption: Exemption, now: float) -> str:
    if exemption.until is None:
        return ""
    return f" until {exemption.until}" + (" (over)" if exemption.ends_at <= now else "")


def _as_json(rule_set: RuleSet, policy: Policy, now: float) -> str:
    document = {
        "on": [
            {
                **_described(rule),
                "severity_by": "policy.rules" if _severity_is_changed(rule, policy) else None,
                "apps": _apps(rule, rule_set),
                "exemptions": [_exemption(exemption, now) for exemption in rule.exempt],
            }
            for rule in rule_set.all_rules()
        ],
        "off": [{**_described(off.rule), "why": off.why} for off in rule_set.off],
    }
    return json.dumps(document, indent=2) + "\n"


def _described(rule: Rule) -> dict[str, Any]:
    parts = ("title", "severity", "source", "owner", "runbook_url")
    return {"rule": rule.name, **{part: getattr(rule, part) for part in parts}}


def _exemption(exemption: Exemption, now: float) -> dict[str, Any]:
    return {
        "name": exemption.name,
        "tasks": exemption.tasks,
        "until": None if exemption.until is None else exemption.until.isoformat(),
        "over": exemption.ends_at <= now,
        "reason": exemption.reason,
    }
