"""From the daemon's own engine, once it has judged all tasks, to what an audit has found."""

from collections.abc import Iterable, Iterator

from exporter.audit.findings import AppFindings, Audit, Exempted, RuleFindings, Unevaluable, Violation
from exporter.collect.status import Status
from exporter.policy.compiled import TaskCountRule
from exporter.policy.finding_events import AppKey
from exporter.policy.findings import OpenFindings
from exporter.policy.policy import Policy
from exporter.policy.report import RuleReport
from exporter.policy.rule import Rule


def gather(rules: tuple[Rule, ...], apps: Iterable[tuple[Status, int]], policy: Policy, now: float) -> Audit:
    """Return what was found.

    Args:
        rules: Every rule in force.
        apps: How it stands with each, and how many tasks it has, in the order in which they are to be shown.
        policy: Has judged them.
        now: Wall-clock seconds: decides which exemption holds.
    """
    return Audit(rules, tuple(_of_app(status, tasks, policy, now) for status, tasks in apps))


def _of_app(status: Status, tasks: int, policy: Policy, now: float) -> AppFindings:
    key = (status.account, status.app_id)
    report = policy.report(key) if status.up else None
    reports = {} if report is None else {one.rule: one for one in report.rules}
    return AppFindings(
        account=status.account,
        app_id=status.app_id,
        name=_whole(status.name),
        owner=_whole(status.owner),
        state=status.state,
        reason=_whole(status.reason),
        tasks=tasks if status.up else None,
        rules=tuple(
            _of_rule(key, findings, reports[findings.rule.rule.name], policy, now)
            for findings in policy.findings(key)
            if findings.rule.rule.name in reports
        ),
    )


def _of_rule(key: AppKey, findings: OpenFindings, report: RuleReport, policy: Policy, now: float) -> RuleFindings:
    rule = findings.rule
    return RuleFindings(
        rule=rule.rule,
        passed=report.evaluated - report.violations,
        not_applicable=report.not_applicable,
        violations=tuple(
            Violation(_whole(task_id), _whole(policy.text(key, rule, task_id))) for task_id in sorted(findings.since)
        ),
        exempted=tuple(_exempted(findings, now)),
        unevaluable=tuple(
            Unevaluable(_whole(task_id), policy.reason(key, rule, task_id))
            for task_id in sorted(findings.unevaluable())
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
