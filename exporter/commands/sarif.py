"""An audit in SARIF 2.1.0, which code hosts and editors read.

The format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. Tasks are in no file, so results have
logical locations alone.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from exporter import __version__
from exporter.commands.audit_report import AppFindings, Audit, Exempted, RuleOutcome
from exporter.rules.rule import Rule, Severity

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "rtcmpuFinding/v1"  # what identifies a finding over runs: a digest of account, app, rule and task

IN_ADDRESSES: Final = "%:/?#[]@!$&'()*+,;="
"""What is in an address as it is, beside letters, digits and `-._~`: RFC 3986, section 2."""

LEVELS: Final[Mapping[Severity, str]] = MappingProxyType(
    {Severity.INFO: "note", Severity.WARNING: "warning", Severity.CRITICAL: "error"}
)


def as_sarif(audit: Audit) -> str:
    """Return the log of one run; ASCII, so that no terminal acts upon what it contains."""
    places = {rule.name: place for place, rule in enumerate(audit.rules)}
    run = {
        "tool": {
            "driver": {
                "name": "rtcmpu-exporter",
                "version": __version__,
                "rules": [_descriptor(rule) for rule in audit.rules],
            }
        },
        "invocations": [
            {
                "executionSuccessful": audit.all_read,
                "toolExecutionNotifications": [_not_read(app) for app in audit.apps if not app.was_read],
            }
        ],
        "results": [
            result for app, findings in audit.found() for result in _results(app, findings, places[findings.rule.name])
        ],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _descriptor(rule: Rule) -> dict[str, Any]:
    """Describe a rule; what it does not say is left out."""
    descriptor: dict[str, Any] = {
        "id": rule.name,
        "shortDescription": {"text": rule.title},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "properties": {"severity": rule.severity, "source": rule.source},
    }
    if rule.reason:
        descriptor["fullDescription"] = {"text": rule.reason}
    if rule.remedy:
        descriptor["help"] = {"text": rule.remedy}
    if rule.runbook_url:
        descriptor["helpUri"] = quote(rule.runbook_url, safe=IN_ADDRESSES)
    return descriptor


def _not_read(app: AppFindings) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": f"{app.place} can't be read: {app.state}: {app.reason}"},
        "locations": [_location(app, "")],
        "properties": {"state": app.state},
    }


def _results(app: AppFindings, findings: RuleOutcome, place: int) -> Iterator[dict[str, Any]]:
    """Write down what was found of one rule in one app; tasks that pass are no results."""
    level = LEVELS[findings.rule.severity]
    for violation in findings.violations:
        yield _result(app, findings.rule, place, violation.task_id, violation.message) | {"level": level}
    for exempted in findings.exempted:
        result = _result(app, findings.rule, place, exempted.task_id, findings.rule.title)
        yield result | {"level": level, "suppressions": [_suppression(exempted)]}
    for unevaluable in findings.unevaluable:
        message = f"{findings.rule.name} can't be evaluated: {unevaluable.reason}"
        yield _result(app, findings.rule, place, unevaluable.task_id, message) | {"kind": "open", "level": "none"}


def _result(app: AppFindings, rule: Rule, place: int, task_id: str, message: str) -> dict[str, Any]:
    identity = json.dumps([app.account, app.app_id, rule.name, task_id])
    return {
        "ruleId": rule.name,
        "ruleIndex": place,
        "message": {"text": message},
        "locations": [_location(app, task_id)],
        "partialFingerprints": {FINGERPRINT: hashlib.sha256(identity.encode()).hexdigest()},
        "properties": {
            "account": app.account,
            "app_id": app.app_id,
            "severity": rule.severity,
            **({"task_id": task_id} if task_id else {}),
        },
    }


def _location(app: AppFindings, task_id: str) -> dict[str, Any]:
    """Say where a task is, or with an empty `task_id` an app."""
    whole = f"{app.place}/{task_id}" if task_id else app.place
    return {
        "logicalLocations": [{"name": task_id or app.app_id, "fullyQualifiedName": whole, "kind": "resource"}],
    }


def _suppression(exempted: Exempted) -> dict[str, Any]:
    exemption = exempted.exemption
    until = f" (until {exemption.until})" if exemption.until else ""
    return {
        "kind": "external",
        "status": "accepted",
        "justification": f"{exemption.name}{until}" + (f": {exemption.reason}" if exemption.reason else ""),
    }
