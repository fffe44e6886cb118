"""What an audit has found; and as JSON, as SARIF 2.1.0 for code hosts and editors, as JUnit XML for pipelines.

All texts are whole Unicode, and otherwise as they were read: each rendering escapes. Tasks are in no file, but code
scanning shows results in files alone: they are where the rule is written, or else where the app is configured.
https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from msgspec import Struct

from exporter import __version__
from exporter.collector.status import Status
from exporter.commands.console import counted
from exporter.config.mistakes import Position
from exporter.core.collection_state import State
from exporter.rules.app_engine import AppPolicy
from exporter.rules.engine import PolicyEngine
from exporter.rules.findings import THE_APP, AnyRule, RuleFindings, RuleReport
from exporter.rules.rule import SEVERITIES, AppKey, Exemption, Outcome, Rule, Severity


class RuleOutcome(Struct, frozen=True, kw_only=True):
    """The state of one rule in one app; tasks are in the order of their TaskIds, "" is the app as a whole."""

    rule: Rule
    passed: int = 0  # Tasks, as the next one
    not_applicable: int = 0
    violations: Sequence[tuple[str, str]] = ()  # TaskId and message
    exempted: Sequence[tuple[str, Exemption]] = ()
    unevaluable: Sequence[tuple[str, str]] = ()  # TaskId and why the rule can't be evaluated


class AppFindings(Struct, frozen=True, kw_only=True):
    """What was found in one app."""

    account: str
    app_id: str
    name: str
    owner: str
    state: State
    reason: str  # why it can't be read; empty while it can
    tasks: int | None  # None: it could not be read
    position: Position | None = None  # in the configuration file, if there is one
    rules: tuple[RuleOutcome, ...] = ()  # those that apply to the app; none where it could not be read

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.account}/{self.app_id}"

    @property
    def was_read(self) -> bool:
        """Whether its tasks are known."""
        return self.tasks is not None


class Audit(Struct, frozen=True):
    """What was found in all apps."""

    rules: tuple[Rule, ...]  # every rule in force, once by its name
    apps: tuple[AppFindings, ...]

    def found(self) -> Iterator[tuple[AppFindings, RuleOutcome]]:
        """Go through all findings, app by app."""
        for app in self.apps:
            for findings in app.rules:
                yield app, findings

    def violations(self, severity: Severity) -> int:
        """Return how many violations of exactly this severity there are."""
        return sum(len(findings.violations) for _, findings in self.found() if findings.rule.severity is severity)

    def fails(self, fail_on: Severity | None) -> bool:
        """Whether there is a violation of this severity or a higher one; with None there never is."""
        return fail_on is not None and any(
            findings.violations and is_failure(findings.rule, fail_on) for _, findings in self.found()
        )


def is_failure(rule: Rule, fail_on: Severity | None) -> bool:
    """Whether violations of a rule are what an audit is to fail for."""
    return fail_on is not None and rule.severity.rank >= fail_on.rank


def gather(
    rules: tuple[Rule, ...],
    apps: Iterable[tuple[Status, int]],
    policy: PolicyEngine,
    now: float,
    places: Mapping[AppKey, Position],
) -> Audit:
    """Return what was found in apps, given with numbers of tasks; `now` (Unix time) decides which exemption holds."""
    return Audit(rules, tuple(_of_app(status, tasks, policy, now, places) for status, tasks in apps))


def _of_app(
    status: Status, tasks: int, policy: PolicyEngine, now: float, places: Mapping[AppKey, Position]
) -> AppFindings:
    key = (status.account, status.app_id)
    app = policy.app(key)
    reports = {one.rule: one for one in app.report.rules} if status.up and app.report is not None else {}
    return AppFindings(
        account=status.account,
        app_id=status.app_id,
        name=_whole(status.name),
        owner=_whole(status.owner),
        state=status.state,
        reason=_whole(status.reason),
        tasks=tasks if status.up else None,
        position=places.get(key),
        rules=tuple(
            _of_rule(app, findings, reports[findings.rule.rule.name], now)
            for findings in app.findings()
            if findings.rule.rule.name in reports
        ),
    )


def _of_rule(app: AppPolicy, findings: RuleFindings, report: RuleReport, now: float) -> RuleOutcome:
    rule = findings.rule

    def found(task_ids: Iterable[str], text: Callable[[AnyRule, str], str]) -> Sequence[tuple[str, str]]:
        return [(_whole(task_id), _whole(text(rule, task_id))) for task_id in sorted(task_ids)]

    exempted = sorted(app.tasks_with(Outcome.EXEMPT, rule))
    exemptions = [(_whole(task_id), rule.rule.exemption_of(task_id, now)) for task_id in exempted]
    return RuleOutcome(
        rule=rule.rule,
        passed=report.evaluated - report.violations,
        not_applicable=report.not_applicable,
        violations=found(findings.since, app.text),
        exempted=[(task_id, exemption) for task_id, exemption in exemptions if exemption is not None],
        unevaluable=found(app.tasks_with(Outcome.ERROR, rule), app.reason),
    )


def _whole(text: str) -> str:
    """Return a text with a question mark for each half of a character, which no format can hold."""
    return text.encode("utf-8", "replace").decode()


def as_json(audit: Audit) -> str:
    """Return the document; ASCII, so that no terminal acts upon what it contains."""
    document = {
        "violations": {severity: audit.violations(severity) for severity in SEVERITIES},
        "apps": [_app(app) for app in audit.apps],
    }
    return json.dumps(document, indent=2) + "\n"


def _app(app: AppFindings) -> dict[str, Any]:
    return {
        **{part: getattr(app, part) for part in ("account", "app_id", "name", "owner", "state", "reason", "tasks")},
        "rules": [_rule(findings) for findings in app.rules] if app.was_read else None,
    }


def _rule(findings: RuleOutcome) -> dict[str, Any]:
    return {
        "rule": findings.rule.name,
        **{part: getattr(findings.rule, part) for part in ("title", "severity", "owner", "runbook_url")},
        "passed": findings.passed,
        "not_applicable": findings.not_applicable,
        "violations": [{"task_id": task_id, "message": message} for task_id, message in findings.violations],
        "exempted": [
            {
                "task_id": task_id,
                "exemption": exemption.name,
                "until": exemption.until and exemption.until.isoformat(),
                "reason": exemption.reason,
            }
            for task_id, exemption in findings.exempted
        ],
        "unevaluable": [{"task_id": task_id, "reason": reason} for task_id, reason in findings.unevaluable],
    }


SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "rtcmpuFinding/v1"  # what identifies a finding over runs: a digest of account, app, rule and task

IN_ADDRESSES: Final = "%:/?#[]@!$&'()*+,;="
"""What is in an address as it is, beside letters, digits and `-._~`: RFC 3986, section 2."""

LEVELS: Final[Mapping[Severity, str]] = {Severity.INFO: "note", Severity.WARNING: "warning", Severity.CRITICAL: "error"}


def as_sarif(audit: Audit, directory: Path) -> str:
    """Return the log of one run in ASCII; names of files are relative to the working directory."""
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
                "executionSuccessful": all(app.was_read for app in audit.apps),
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
    for task_id, message in findings.violations:
        yield result(task_id, message) | {"level": level}
    for task_id, exemption in findings.exempted:
        yield result(task_id, rule.title) | {"level": level, "suppressions": [_suppression(exemption)]}
    for task_id, reason in findings.unevaluable:
        yield result(task_id, f"{rule.name} can't be evaluated: {reason}") | {"kind": "open", "level": "none"}


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


def _suppression(exemption: Exemption) -> dict[str, Any]:
    until = f" (until {exemption.until})" if exemption.until else ""
    return {
        "kind": "external",
        "status": "accepted",
        "justification": f"{exemption.name}{until}" + (f": {exemption.reason}" if exemption.reason else ""),
    }


MOST_TASKS: Final = 50  # this many tasks of a rule are listed; the count is always whole


def as_junit(audit: Audit, fail_on: Severity | None) -> str:
    """Return the XML: a test case with violations of `fail_on` or worse is a failure, lesser ones are output."""
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
        message = f"{_who(findings)}: {findings.rule.title}"
        failure = ET.SubElement(case, "failure", {"message": _text(message), "type": findings.rule.severity})
        failure.text = _lines(findings.violations)
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
    if findings.violations and with_violations:
        yield f"{findings.rule.severity}: {_who(findings)}: {_text(findings.rule.title)}"
        yield _lines(findings.violations)
    if findings.exempted:
        yield f"exempt: {counted(len(findings.exempted), 'task')}"
        yield _lines((task_id, exemption.name) for task_id, exemption in findings.exempted)
    if findings.unevaluable:
        yield f"can't be evaluated: {counted(len(findings.unevaluable), 'task')}"
        yield _lines(findings.unevaluable)


def _lines(found: Iterable[tuple[str, str]]) -> str:
    lines = [_text(f"{task_id}: {text}" if task_id else text) for task_id, text in found]
    if len(lines) > MOST_TASKS:
        lines[MOST_TASKS:] = [f"and {len(lines) - MOST_TASKS} more"]
    return "\n".join(lines)


def _who(findings: RuleOutcome) -> str:
    is_about_app = findings.violations[0][0] == THE_APP
    return "the app" if is_about_app else counted(len(findings.violations), "task")


def _text(text: str) -> str:
    """Return a text without what XML can't hold or a terminal would act upon."""
    return "".join(filter(str.isprintable, text))
