"""Audits for tests, and what SARIF 2.1.0 demands of the objects that one writes."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from exporter.commands.audit_report import AppFindings, Audit, RuleOutcome
from exporter.core.collection_state import State
from exporter.rules.rule import Exemption, Rule, Severity

LOAD_TEST = Exemption(name="load-test", tasks=("t-load-*",), until=date(2027, 1, 31), reason="agreed with live-ops")


def rule(name: str = "bitrate", severity: Severity = Severity.WARNING, **parts: Any) -> Rule:
    """Return a rule that says no more than it must."""
    return Rule(name=name, title=f"Title of {name}", severity=severity, expect="true", **parts)


def app(app_id: str, *rules: RuleOutcome, tasks: int = 10) -> AppFindings:
    """Return the findings in an app that was read."""
    return AppFindings(
        account="production",
        app_id=app_id,
        name="Main stage",
        owner="live-ops",
        state=State.OK,
        reason="",
        tasks=tasks,
        rules=rules,
    )


def failed_app(app_id: str, reason: str = "no such app") -> AppFindings:
    """Return an app that could not be read."""
    return AppFindings(
        account="production", app_id=app_id, name="", owner="", state=State.APP_INVALID, reason=reason, tasks=None
    )


def violations(*task_ids: str, message: str = "not as agreed") -> Sequence[tuple[str, str]]:
    """Return violations of tasks."""
    return [(task_id, message) for task_id in task_ids]


def everything() -> Audit:
    """Return an audit that has one of each: a violation, an exempted and an unevaluable task, and a failed app."""
    bitrate = rule(
        "bitrate",
        Severity.CRITICAL,
        reason="Money.",
        remedy="Lower it.",
        runbook_url="https://example.com/bitrate",
        exempt=(LOAD_TEST,),
        source="rules.yml:2",
    )
    idle = rule("idle", Severity.INFO)
    return Audit(
        rules=(bitrate, idle),
        apps=(
            app(
                "main",
                RuleOutcome(
                    rule=bitrate,
                    passed=6,
                    not_applicable=1,
                    violations=violations("t-1"),
                    exempted=[("t-load-1", LOAD_TEST)],
                    unevaluable=[("t-2", "no bitrate")],
                ),
                RuleOutcome(rule=idle, passed=7, violations=violations("t-3")),
            ),
            failed_app("gone"),
        ),
    )


def hostile(text: str) -> Audit:
    """Return an audit in which every text that others write is this one."""
    hostile_rule = Rule(
        name="hostile",
        title=text,
        severity=Severity.WARNING,
        expect="true",
        reason=text,
        remedy=text,
        exempt=(Exemption(name=text, tasks=("*",), reason=text),),
    )
    return Audit(
        rules=(hostile_rule,),
        apps=(
            app(
                "main",
                RuleOutcome(
                    rule=hostile_rule,
                    violations=violations(text, message=text),
                    exempted=[(text, hostile_rule.exempt[0])],
                    unevaluable=[(text, text)],
                ),
            ),
            failed_app("gone", reason=text),
        ),
    )


TEXT = {"type": "string"}
INDEX = {"type": "integer", "minimum": 0}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
PROPERTIES = {"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": True, "items": TEXT}}}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _list(items: dict[str, Any], *, unique: bool = False) -> dict[str, Any]:
    return {"type": "array", "uniqueItems": unique, "items": items}


MESSAGE = _object(["text"], text={**TEXT, "minLength": 1})
LOCATION = _object(
    ["logicalLocations"],
    logicalLocations=_list(_object([], name=TEXT, fullyQualifiedName=TEXT, kind=TEXT), unique=True),
    physicalLocation=_object(
        ["artifactLocation"],
        artifactLocation=_object([], uri={"type": "string", "pattern": "^[!#-;=?-\\[\\]_a-z~]+$"}),
        region=_object([], startLine={"type": "integer", "minimum": 1}),
    ),
)
DESCRIPTOR = _object(
    ["id"],
    id=TEXT,
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    helpUri={"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:[^\\s]+$"},
    defaultConfiguration=_object([], level=LEVEL),
    properties=PROPERTIES,
)
NOTIFICATION = _object(
    ["message"], message=MESSAGE, level=LEVEL, locations=_list(LOCATION, unique=True), properties=PROPERTIES
)
SUPPRESSION = _object(
    ["kind"],
    kind={"enum": ["inSource", "external"]},
    status={"enum": ["accepted", "underReview", "rejected"]},
    justification=TEXT,
)
RESULT: dict[str, Any] = {
    **_object(
        ["message"],
        ruleId=TEXT,
        ruleIndex=INDEX,
        kind={"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
        level=LEVEL,
        message=MESSAGE,
        locations=_list(LOCATION),
        partialFingerprints={"type": "object", "additionalProperties": TEXT},
        suppressions=_list(SUPPRESSION, unique=True),
        properties=PROPERTIES,
    ),
    # A kind other than "fail" has no level.
    "if": {"required": ["kind"], "properties": {"kind": {"not": {"const": "fail"}}}},
    "then": {"properties": {"level": {"const": "none"}}},
}
RUN = _object(
    ["tool", "results"],
    tool=_object(["driver"], driver=_object(["name"], name=TEXT, version=TEXT, rules=_list(DESCRIPTOR, unique=True))),
    invocations=_list(
        _object(
            ["executionSuccessful"],
            executionSuccessful={"type": "boolean"},
            toolExecutionNotifications=_list(NOTIFICATION),
        )
    ),
    results=_list(RESULT),
)
SARIF: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_object(
        ["version", "runs"],
        **{"$schema": {"type": "string", "format": "uri"}},
        version={"const": "2.1.0"},
        runs=_list(RUN),
    ),
}
