"""The documents of an audit: JSON, SARIF 2.1.0 and JUnit XML. What they are for one of each is beside this file."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter import __version__
from exporter.commands.audit_report import (
    FINGERPRINT,
    MOST_TASKS,
    Audit,
    RuleOutcome,
    as_json,
    as_junit,
    as_sarif,
)
from exporter.config.mistakes import Position
from exporter.rules.rule import Severity
from tests.support.audits import SARIF, app, everything, hostile, rule, violations
from tests.support.configurations import read_yaml

HERE = Path(__file__).parent
DIRECTORY = Path("/home/me/fleet")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def sarif_run(audit: Audit) -> dict[str, Any]:
    """Return the run of an audit's log, which fits the schema."""
    log = json.loads(as_sarif(audit, DIRECTORY))
    jsonschema.validate(log, SARIF, jsonschema.Draft202012Validator)
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def junit_case(findings: RuleOutcome) -> ET.Element:
    """Return the case of the only rule of an audit."""
    written = as_junit(Audit((findings.rule,), (app("main", findings),)), Severity.WARNING)
    (case,) = ET.fromstring(written).iter("testcase")  # noqa: S314 - written by the function under test
    return case


def test_the_documents_have_all_that_was_found() -> None:
    """Violations, exempted and unevaluable tasks, counts of the rest, rules, and the app that could not be read."""
    audit = everything()
    assert json.loads(as_json(audit)) == read_yaml((HERE / "audit_json.yml").read_text())
    assert as_junit(audit, Severity.WARNING) == (HERE / "audit_junit.xml").read_text()
    run = read_yaml((HERE / "audit_sarif.yml").read_text())
    run["tool"]["driver"]["version"] = __version__
    assert sarif_run(audit) == run


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: run.pop("tool"),
        lambda run: run["results"][0].pop("message"),
        lambda run: run["results"][0].update(level="critical"),
        lambda run: run["results"][0].update(rule_id="x"),
        lambda run: run["results"][0].update(kind="open"),
        lambda run: run["invocations"][0].pop("executionSuccessful"),
        lambda run: run["tool"]["driver"]["rules"][0].update(help="text"),
    ],
)
def test_the_schema_of_these_tests_refuses_what_is_wrong(spoil: Any) -> None:
    """A log with a missing, misspelt or wrong property is not valid."""
    run = sarif_run(everything())
    spoil(run)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": "2.1.0", "runs": [run]}, SARIF, jsonschema.Draft202012Validator)


@given(text=TEXTS)
def test_any_text_comes_back_and_no_terminal_acts_upon_it(text: str) -> None:
    """What is written is printable ASCII and line ends; what is read back is what stood there."""
    audit = hostile(text)
    for written in (as_json(audit), as_sarif(audit, DIRECTORY)):
        assert all(character == "\n" or " " <= character <= "~" for character in written)
    assert json.loads(as_json(audit))["apps"][0]["rules"][0]["violations"] == [{"task_id": text, "message": text}]
    assert sarif_run(audit)["results"][0]["message"]["text"] == text


@given(st.text())
def test_any_text_makes_well_formed_xml_that_no_terminal_acts_upon(text: str) -> None:
    """Whatever is in a list, what is written can be read, and has no control characters."""
    written = as_junit(hostile(text), Severity.WARNING)
    assert all(character == "\n" or character.isprintable() for character in written)
    assert ET.fromstring(written).get("failures") == "1"  # noqa: S314 - written by the function under test


def test_the_address_of_a_runbook_is_a_uri() -> None:
    """What people may write and a URI can't hold is escaped; what is escaped already stays."""
    address = 'https://wiki.example.com/运维/a%20b?q=<x>&r="y"#z'
    (descriptor,) = sarif_run(Audit(rules=(rule(runbook_url=address),), apps=()))["tool"]["driver"]["rules"]
    assert descriptor["helpUri"] == "https://wiki.example.com/%E8%BF%90%E7%BB%B4/a%20b?q=%3Cx%3E&r=%22y%22#z"


@pytest.mark.parametrize(
    ("source", "file", "uri"),
    [
        ("default", "conf/运维 1.yml", "conf/%E8%BF%90%E7%BB%B4%201.yml"),
        ("app", "/home/me/fleet/rtcmpu.yml", "rtcmpu.yml"),
        ("app", "../other/rtcmpu.yml", "file:///home/me/other/rtcmpu.yml"),
        ("/etc/rules/a:b.yml:7", "rtcmpu.yml", "file:///etc/rules/a%3Ab.yml"),
    ],
)
def test_a_result_is_in_the_file_of_its_rule_or_of_its_app(source: str, file: str, uri: str) -> None:
    """Code scanning shows results in files alone, by names relative to the working directory."""
    audit = everything()
    main = replace(audit.apps[0], position=Position(0, file, 7, 3))
    outcome = replace(main.rules[0], rule=replace(main.rules[0].rule, source=source))
    first, *_ = sarif_run(replace(audit, apps=(replace(main, rules=(outcome,)),)))["results"]
    place = first["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": uri}, "region": {"startLine": 7}}


def test_an_audit_that_finds_nothing_is_a_success() -> None:
    """The log is there, with no result."""
    run = sarif_run(Audit((), (app("main"),)))
    assert run["results"] == []
    assert run["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]


def test_fingerprints_tell_findings_apart() -> None:
    """Each finding has its own, which does not depend on what else was found."""
    prints = [result["partialFingerprints"][FINGERPRINT] for result in sarif_run(everything())["results"]]
    assert len(set(prints)) == len(prints) == 4
    (main, _) = everything().apps
    (alone,) = sarif_run(Audit((main.rules[1].rule,), (app("main", main.rules[1]),)))["results"]
    assert alone["partialFingerprints"][FINGERPRINT] == prints[3]


def test_what_the_audit_is_not_to_fail_for_is_no_failure() -> None:
    """Lesser violations fail where they count, and nothing does where nothing counts."""
    for fail_on, failures in ((Severity.INFO, "2"), (Severity.CRITICAL, "1"), (None, "0")):
        root = ET.fromstring(as_junit(everything(), fail_on))  # noqa: S314 - as above
        assert root.get("failures") == failures


def test_a_finding_about_the_app_as_a_whole_is_not_counted_in_tasks() -> None:
    """The message names the app, the text has the one line about it."""
    failure = junit_case(RuleOutcome(rule=rule(), violations=violations(""))).find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("the app: Title of bitrate", "not as agreed")


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
        (RuleOutcome(rule=rule(), passed=1, not_applicable=5), None),
    ],
)
def test_a_rule_that_evaluated_no_task_is_skipped(findings: RuleOutcome, message: str | None) -> None:
    """It has neither passed nor failed, and says why; one that all tasks pass says nothing."""
    case = junit_case(findings)
    skipped = case.find("skipped")
    assert (skipped is not None and skipped.get("message")) == (message or False)
    assert message is not None or list(case) == []


def test_a_long_list_is_cut_and_the_count_is_whole() -> None:
    """This many tasks are listed, and the rest is counted."""
    ids = [f"t-{place:03}" for place in range(MOST_TASKS + 7)]
    failure = junit_case(RuleOutcome(rule=rule(), violations=violations(*ids))).find("failure")
    assert failure is not None
    assert failure.get("message") == f"{MOST_TASKS + 7} tasks: Title of bitrate"
    lines = (failure.text or "").splitlines()
    assert len(lines) == MOST_TASKS + 1
    assert lines[-2:] == [f"t-{MOST_TASKS - 1:03}: not as agreed", "and 7 more"]
