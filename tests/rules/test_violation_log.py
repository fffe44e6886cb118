"""What the log says about findings, and how much of it."""

import io
from collections.abc import Callable, Mapping
from functools import partial

import pytest
import structlog
from structlog.testing import capture_logs

from exporter.core.log import as_logfmt, redact
from exporter.rules.findings import LINES_PER_SECOND, FindingEvents, FindingLog, Resolution
from exporter.rules.rule import Rule, Severity, TaskCountRule
from tests.support.virtual_time import SetClock

APP = ("prod", "live")
NOW = 1_800_000_000.0


def _rule(severity: Severity = Severity.WARNING) -> TaskCountRule:
    return TaskCountRule(Rule(name="expect-tasks", title="Tasks", severity=severity, expect=""), least=1, most=None)


def _open(log: FindingEvents, count: int = 1, severity: Severity = Severity.WARNING) -> None:
    for number in range(count):
        log.opened(APP, _rule(severity), f"task-{number}", NOW, "too few")


def _resolve(log: FindingEvents, count: int = 1) -> None:
    for number in range(count):
        log.resolved(APP, _rule(), f"task-{number}", NOW, Resolution.FIXED)


OF_APP = {"account": "prod", "app_id": "live"}
OPENED = {"event": "violation opened", **OF_APP, "rule": "expect-tasks", "task_id": "task-0", "message": "too few"}
RESOLVED = {"log_level": "info", "event": "violation resolved", **OF_APP, "rule": "expect-tasks", "severity": "warning"}
BASELINE = {"log_level": "info", "event": "all tasks are evaluated by the rules in force", **OF_APP}
STOPPED = {
    "log_level": "error",
    "event": "rule stopped, its findings are frozen until a reload",
    "rule": "expect-tasks",
}


@pytest.mark.parametrize(
    ("happens", "line"),
    [
        (partial(_open, severity=Severity.INFO), {**OPENED, "log_level": "info", "severity": "info"}),
        (_open, {**OPENED, "log_level": "warning", "severity": "warning"}),
        (partial(_open, severity=Severity.CRITICAL), {**OPENED, "log_level": "warning", "severity": "critical"}),
        (_resolve, {**RESOLVED, "task_id": "task-0", "why": "fixed", "lasted_seconds": 100}),
        (
            lambda log: log.resolved(APP, _rule(), None, NOW + 40, Resolution.EXEMPTED),
            {**RESOLVED, "task_id": None, "why": "exempted", "lasted_seconds": 60},
        ),
        (
            lambda log: log.resolved(APP, _rule(), "set-back", NOW + 1000, Resolution.FIXED),
            {**RESOLVED, "task_id": "set-back", "why": "fixed", "lasted_seconds": 0},
        ),
        (lambda log: log.baseline(APP, 1234), {**BASELINE, "violations": 1234}),
        (lambda log: log.stopped(_rule(), "stopped: too slow"), {**STOPPED, "why": "stopped: too slow"}),
    ],
)
def test_what_happens_is_one_line(happens: Callable[[FindingEvents], None], line: Mapping[str, object]) -> None:
    """The line says whose, which rule, which task and why, all as plain values; info is no warning."""
    with capture_logs() as lines:
        happens(FindingLog(SetClock(NOW, 100.0)))
    assert lines == [line]
    assert {type(value) for value in lines[0].values()} <= {str, int, type(None)}


def test_so_many_lines_a_second_and_no_more() -> None:
    """The rest of a second is one line that counts them, when the second is over, whether or not more follow."""
    clock = SetClock(NOW, 100.0)
    log = FindingLog(clock)
    with capture_logs() as lines:
        for _ in range(3):  # seconds of which nothing is said
            log.flush()
            clock.seconds += 1
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


def test_addresses_in_a_message_are_cut() -> None:
    """Whatever a rule writes into its message, a line of the log shows no more than scheme and host of a URL."""
    out = io.StringIO()
    structlog.configure(processors=[redact, as_logfmt], logger_factory=structlog.PrintLoggerFactory(out))
    try:
        text = "pushes to rtmp://push.example.com/live/hush?auth_key=hush token=hush"
        FindingLog(SetClock(NOW, 100.0)).opened(APP, _rule(), "task-1", NOW, text)
    finally:
        structlog.reset_defaults()
    assert "rtmp://push.example.com" in out.getvalue()
    assert "hush" not in out.getvalue()
