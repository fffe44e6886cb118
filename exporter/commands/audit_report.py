"""What an audit has found. All texts are whole Unicode, and otherwise as they were read: each rendering escapes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import Struct

from exporter.collector.status import Status
from exporter.config.mistakes import Position
from exporter.core.collection_state import State
from exporter.rules.app_engine import AppPolicy
from exporter.rules.compiled_rule import TaskCountRule
from exporter.rules.engine import PolicyEngine
from exporter.rules.findings import OpenFindings, RuleReport
from exporter.rules.rule import SEVERITIES, AppKey, Exemption, Rule, Severity


class Violation(NamedTuple):
    """One task that is not as expected."""

    task_id: str  # Empty: the app as a whole
    message: str


class Exempted(NamedTuple):
    """One task that is not as expected, which is agreed upon."""

    task_id: str
    exemption: Exemption


class Unevaluable(NamedTuple):
    """One task for which a rule can't be evaluated."""

    task_id: str  # Empty: the app as a whole
    reason: str


class RuleOutcome(Struct, frozen=True, kw_only=True):
    """The state of one rule in one app; everything is in the order of TaskIds."""

    rule: Rule
    passed: int = 0  # Tasks, as the next one
    not_applicable: int = 0
    violations: tuple[Violation, ...] = ()
    exempted: tuple[Exempted, ...] = ()
    unevaluable: tuple[Unevaluable, ...] = ()


class AppFindings(Struct, frozen=True, kw_only=True):
    """What was found in one app."""

    account: str
    app_id: str
    name: str
    owner: str
    state: State
    reason: str  # why it can't be read; empty while it can
    tasks: int | None  # None: it could not be read
    position: Position | None = None  # in the configuration file, if there is one
    rules: tuple[RuleOutcome, ...] = ()  # those that apply to the app; none where it could not be read

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.account}/{self.app_id}"

    @property
    def was_read(self) -> bool:
        """Whether its tasks are known."""
        return self.tasks is not None


class Audit(Struct, frozen=True):
    """What was found in all apps."""

    rules: tuple[Rule, ...]  # every rule in force, once by its name
    apps: tuple[AppFindings, ...]

    @property
    def all_read(self) -> bool:
        """Whether every app could be read."""
        return all(app.was_read for app in self.apps)

    def found(self) -> Iterator[tuple[AppFindings, RuleOutcome]]:
        """Go through all findings, app by app."""
        for app in self.apps:
            for findings in app.rules:
                yield app, findings

    def violations(self, severity: Severity) -> int:
        """Return how many violations of exactly this severity there are."""
        return sum(len(findings.violations) for _, findings in self.found() if findings.rule.severity is severity)

    def fails(self, fail_on: Severity | None) -> bool:
        """Whether there is a violation of this severity or a higher one; with None there never is."""
        return fail_on is not None and any(
            findings.violations and is_failure(findings.rule, fail_on) for _, findings in self.found()
        )


def is_failure(rule: Rule, fail_on: Severity | None) -> bool:
    """Whether violations of a rule are what an audit is to fail for."""
    return fail_on is not None and rule.severity.rank >= fail_on.rank


def gather(
    rules: tuple[Rule, ...],
    apps: Iterable[tuple[Status, int]],
    policy: PolicyEngine,
    now: float,
    places: Mapping[AppKey, Position],
) -> Audit:
    """Return what was found in apps, given with their numbers of tasks, in this order.

    `now`, in wall-clock seconds, decides which exemption holds; `places` are where apps are configured.
    """
    return Audit(rules, tuple(_of_app(status, tasks, policy, now, places) for status, tasks in apps))


def _of_app(
    status: Status, tasks: int, policy: PolicyEngine, now: float, places: Mapping[AppKey, Position]
) -> AppFindings:
    key = (status.account, status.app_id)
    app = policy.app(key)
    reports = {one.rule: one for one in app.report.rules} if status.up and app.report is not None else {}
    return AppFindings(
        account=status.account,
        app_id=status.app_id,
        name=_whole(status.name),
        owner=_whole(status.owner),
        state=status.state,
        reason=_whole(status.reason),
        tasks=tasks if status.up else None,
        position=places.get(key),
        rules=tuple(
            _of_rule(app, findings, reports[findings.rule.rule.name], now)
            for findings in app.findings()
            if findings.rule.rule.name in reports
        ),
    )


def _of_rule(app: AppPolicy, findings: OpenFindings, report: RuleReport, now: float) -> RuleOutcome:
    rule = findings.rule
    return RuleOutcome(
        rule=rule.rule,
        passed=report.evaluated - report.violations,
        not_applicable=report.not_applicable,
        violations=tuple(
            Violation(_whole(task_id), _whole(app.text(rule, task_id))) for task_id in sorted(findings.since)
        ),
        exempted=tuple(_exempted(findings, now)),
        unevaluable=tuple(
            Unevaluable(_whole(task_id), app.reason(rule, task_id)) for task_id in sorted(findings.unevaluable())
        ),
    )


def _exempted(findings: OpenFindings, now: float) -> Iterator[Exempted]:
    if isinstance(findings.rule, TaskCountRule):
        return
    for task_id in sorted(findings.exempted()):
        exemption = findings.rule.exemption_of(task_id, now)
        if exemption is not None:
            yield Exempted(_whole(task_id), exemption)


def _whole(text: str) -> str:
    """Return a text with a question mark for each half of a character, which no format can hold."""
    return text.encode("utf-8", "replace").decode()


def as_json(audit: Audit) -> str:
    """Return the document; ASCII, so that no terminal acts upon what it contains."""
    document = {
        "violations": {severity: audit.violations(severity) for severity in SEVERITIES},
        "apps": [_app(app) for app in audit.apps],
    }
    return json.dumps(document, indent=2) + "\n"


def _app(app: AppFindings) -> dict[str, Any]:
    return {
        **{part: getattr(app, part) for part in ("account", "app_id", "name", "owner", "state", "reason", "tasks")},
        "rules": [_rule(findings) for findings in app.rules] if app.was_read else None,
    }


def _rule(findings: RuleOutcome) -> dict[str, Any]:
    return {
        "rule": findings.rule.name,
        **{part: getattr(findings.rule, part) for part in ("title", "severity", "owner", "runbook_url")},
        "passed": findings.passed,
        "not_applicable": findings.not_applicable,
        "violations": [violation._asdict() for violation in findings.violations],
        "exempted": [
            {
                "task_id": exempted.task_id,
                "exemption": exempted.exemption.name,
                "until": exempted.exemption.until and exempted.exemption.until.isoformat(),
                "reason": exempted.exemption.reason,
            }
            for exempted in findings.exempted
        ],
        "unevaluable": [unevaluable._asdict() for unevaluable in findings.unevaluable],
    }
