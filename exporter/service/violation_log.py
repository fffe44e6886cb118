"""Logs a line when a violation opens and when it ends, at a limited rate."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from exporter.core.clock import Clock
from exporter.rules.findings import AnyRule, FindingEvents, Resolution
from exporter.rules.rule import AppKey, Severity

LINES_PER_SECOND: Final = 10  # of each kind. When many open together, one line says how many were left out.


class FindingLog(FindingEvents):
    """Writes events of findings to the log."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened = _LimitedLines("more violations opened than are logged one by one", clock)
        self._resolved = _LimitedLines("more violations were resolved than are logged one by one", clock)

    def baseline(self, app: AppKey, violations: int) -> None:
        """Sum up what is violated from the start."""
        account, app_id = app
        structlog.get_logger().info(
            "all tasks are evaluated by the rules in force", account=account, app_id=app_id, violations=violations
        )

    def found(self, app: AppKey, rule: AnyRule, task_id: str | None, text: Callable[[], str]) -> None:
        """Leave it to the sum."""

    def stopped(self, rule: AnyRule, why: str) -> None:
        """Log that a rule is not evaluated any more."""
        structlog.get_logger().error(
            "rule stopped, its findings are frozen until a reload", rule=rule.rule.name, why=why
        )

    def opened(self, app: AppKey, rule: AnyRule, task_id: str | None, text: str) -> None:
        """Log a violation as a warning, or as info where it does not matter more."""
        level = logging.INFO if rule.rule.severity is Severity.INFO else logging.WARNING
        self._opened.write(level, "violation opened", {**_about(app, rule, task_id), "message": text})

    def resolved(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, why: Resolution) -> None:
        """Log that a violation has ended, and why."""
        lasted = {"why": why.value, "lasted_seconds": max(0, round(self._clock.now() - since))}
        self._resolved.write(logging.INFO, "violation resolved", {**_about(app, rule, task_id), **lasted})

    def flush(self) -> None:
        """Say how many lines were left out in seconds that are over; to be called about every second."""
        self._opened.flush()
        self._resolved.flush()


class _LimitedLines:
    """Lines of one kind, of which those over the limit are counted instead of written.

    Args:
        summary: The text before the number of lines that were left out.
    """

    def __init__(self, summary: str, clock: Clock) -> None:
        self._summary = summary
        self._clock = clock
        self._second = 0
        self._written = 0
        self._left_out = 0
        self._worst_level = 0

    def write(self, level: int, message: str, about: Mapping[str, Any]) -> None:
        """Write a line, or count it."""
        self.flush()
        if self._written < LINES_PER_SECOND:
            self._written += 1
            structlog.get_logger().log(level, message, **about)
        else:
            self._left_out += 1
            self._worst_level = max(self._worst_level, level)

    def flush(self) -> None:
        """Begin a new second, if it is one, by summing up the last."""
        second = int(self._clock.monotonic())
        if second != self._second:
            if self._left_out:
                structlog.get_logger().log(self._worst_level, self._summary, left_out=self._left_out)
            self._second = second
            self._written = self._left_out = self._worst_level = 0


def _about(app: AppKey, rule: AnyRule, task_id: str | None) -> Mapping[str, Any]:
    account, app_id = app
    return {
        "account": account,
        "app_id": app_id,
        "rule": rule.rule.name,
        "severity": rule.rule.severity.value,
        "task_id": task_id,
    }
