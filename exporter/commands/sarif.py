"""An audit in SARIF 2.1.0, which code hosts and editors read.

The format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. Tasks are in no file, but code scanning
shows results in files alone: they are where the rule is written, or else where the app is configured.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
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


def as_sarif(audit: Audit, directory: Path) -> str:
    """Return the log of one run; ASCII, so that no terminal acts upon what it contains.

    Names of files within the working directory are relative to it, as code hosts want them.
    """
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
                "toolExecutionNotifications": [_not_read(app, directory) for app in audit.apps if not app.was_read],
            }
        ],
        "results": [
            result | {"ruleIndex": places[findings.rule.name]}
            for app, findings in audit.found()
            for result in _results(app, findings, directory)
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


def _not_read(app: AppFindings, directory: Path) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": f"{app.place} can't be read: {app.state}: {app.reason}"},
        "locations": [_location(app, "", "", directory)],
        "properties": {"state": app.state},
    }


def _results(app: AppFindings, findings: RuleOutcome, directory: Path) -> Iterator[dict[str, Any]]:
    """Write down what was found of one rule in one app; tasks that pass are no results."""
    rule = findings.rule

    def result(task_id: str, message: str) -> dict[str, Any]:
        identity = hashlib.sha256(json.dumps([app.account, app.app_id, rule.name, task_id]).encode()).hexdigest()
        return {
            "ruleId": rule.name,
            "message": {"text": message},
            "locations": [_location(app, task_id, rule.source, directory)],
            # Code scanning takes results of one line for one, unless they bring its own kind of fingerprint.
            "partialFingerprints": {FINGERPRINT: identity, "primaryLocationLineHash": identity},
            "properties": {
                "account": app.account,
                "app_id": app.app_id,
                "severity": rule.severity,
                **({"task_id": task_id} if task_id else {}),
            },
        }

    level = LEVELS[rule.severity]
    for violation in findings.violations:
        yield result(violation.task_id, violation.message) | {"level": level}
    for exempted in findings.exempted:
        yield result(exempted.task_id, rule.title) | {"level": level, "suppressions": [_suppression(exempted)]}
    for unevaluable in findings.unevaluable:
        message = f"{rule.name} can't be evaluated: {unevaluable.reason}"
        yield result(unevaluable.task_id, message) | {"kind": "open", "level": "none"}


def _location(app: AppFindings, task_id: str, source: str, directory: Path) -> dict[str, Any]:
    """Say where a task is, or with an empty `task_id` an app; and where its rule, or it, is written."""
    whole = f"{app.place}/{task_id}" if task_id else app.place
    location: dict[str, Any] = {
        "logicalLocations": [{"name": task_id or app.app_id, "fullyQualifiedName": whole, "kind": "resource"}]
    }
    file, _, line = source.rpartition(":")
    if not file and app.position is not None:
        file, line = app.position.file, str(app.position.line)
    if file:
        path = Path(os.path.normpath(directory / file))
        within = path.is_relative_to(directory)
        address = quote(path.relative_to(directory).as_posix()) if within else path.as_uri()
        location["physicalLocation"] = {"artifactLocation": {"uri": address}, "region": {"startLine": int(line)}}
    return location


def _suppression(exempted: Exempted) -> dict[str, Any]:
    exemption = exempted.exemption
    until = f" (until {exemption.until})" if exemption.until else ""
    return {
        "kind": "external",
        "status": "accepted",
        "justification": f"{exemption.name}{until}" + (f": {exemption.reason}" if exemption.reason else ""),
    }
