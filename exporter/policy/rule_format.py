"""What stands in a rule file: every key with its type and bounds."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from types import GenericAlias
from typing import Annotated, Any, Final

from msgspec import Struct
from pydantic import BaseModel, BeforeValidator, Field, create_model

from exporter.config.durations import parse_duration
from exporter.config.policy_model import RuleName, SeverityName
from exporter.config.section import Section
from exporter.config.value_types import (
    Choices,
    Day,
    Expected,
    Matches,
    Moment,
    Number,
    OrNone,
    Some,
    Switch,
    Url,
    Whole,
)
from exporter.policy.rule import Case, Exemption, Outcome, Rule, Severity
from exporter.policy.vocabulary import Kind, Variables, facts_of

EXPRESSIONS: Final = ("when", "expect", "message")
"""The keys whose values are expressions."""

Line = Annotated[str, Matches(r"^[^\r\n]{1,200}$", "one line of at most 200 characters")]
Words = Annotated[str, Field(max_length=2000)]
Expression = Annotated[str, Field(min_length=1), Expected("an expression")]
AppPattern = Annotated[str, Matches(r"^[A-Za-z0-9_*?!\[\]-]{1,64}$", "an AppId, or a pattern with * or ?")]
TaskPattern = Annotated[str, Field(min_length=1), Expected("a TaskId, or a pattern with * or ?")]
Age = Annotated[
    timedelta,
    BeforeValidator(lambda text: timedelta(seconds=parse_duration(text)) if isinstance(text, str) else text),
    Expected("a duration such as 100ms, 30s, 5m or 1h30m"),
]
OutcomeName = Annotated[str, Choices(tuple(map(str, Outcome)))]
_TYPES: Final[dict[Kind, Any]] = {
    Kind.TEXT: str,
    Kind.WHOLE_NUMBER: Whole,
    Kind.NUMBER: Number,
    Kind.CONDITION: Switch,
    Kind.TIMESTAMP: Moment,
    Kind.DURATION: Age,
}


@cache
def _given_facts(group: type[Struct]) -> type[BaseModel]:
    """Return the model of a part of the facts, as a test case writes it; a number can be `none`."""
    fields: dict[str, Any] = {}
    for fact in facts_of(group):
        kind = _given_facts(fact.group) if fact.group is not None else _TYPES[fact.kind]
        if fact.is_list:
            kind = GenericAlias(list, kind)
        elif fact.is_optional and fact.kind in {Kind.WHOLE_NUMBER, Kind.NUMBER}:
            kind = Annotated[kind | None, OrNone]
        fields[fact.name] = (kind | None if fact.group else kind, None)
    return create_model(group.__name__, __base__=Section, **fields)


class WrittenExemption(Section):
    """One of `exempt`."""

    name: RuleName
    tasks: Some[TaskPattern]
    until: Day | None = None
    reason: Words = ""


class WrittenCase(_given_facts(Variables)):  # type: ignore[misc]  # built from their declaration
    """One of `tests`: variables of rules, and what comes of them."""

    outcome: OutcomeName


class WrittenRule(Section):
    """One of `rules`."""

    name: RuleName
    title: Line
    severity: SeverityName
    expect: Expression
    owner: Line | None = None
    runbook_url: Url | None = None
    apps: Some[AppPattern] | None = None
    when: Expression | None = None
    message: Expression | None = None
    exempt: Some[WrittenExemption] | None = None
    tests: Some[WrittenCase] | None = None
    reason: Words = ""
    remedy: Words = ""


class RuleFile(Section):
    """The whole file."""

    rules: Some[WrittenRule]


def rule_of(written: WrittenRule, source: str, cases: Sequence[str]) -> Rule:
    """Return the rule that a file means.

    Args:
        written: as it is in the file.
        source: where it is, as file:line.
        cases: where each of its tests is.
    """
    return Rule(
        name=written.name,
        title=written.title,
        severity=Severity(written.severity),
        expect=written.expect,
        owner=written.owner or "",
        runbook_url=written.runbook_url or "",
        apps=written.apps or (),
        when=written.when or "",
        message=written.message or "",
        exempt=tuple(
            Exemption(name=one.name, tasks=one.tasks, until=one.until, reason=one.reason)
            for one in written.exempt or ()
        ),
        tests=tuple(
            Case(variables=_given(case), outcome=Outcome(case.outcome), place=place)
            for case, place in zip(written.tests or (), cases, strict=True)
        ),
        reason=written.reason,
        remedy=written.remedy,
        source=source,
    )


def _given(case: WrittenCase) -> dict[str, Any]:
    """Return the variables that a case gives, and no defaults; a number that is `none` is absent."""
    given: dict[str, Any] = case.model_dump(exclude_unset=True, exclude_none=True)
    del given["outcome"]
    return given
