"""An audit for other programs: SARIF 2.1.0, which code hosts and editors read, and JUnit XML, which pipelines show.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. Tasks are in no file, but code scanning shows results
in files alone: they are where the rule is written, or else where the app is configured.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from exporter import __version__
from exporter.commands.audit_report import AppFindings, Audit, Exempted, RuleOutcome, Violation, is_failure
from exporter.commands.console import counted
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


MOST_TASKS: Final = 50  # this many tasks of a rule are listed; the count is always whole


def as_junit(audit: Audit, fail_on: Severity | None) -> str:
    """Return the XML.

    A test case with violations of the severity `fail_on` or a higher one is a failure; one with lesser ones passes and
    lists them as its output.
    """
    suites = [_suite(app, fail_on) for app in audit.apps]
    root = ET.Element("testsuites", {"name": "rtcmpu-exporter audit", **_totals(suites)})
    root.extend(suites)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(app: AppFindings, fail_on: Severity | None) -> ET.Element:
    cases = [_case(app, findings, fail_on) for findings in app.rules] if app.was_read else [_unread_case(app)]
    suite = ET.Element("testsuite", {"name": _text(app.place), **_totals(cases)})
    suite.extend(cases)
    return suite


def _totals(elements: Iterable[ET.Element]) -> dict[str, str]:
    """Count the test cases in suites or in a list of cases."""
    cases = [case for element in elements for case in element.iter("testcase")]
    found = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    return {
        "tests": str(len(cases)),
        **{total: str(sum(case.find(name) is not None for case in cases)) for total, name in found.items()},
        "time": "0",
    }


def _unread_case(app: AppFindings) -> ET.Element:
    case = _named(app, "collection")
    error = ET.SubElement(case, "error", {"message": _text(f"can't be read: {app.state}"), "type": app.state})
    error.text = _text(app.reason)
    return case


def _case(app: AppFindings, findings: RuleOutcome, fail_on: Severity | None) -> ET.Element:
    case = _named(app, findings.rule.name)
    fails = bool(findings.violations) and is_failure(findings.rule, fail_on)
    if fails:
        message = f"{_who(findings.violations)}: {findings.rule.title}"
        failure = ET.SubElement(case, "failure", {"message": _text(message), "type": findings.rule.severity})
        failure.text = _lines((violation.task_id, violation.message) for violation in findings.violations)
    elif not findings.passed and not findings.violations:
        ET.SubElement(case, "skipped", {"message": _text(_why_nothing_was_evaluated(findings))})
    output = "\n".join(_output(findings, with_violations=not fails))
    if output:
        ET.SubElement(case, "system-out").text = output
    return case


def _named(app: AppFindings, name: str) -> ET.Element:
    return ET.Element("testcase", {"classname": _text(app.place), "name": name, "time": "0"})


def _why_nothing_was_evaluated(findings: RuleOutcome) -> str:
    parts = {
        "exempt": len(findings.exempted),
        "not evaluable": len(findings.unevaluable),
        "not applicable": findings.not_applicable,
    }
    return ", ".join(f"{counted(number, 'task')} {what}" for what, number in parts.items() if number) or "no tasks"


def _output(findings: RuleOutcome, *, with_violations: bool) -> Iterator[str]:
    """List what is no failure."""
    if findings.violations and with_violations:
        yield f"{findings.rule.severity}: {_who(findings.violations)}: {_text(findings.rule.title)}"
        yield _lines((violation.task_id, violation.message) for violation in findings.violations)
    if findings.exempted:
        yield f"exempt: {counted(len(findings.exempted), 'task')}"
        yield _lines((exempted.task_id, exempted.exemption.name) for exempted in findings.exempted)
    if findings.unevaluable:
        yield f"can't be evaluated: {counted(len(findings.unevaluable), 'task')}"
        yield _lines((unevaluable.task_id, unevaluable.reason) for unevaluable in findings.unevaluable)


def _lines(found: Iterable[tuple[str, str]]) -> str:
    """Return a line for each of the first tasks, and how many there are beyond."""
    lines = [_text(f"{task_id}: {text}" if task_id else text) for task_id, text in found]
    if len(lines) > MOST_TASKS:
        lines[MOST_TASKS:] = [f"and {len(lines) - MOST_TASKS} more"]
    return "\n".join(lines)


def _who(violations: Sequence[Violation]) -> str:
    return counted(len(violations), "task") if violations[0].task_id else "the app"


def _text(text: str) -> str:
    """Return a text without what XML can't hold or a terminal would act upon."""
    return "".join(filter(str.isprintable, text))
