"""What stands in a rule file: every key with its type and bounds."""

from datetime import date, datetime, timedelta
from typing import Annotated, Final, cast

from msgspec import Meta, Struct

from exporter.config.draft import Draft
from exporter.config.policy_model import RuleName, SeverityName, Some
from exporter.config.shapes import keys_of
from exporter.policy.rule import Case, Exemption, Outcome, Rule, Severity
from exporter.policy.vocabulary import AppFacts, TaskFacts

EXPRESSIONS: Final = ("when", "expect", "message")
"""The keys whose values are expressions."""

Line = Annotated[str, Meta(pattern=r"^[^\r\n]{1,200}$", extra={"expected": "one line of at most 200 characters"})]
Words = Annotated[str, Meta(max_length=2000)]
Expression = Annotated[str, Meta(min_length=1, extra={"expected": "an expression"})]
AppPattern = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_*?!\[\]-]{1,64}$", extra={"expected": "an AppId, or a pattern with * or ?"})
]
TaskPattern = Annotated[str, Meta(min_length=1, extra={"expected": "a TaskId, or a pattern with * or ?"})]
Link = Annotated[str, Meta(extra={"kind": "url"})]
OutcomeName = Annotated[str, Meta(extra={"choices": tuple(map(str, Outcome))})]


class WrittenExemption(Struct, frozen=True, kw_only=True):
    """One of `exempt`."""

    name: RuleName
    tasks: Some[TaskPattern]
    until: date | None = None
    reason: Words = ""


class WrittenCase(Struct, frozen=True, kw_only=True):
    """One of `tests`: variables of rules, and what comes of them."""

    outcome: OutcomeName
    task: TaskFacts | None = None
    task_id: str | None = None
    channel_id: str | None = None
    first_seen: datetime | None = None
    last_changed: datetime | None = None
    age: timedelta | None = None
    now: datetime | None = None
    shared_outputs: Annotated[int, Meta(ge=0)] | None = None
    app: AppFacts | None = None


class WrittenRule(Struct, frozen=True, kw_only=True):
    """One of `rules`."""

    name: RuleName
    title: Line
    severity: SeverityName
    expect: Expression
    owner: Line | None = None
    runbook_url: Link | None = None
    apps: Some[AppPattern] | None = None
    when: Expression | None = None
    message: Expression | None = None
    exempt: Some[WrittenExemption] | None = None
    tests: Some[WrittenCase] | None = None
    reason: Words = ""
    remedy: Words = ""


class RuleFile(Struct, frozen=True, kw_only=True):
    """The whole file."""

    rules: Some[WrittenRule]


def rule_of(draft: Draft) -> Rule:
    """Return the rule that a draft of a WrittenRule means.

    What is wrong or absent, whose mistake is noted, has a stand-in, so that the rest can still be checked.
    """
    return Rule(
        name=_text(draft, "name"),
        title=_text(draft, "title"),
        severity=Severity(_text(draft, "severity") or Severity.INFO),
        expect=_text(draft, "expect") or "true",
        owner=_text(draft, "owner"),
        runbook_url=_text(draft, "runbook_url"),
        apps=_texts(draft, "apps"),
        when=_text(draft, "when"),
        message=_text(draft, "message"),
        exempt=tuple(map(_exemption, draft.drafts("exempt"))),
        tests=tuple(map(_case, draft.drafts("tests"))),
        reason=_text(draft, "reason"),
        remedy=_text(draft, "remedy"),
        source=f"{draft.position.file}:{draft.position.line}",
    )


def _exemption(draft: Draft) -> Exemption:
    return Exemption(
        name=_text(draft, "name"),
        tasks=_texts(draft, "tasks"),
        until=cast("date | None", draft.values.get("until")),
        reason=_text(draft, "reason"),
    )


def _case(draft: Draft) -> Case:
    given = _given(draft)
    outcome = Outcome(str(given.pop("outcome", Outcome.PASS)))
    return Case(variables=given, outcome=outcome, place=str(draft.position))


def _given(draft: Draft) -> dict[str, object]:
    """Return what a mapping says, and no defaults; a number that is `none` is absent."""
    given: dict[str, object] = {}
    for key in keys_of(draft.struct):
        value = draft.values.get(key.attribute)
        if isinstance(value, float) and key.shape.kind == "duration":
            given[key.name] = timedelta(seconds=value)
        elif value is not None:
            given[key.name] = _plain(value)
    return given


def _plain(value: object) -> object:
    """Return a value with every draft in it as a mapping."""
    if isinstance(value, Draft):
        return _given(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _text(draft: Draft, attribute: str) -> str:
    """Return a text; empty where it is wrong or absent."""
    value = draft.values.get(attribute)
    return value if isinstance(value, str) else ""


def _texts(draft: Draft, attribute: str) -> tuple[str, ...]:
    """Return a list of texts, without what is wrong."""
    value = draft.values.get(attribute)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, tuple) else ()
