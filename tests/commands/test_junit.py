"""Tests of the JUnit XML of an audit."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.commands.audit_report import MOST_TASKS, Audit, RuleOutcome, as_junit
from exporter.rules.rule import Severity
from tests.support.audits import app, everything, hostile, rule, violations


def _read(audit: Audit, fail_on: Severity | None = Severity.WARNING) -> ET.Element:
    return ET.fromstring(as_junit(audit, fail_on))  # noqa: S314 - written by the function under test


def _case(root: ET.Element, name: str) -> ET.Element:
    (case,) = [case for case in root.iter("testcase") if case.get("name") == name]
    return case


def _part(case: ET.Element, name: str) -> ET.Element:
    """Return what a case has, one of its kind."""
    (part,) = case.findall(name)
    return part


def _only_rule(findings: RuleOutcome) -> ET.Element:
    root = _read(Audit((findings.rule,), (app("main", findings),)))
    return _case(root, findings.rule.name)


def test_there_is_a_suite_for_each_app_and_a_case_for_each_rule() -> None:
    """Readers find the structure and the attributes that they expect, with totals that add up."""
    root = _read(everything())
    assert root.tag == "testsuites"
    assert root.attrib == {
        "name": "rtcmpu-exporter audit",
        "tests": "3",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
        "time": "0",
    }
    main, gone = root
    assert (main.tag, main.get("name"), main.get("tests"), main.get("failures")) == (
        "testsuite",
        "production/main",
        "2",
        "1",
    )
    assert [(case.tag, case.get("classname"), case.get("name")) for case in main] == [
        ("testcase", "production/main", "bitrate"),
        ("testcase", "production/main", "idle"),
    ]
    assert (gone.get("tests"), gone.get("failures"), gone.get("errors")) == ("1", "0", "1")


def test_a_failure_lists_the_tasks_and_says_how_many() -> None:
    """The message has the count and the title, the text a line for each task."""
    failure = _part(_case(_read(everything()), "bitrate"), "failure")
    assert failure.attrib == {"message": "1 task: Title of bitrate", "type": "critical"}
    assert failure.text == "t-1: not as agreed"


def test_a_finding_about_the_app_as_a_whole_is_not_counted_in_tasks() -> None:
    """The message names the app, the text has the one line about it."""
    failure = _part(_only_rule(RuleOutcome(rule=rule(), violations=violations(""))), "failure")
    assert (failure.get("message"), failure.text) == ("the app: Title of bitrate", "not as agreed")


def test_what_the_audit_is_not_to_fail_for_is_no_failure() -> None:
    """Lesser violations pass and are listed as output; where they count, they fail."""
    lesser = _case(_read(everything()), "idle")
    assert lesser.find("failure") is None
    assert lesser.findtext("system-out", "").splitlines() == [
        "info: 3 tasks: Title of idle",
        "t-3: not as agreed",
        "t-4: not as agreed",
        "t-5: not as agreed",
    ]
    assert _case(_read(everything(), Severity.INFO), "idle").find("failure") is not None
    assert _read(everything(), None).get("failures") == "0"


def test_exempted_and_unevaluable_tasks_are_output() -> None:
    """They are shown beside the failure, and are none."""
    assert _case(_read(everything()), "bitrate").findtext("system-out", "").splitlines() == [
        "exempt: 1 task",
        "t-load-1: load-test",
        "can't be evaluated: 1 task",
        "t-2: no bitrate",
    ]


def test_an_app_that_could_not_be_read_is_an_error() -> None:
    """Its suite has one case, whose error says the state and the reason."""
    case = _case(_read(everything()), "collection")
    error = _part(case, "error")
    assert case.get("classname") == "production/gone"
    assert error.attrib == {"message": "can't be read: app_invalid", "type": "app_invalid"}
    assert error.text == "no such app"


@pytest.mark.parametrize(
    ("findings", "message"),
    [
        (RuleOutcome(rule=rule(), not_applicable=3), "3 tasks not applicable"),
        (
            RuleOutcome(rule=rule(), not_applicable=3, unevaluable=[("t", "no bitrate")]),
            "1 task not evaluable, 3 tasks not applicable",
        ),
        (RuleOutcome(rule=rule(), exempted=everything().apps[0].rules[0].exempted), "1 task exempt"),
        (RuleOutcome(rule=rule()), "no tasks"),
    ],
)
def test_a_rule_that_evaluated_no_task_is_skipped(findings: RuleOutcome, message: str) -> None:
    """It has neither passed nor failed, and says why."""
    assert _part(_only_rule(findings), "skipped").get("message") == message


def test_a_rule_that_all_tasks_pass_has_nothing_to_say() -> None:
    """Its case is empty."""
    assert list(_only_rule(RuleOutcome(rule=rule(), passed=1, not_applicable=5))) == []


def test_a_long_list_is_cut_and_the_count_is_whole() -> None:
    """This many tasks are listed, and the rest is counted."""
    ids = [f"t-{place:03}" for place in range(MOST_TASKS + 7)]
    failure = _part(_only_rule(RuleOutcome(rule=rule(), violations=violations(*ids))), "failure")
    assert failure.get("message") == f"{MOST_TASKS + 7} tasks: Title of bitrate"
    lines = (failure.text or "").splitlines()
    assert len(lines) == MOST_TASKS + 1
    assert lines[-2:] == [f"t-{MOST_TASKS - 1:03}: not as agreed", "and 7 more"]


@given(st.text())
def test_any_text_makes_well_formed_xml_that_no_terminal_acts_upon(text: str) -> None:
    """Whatever is in a list, what is written can be read, and has no control characters."""
    written = as_junit(hostile(text), Severity.WARNING)
    assert all(character == "\n" or character.isprintable() for character in written)
    assert ET.fromstring(written).get("failures") == "1"  # noqa: S314 - written by the function under test
