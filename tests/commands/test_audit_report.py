"""Tests of what an audit takes from the engine, and of its JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.commands.audit_report import Violation, as_json, gather
from exporter.core.collection_state import State
from tests.metrics.builders import STATUS
from tests.support.audits import everything, hostile
from tests.support.policy_world import LIVE, NOON, PolicyWorld, rule


async def test_half_a_character_of_a_task_id_becomes_a_question_mark() -> None:
    """No format can hold it."""
    world = PolicyWorld(rule("slow", "task.idle_timeout_seconds <= 60", message="task_id"))
    world.put("t-\ud800", idle_timeout_seconds=600)
    world.collect_all()
    await world.settle()
    audit = gather((), [(replace(STATUS, account=LIVE[0], app_id=LIVE[1], up=True), 1)], world.policy, NOON, {})
    assert audit.apps[0].rules[0].violations == (Violation("t-?", "t-?"),)


async def test_an_app_that_could_not_be_read_has_no_findings() -> None:
    """What was found before is not shown as if it were now."""
    world = PolicyWorld(rule("slow", "task.idle_timeout_seconds <= 60"))
    world.put("a", idle_timeout_seconds=600)
    world.collect_all()
    await world.settle()
    failed = replace(STATUS, account=LIVE[0], app_id=LIVE[1], up=False, state=State.TIMEOUT, reason="too late")
    (app,) = gather((), [(failed, 1)], world.policy, NOON, {}).apps
    assert (app.tasks, app.rules, app.state, app.reason) == (None, (), State.TIMEOUT, "too late")


def test_everything_that_was_found_is_in_the_document() -> None:
    """Violations, exempted and unevaluable tasks, counts of the rest, and the app that failed."""
    document = json.loads(as_json(everything()))
    main, gone = document["apps"]
    assert document["violations"] == {"info": 3, "warning": 0, "critical": 1}
    assert (main["account"], main["app_id"], main["state"], main["tasks"]) == ("production", "main", "ok", 10)
    assert main["rules"][0] == {
        "rule": "bitrate",
        "title": "Title of bitrate",
        "severity": "critical",
        "owner": "",
        "runbook_url": "https://example.com/bitrate",
        "passed": 6,
        "not_applicable": 1,
        "violations": [{"task_id": "t-1", "message": "not as agreed"}],
        "exempted": [
            {"task_id": "t-load-1", "exemption": "load-test", "until": "2027-01-31", "reason": "agreed with live-ops"}
        ],
        "unevaluable": [{"task_id": "t-2", "reason": "no bitrate"}],
    }
    assert gone["state"] == "app_invalid"
    assert gone["reason"] == "no such app"
    assert (gone["tasks"], gone["rules"]) == (None, None)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_and_no_terminal_acts_upon_it(text: str) -> None:
    """What is written is printable ASCII and line ends; what is read back is what stood there."""
    written = as_json(hostile(text))
    assert all(character == "\n" or " " <= character <= "~" for character in written)
    assert json.loads(written)["apps"][0]["rules"][0]["violations"] == [{"task_id": text, "message": text}]
