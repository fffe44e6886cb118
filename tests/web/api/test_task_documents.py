"""What is said of one task."""

import json

import msgspec
import pytest
from hypothesis import given

from exporter.policy.rule import Outcome
from exporter.policy.vocabulary import TaskFacts
from exporter.task import Configuration, Output, Pane
from exporter.web.api.bounded_page import json_text
from exporter.web.api.task_documents import MOST_PARTS, task_document, task_with_findings_document
from exporter.web.view import FindingDetail, TaskFinding, TaskView
from tests.metrics.builders import configuration, configurations
from tests.web.api.api_view import entry
from tests.web.fake_view import NOW, rule, status


def test_a_task_is_shown_with_all_that_is_known() -> None:
    """An item has names, configuration, times, violations by name and whether it is to be relied upon."""
    shown = json.loads(json_text(task_document(status(), entry("task-1"), ["b", "a"])))
    configured = shown.pop("configuration")
    assert shown == {
        "account": "production",
        "app_id": "live-main",
        "task_id": "task-1",
        "channel_id": "channel",
        "omitted": {"outputs": 0, "panes": 0, "user_streams": 0},
        "first_seen_timestamp_seconds": NOW - 60,
        "last_changed_timestamp_seconds": NOW - 30,
        "violations": ["a", "b"],
        "data_available": True,
    }
    assert configured["video"] == {
        "codec": "H.264",
        "profile": "main",
        "preset": "fast",
        "bitrate_kbps": 1500,
        "framerate": 25,
        "gop": 50,
        "width": 1280,
        "height": 720,
        "pixels": 921_600,
        "resolution": "720p",
        "aspect": 1280 / 720,
        "gop_seconds": 2.0,
        "bits_per_pixel": pytest.approx(1_500_000 / (921_600 * 25)),
    }
    assert configured["outputs"] == [
        {"scheme": "rtmp", "host": "push.example.com", "is_ali_cdn": None, "has_userinfo": True}
    ]
    assert configured["panes"][0]["render_mode"] is None
    assert configured["sei"]["has_payload"] is True


@given(configurations)
def test_a_configuration_is_always_complete(configured: Configuration) -> None:
    """Every field of the vocabulary is there, null where nothing is known, whatever is configured."""
    shown = task_document(status(), entry("task-1", configured), [])["configuration"]
    assert json.loads(json_text(msgspec.to_builtins(shown))).keys() == set(TaskFacts.__struct_fields__)
    assert shown.region == configured.region
    assert shown.mix_mode == configured.mix_mode
    assert shown.video.bitrate_kbps == (configured.encoding.video.bitrate_kbps if configured.encoding else None)


def test_a_task_of_very_many_parts_is_cut() -> None:
    """What is left out is counted, and the numbers that follow from all parts stay."""
    pane = Pane(0.0, 0.0, 0.1, 0.1, 1, None, None, has_background_image=False)
    output = Output("rtmp", "push.example.com", is_ali_cdn=None, has_userinfo=False)
    many = configuration(panes=(pane,) * 103, outputs=(output,) * 102, user_streams=((None, None),) * 101, users=101)
    shown = task_document(status(), entry("task-1", many), [])
    assert shown["omitted"] == {"outputs": 2, "panes": 3, "user_streams": 1}
    assert len(shown["configuration"].panes) == MOST_PARTS
    assert (shown["configuration"].pane_count, shown["configuration"].users) == (103, 101)


def test_a_single_task_has_all_findings() -> None:
    """Each rule that it was judged by says what has come of it; those that it violates are named once more."""
    findings = (
        TaskFinding(rule("passed"), Outcome.PASS, None, FindingDetail()),
        TaskFinding(rule("violated"), Outcome.VIOLATION, NOW, FindingDetail(message="too much")),
        TaskFinding(rule("odd"), Outcome.ERROR, None, FindingDetail(reason="no gop here")),
    )
    shown = task_with_findings_document(TaskView(status(), entry("task-1"), findings))
    assert shown["violations"] == ["violated"]
    assert [(one["rule"], one["outcome"], one["since_timestamp_seconds"]) for one in shown["findings"]] == [
        ("passed", "pass", None),
        ("violated", "violation", NOW),
        ("odd", "error", None),
    ]
    assert shown["findings"][1]["message"] == "too much"
    assert shown["findings"][2]["reason"] == "no gop here"
