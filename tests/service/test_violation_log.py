"""What the log says about findings, and how much of it."""

import io
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from exporter.core.log import as_logfmt, redact
from exporter.rules.compiled_rule import TaskCountRule
from exporter.rules.findings import FindingEvents, Resolution
from exporter.rules.rule import Rule, Severity
from exporter.service.violation_log import LINES_PER_SECOND, FindingLog
from tests.support.virtual_time import SetClock

APP = ("prod", "live")
NOW = 1_800_000_000.0


def _rule(severity: Severity = Severity.WARNING) -> TaskCountRule:
    return TaskCountRule(Rule(name="expect-tasks", title="Tasks", severity=severity, expect=""), least=1, most=None)


def _open(log: FindingEvents, count: int = 1, severity: Severity = Severity.WARNING) -> None:
    for number in range(count):
        log.opened(APP, _rule(severity), f"task-{number}", "too few")


def _resolve(log: FindingEvents, count: int = 1) -> None:
    for number in range(count):
        log.resolved(APP, _rule(), f"task-{number}", NOW, Resolution.FIXED)


@pytest.mark.parametrize(
    ("severity", "level"), [(Severity.INFO, "info"), (Severity.WARNING, "warning"), (Severity.CRITICAL, "warning")]
)
def test_a_violation_that_opens_is_a_line(severity: Severity, level: str) -> None:
    """The line says whose, which rule, which task and what is wrong; info is no warning."""
    with capture_logs() as lines:
        _open(FindingLog(SetClock(NOW, 100.0)), severity=severity)
    assert lines == [
        {
            "log_level": level,
            "event": "violation opened",
            "account": "prod",
            "app_id": "live",
            "rule": "expect-tasks",
            "severity": severity.value,
            "task_id": "task-0",
            "message": "too few",
        }
    ]


def test_a_violation_that_ends_is_a_line() -> None:
    """The line says why it has ended and how long it lasted."""
    with capture_logs() as lines:
        FindingLog(SetClock(NOW, 100.0)).resolved(APP, _rule(), None, NOW + 40, Resolution.EXEMPTED)
    assert lines == [
        {
            "log_level": "info",
            "event": "violation resolved",
            "account": "prod",
            "app_id": "live",
            "rule": "expect-tasks",
            "severity": "warning",
            "task_id": None,
            "why": "exempted",
            "lasted_seconds": 60,
        }
    ]


def test_a_baseline_is_one_line() -> None:
    """What is violated from the start is a number, not a line for each task."""
    with capture_logs() as lines:
        FindingLog(SetClock(NOW, 100.0)).baseline(APP, 1234)
    assert lines == [
        {
            "log_level": "info",
            "event": "all tasks are evaluated by the rules in force",
            "account": "prod",
            "app_id": "live",
            "violations": 1234,
        }
    ]


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    """A violation that seems to have opened in the future lasted no time."""
    with capture_logs() as lines:
        FindingLog(SetClock(NOW, 100.0)).resolved(APP, _rule(), "task-1", NOW + 1000, Resolution.FIXED)
    assert lines[0]["lasted_seconds"] == 0


def test_so_many_lines_a_second_and_no_more() -> None:
    """The rest of a second is one line that counts them, when the second is over, whether or not more follow."""
    clock = SetClock(NOW, 100.0)
    log = FindingLog(clock)
    with capture_logs() as lines:
        _open(log, 24)
        _open(log, 1, Severity.INFO)
        log.flush()
        assert [line["event"] for line in lines] == ["violation opened"] * LINES_PER_SECOND
        clock.seconds += 1
        log.flush()
        log.flush()
        assert [(line["event"], line["log_level"], line["left_out"]) for line in lines[LINES_PER_SECOND:]] == [
            ("more violations opened than are logged one by one", "warning", 15)
        ]
        lines.clear()
        _open(log, 11)
        clock.seconds += 1
        _open(log)
    assert [line.get("left_out") for line in lines] == [*[None] * LINES_PER_SECOND, 1, None]


def test_each_kind_has_its_own_limit() -> None:
    """A flood of violations does not hide that others end, and their sum is of the worst level left out."""
    clock = SetClock(NOW, 100.0)
    log = FindingLog(clock)
    with capture_logs() as lines:
        _open(log, 12, Severity.INFO)
        _resolve(log, 13)
        clock.seconds += 1
        log.flush()
    resolved = [line for line in lines if line["event"] == "violation resolved"]
    assert len(resolved) == LINES_PER_SECOND
    assert [(line["log_level"], line["left_out"]) for line in lines if "left_out" in line] == [("info", 2), ("info", 3)]


def test_nothing_is_said_of_nothing() -> None:
    """Seconds without findings write no line."""
    clock = SetClock(NOW, 100.0)
    log = FindingLog(clock)
    with capture_logs() as lines:
        for _ in range(3):
            log.flush()
            clock.seconds += 1
    assert lines == []


def test_addresses_in_a_message_are_cut() -> None:
    """Whatever a rule writes into its message, a line of the log shows no more than scheme and host of a URL."""
    out = io.StringIO()
    structlog.configure(processors=[redact, as_logfmt], logger_factory=structlog.PrintLoggerFactory(out))
    try:
        text = "pushes to rtmp://push.example.com/live/hush?auth_key=hush token=hush"
        FindingLog(SetClock(NOW, 100.0)).opened(APP, _rule(), "task-1", text)
    finally:
        structlog.reset_defaults()
    assert "rtmp://push.example.com" in out.getvalue()
    assert "hush" not in out.getvalue()


def test_lines_hold_plain_values_alone() -> None:
    """Every value is text, a number or nothing: a log as JSON reads the same as one for people."""
    log = FindingLog(SetClock(NOW, 100.0))
    with capture_logs() as lines:
        _open(log)
        _resolve(log)
        log.baseline(APP, 0)
    values: list[Any] = [value for line in lines for value in line.values()]
    assert {type(value) for value in values} <= {str, int, type(None)}


def test_a_stopped_rule_is_an_error() -> None:
    """The line says which rule, why, and what becomes of its findings."""
    with capture_logs() as lines:
        FindingLog(SetClock(NOW, 100.0)).stopped(_rule(), "stopped: too slow")
    assert lines == [
        {
            "log_level": "error",
            "event": "rule stopped, its findings are frozen until a reload",
            "rule": "expect-tasks",
            "why": "stopped: too slow",
        }
    ]
