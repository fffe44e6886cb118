"""The test cases that are beside rules, and what comes of them."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from exporter.rules.cel_language import activation_of
from exporter.rules.compiled_rule import CompiledRule
from exporter.rules.facts import facts_of_case, fit, without_long_lists
from exporter.rules.rule import Case, Outcome
from exporter.rules.rule_set import range_facts

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
        outcome, reason, _ = rule.evaluate(activation_of(variables))
        is_exempt = rule.exemption_of(variables["task_id"], variables["now"].timestamp()) is not None
        yield CaseResult(case, Outcome.EXEMPT if outcome is Outcome.VIOLATION and is_exempt else outcome, reason)


def variables_of(case: Case) -> dict[str, Any]:
    """Return every variable of a rule as it is in a case: what the case gives, the rest at its default.

    Of `first_seen` and `age`, one that is not given follows from the other.
    """
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
    """Return the variable `app`; its quota is unknown unless a case gives one."""
    app = {**_APP, "quota": {}, **fit(given)}
    app["expect"] = {
        key: range_facts(value.get("min"), value.get("max")) if isinstance(value, Mapping) else value
        for key, value in app["expect"].items()
    }
    return app
