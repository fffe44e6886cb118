"""Tests of the SARIF of an audit."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter import __version__
from exporter.commands.audit_report import FINGERPRINT, Audit, as_sarif
from exporter.config.mistakes import Position
from tests.support.audits import SARIF, app, everything, hostile, rule

DIRECTORY = Path("/home/me/fleet")


def _run(audit: Audit) -> dict[str, Any]:
    log = json.loads(as_sarif(audit, DIRECTORY))
    jsonschema.validate(log, SARIF, jsonschema.Draft202012Validator)
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def test_rules_say_what_they_are_and_what_to_do() -> None:
    """Each rule in force is described, in order; what it does not say is left out."""
    driver = _run(everything())["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("rtcmpu-exporter", __version__)
    assert driver["rules"] == [
        {
            "id": "bitrate",
            "shortDescription": {"text": "Title of bitrate"},
            "fullDescription": {"text": "Money."},
            "help": {"text": "Lower it."},
            "helpUri": "https://example.com/bitrate",
            "defaultConfiguration": {"level": "error"},
            "properties": {"severity": "critical", "source": "rules.yml:2"},
        },
        {
            "id": "idle",
            "shortDescription": {"text": "Title of idle"},
            "defaultConfiguration": {"level": "note"},
            "properties": {"severity": "info", "source": ""},
        },
    ]


def test_the_address_of_a_runbook_is_a_uri() -> None:
    """What people may write and a URI can't hold is escaped; what is escaped already stays."""
    address = 'https://wiki.example.com/运维/a%20b?q=<x>&r="y"#z'
    run = _run(Audit(rules=(rule(runbook_url=address),), apps=()))
    (descriptor,) = run["tool"]["driver"]["rules"]
    assert descriptor["helpUri"] == "https://wiki.example.com/%E8%BF%90%E7%BB%B4/a%20b?q=%3Cx%3E&r=%22y%22#z"


def test_a_violation_is_a_result_of_its_rule_at_its_task() -> None:
    """It names the rule, the level, the task's place and the message."""
    run = _run(everything())
    first = run["results"][0]
    assert (first["ruleId"], run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"]) == ("bitrate", "bitrate")
    assert (first["level"], first["message"]) == ("error", {"text": "not as agreed"})
    assert first["locations"] == [
        {
            "logicalLocations": [{"name": "t-1", "fullyQualifiedName": "production/main/t-1", "kind": "resource"}],
            "physicalLocation": {"artifactLocation": {"uri": "rules.yml"}, "region": {"startLine": 2}},
        }
    ]
    assert first["properties"] == {"account": "production", "app_id": "main", "severity": "critical", "task_id": "t-1"}
    assert [result["ruleId"] for result in run["results"] if result["level"] == "note"] == ["idle"] * 3


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
    first, *_ = _run(replace(audit, apps=(replace(main, rules=(outcome,)),)))["results"]
    place = first["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": uri}, "region": {"startLine": 7}}


def test_an_exempted_task_is_a_suppressed_result() -> None:
    """Who reads the log sees that it is agreed upon, until when and why."""
    (result,) = [result for result in _run(everything())["results"] if "suppressions" in result]
    assert result["properties"]["task_id"] == "t-load-1"
    assert result["suppressions"] == [
        {
            "kind": "external",
            "status": "accepted",
            "justification": "load-test (until 2027-01-31): agreed with live-ops",
        }
    ]


def test_a_task_that_cannot_be_evaluated_is_open() -> None:
    """It is neither pass nor fail, and has no level."""
    (result,) = [result for result in _run(everything())["results"] if "kind" in result]
    assert (result["kind"], result["level"]) == ("open", "none")
    assert result["message"]["text"] == "bitrate can't be evaluated: no bitrate"


def test_an_app_that_could_not_be_read_is_a_notification() -> None:
    """The run says that it was no success, which app failed, and why."""
    (invocation,) = _run(everything())["invocations"]
    assert invocation["executionSuccessful"] is False
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["level"] == "error"
    assert notification["message"]["text"] == "production/gone can't be read: app_invalid: no such app"


def test_an_audit_that_finds_nothing_is_a_success() -> None:
    """The log is there, with no result."""
    run = _run(Audit((), (app("main"),)))
    assert run["results"] == []
    assert run["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]


def test_fingerprints_tell_findings_apart_and_stay_over_runs() -> None:
    """Each finding has its own, which does not depend on what else was found."""
    run = _run(everything())
    prints = [result["partialFingerprints"][FINGERPRINT] for result in run["results"]]
    assert len(set(prints)) == len(prints) == 6
    (main, _) = everything().apps
    alone = _run(Audit((main.rules[1].rule,), (app("main", main.rules[1]),)))
    assert [result["partialFingerprints"][FINGERPRINT] for result in alone["results"]] == prints[3:]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_makes_a_valid_log_that_no_terminal_acts_upon(text: str) -> None:
    """What is written is printable ASCII and line ends; what is read back is what stood there."""
    audit = hostile(text)
    assert all(character == "\n" or " " <= character <= "~" for character in as_sarif(audit, DIRECTORY))
    assert _run(audit)["results"][0]["message"]["text"] == text


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
    log = {"version": "2.1.0", "runs": [copy.deepcopy(_run(everything()))]}
    spoil(log["runs"][0])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(log, SARIF, jsonschema.Draft202012Validator)
