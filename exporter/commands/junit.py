"""An audit as JUnit XML, which pipelines show: a suite for each app, a test case for each rule."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from xml.etree import ElementTree as ET

from exporter.commands.audit_report import AppFindings, Audit, RuleOutcome, Violation, is_failure
from exporter.rules.rule import Severity

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
    cases = [_case(app, findings, fail_on) for findings in app.rules] if app.was_read else [_not_read(app)]
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


def _not_read(app: AppFindings) -> ET.Element:
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
    return ", ".join(f"{_tasks(number)} {what}" for what, number in parts.items() if number) or "no tasks"


def _output(findings: RuleOutcome, *, with_violations: bool) -> Iterator[str]:
    """List what is no failure."""
    if findings.violations and with_violations:
        yield f"{findings.rule.severity}: {_who(findings.violations)}: {_text(findings.rule.title)}"
        yield _lines((violation.task_id, violation.message) for violation in findings.violations)
    if findings.exempted:
        yield f"exempt: {_tasks(len(findings.exempted))}"
        yield _lines((exempted.task_id, exempted.exemption.name) for exempted in findings.exempted)
    if findings.unevaluable:
        yield f"can't be evaluated: {_tasks(len(findings.unevaluable))}"
        yield _lines((unevaluable.task_id, unevaluable.reason) for unevaluable in findings.unevaluable)


def _lines(found: Iterable[tuple[str, str]]) -> str:
    """Return a line for each of the first tasks, and how many there are beyond."""
    lines = [_text(f"{task_id}: {text}" if task_id else text) for task_id, text in found]
    if len(lines) > MOST_TASKS:
        lines[MOST_TASKS:] = [f"and {len(lines) - MOST_TASKS} more"]
    return "\n".join(lines)


def _who(violations: Sequence[Violation]) -> str:
    return _tasks(len(violations)) if violations[0].task_id else "the app"


def _tasks(number: int) -> str:
    return f"{number} task{'' if number == 1 else 's'}"


def _text(text: str) -> str:
    """Return a text without what XML can't hold or a terminal would act upon."""
    return "".join(filter(str.isprintable, text))
