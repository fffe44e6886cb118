"""Logs a line when a violation opens and when it ends, at a limited rate."""

import logging
from collections.abc import Mapping
from typing import Any, Final

import structlog

from exporter.core.clock import Clock
from exporter.core.log import LimitedLines
from exporter.rules.findings import AnyRule, FindingEvents, Resolution
from exporter.rules.rule import AppKey, Severity

LINES_PER_SECOND: Final = 10  # of each kind. When many open together, one line says how many were left out.


class FindingLog(FindingEvents):
    """Writes events of findings to the log."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened, self._resolved = (
            LimitedLines(summary, clock, per_second=LINES_PER_SECOND, counted="left_out")
            for summary in (
                "more violations opened than are logged one by one",
                "more violations were resolved than are logged one by one",
            )
        )

    def baseline(self, app: AppKey, violations: int) -> None:
        """Sum up what is violated from the start."""
        account, app_id = app
        structlog.get_logger().info(
            "all tasks are evaluated by the rules in force", account=account, app_id=app_id, violations=violations
        )

    def stopped(self, rule: AnyRule, why: str) -> None:
        """Log that a rule is not evaluated any more."""
        structlog.get_logger().error(
            "rule stopped, its findings are frozen until a reload", rule=rule.rule.name, why=why
        )

    def opened(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, text: str) -> None:  # noqa: ARG002
        """Log a violation as a warning, or as info where it does not matter more."""
        level = logging.INFO if rule.rule.severity is Severity.INFO else logging.WARNING
        self._opened.write(level, "violation opened", lambda: {**_about(app, rule, task_id), "message": text})

    def resolved(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, why: Resolution) -> None:
        """Log that a violation has ended, and why."""
        lasted = {"why": why.value, "lasted_seconds": max(0, round(self._clock.now() - since))}
        self._resolved.write(logging.INFO, "violation resolved", lambda: {**_about(app, rule, task_id), **lasted})

    def flush(self) -> None:
        """Say how many lines were left out in seconds that are over; to be called about every second."""
        self._opened.flush()
        self._resolved.flush()


def _about(app: AppKey, rule: AnyRule, task_id: str | None) -> Mapping[str, Any]:
    account, app_id = app
    return {
        "account": account,
        "app_id": app_id,
        "rule": rule.rule.name,
        "severity": rule.rule.severity.value,
        "task_id": task_id,
    }
