"""Tests of the JSON of an audit."""

import json

from hypothesis import given
from hypothesis import strategies as st

from exporter.commands.audit_report import as_json
from tests.support.audits import everything, hostile


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
