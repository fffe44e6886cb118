"""`audit`: one sweep of every app, now, checked against what is expected."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from exporter.commands import ExitCode
from exporter.commands.audit_report import AppFindings, Audit, as_json, as_junit, as_sarif, gather
from exporter.commands.collect import name_failing, sweep
from exporter.commands.console import console, log_errors_only, table, warn
from exporter.core.clock import SystemClock
from exporter.metrics.exposition import Exposition, families
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule import SEVERITIES, Severity
from exporter.rules.rule_loader import ConfigurationSource
from exporter.service.process import run

Output = Literal["table", "json", "sarif", "junit"]


def audit(source: ConfigurationSource, output: Output, fail_on: Severity | None) -> int:
    """Sweep, evaluate and print; returns the exit code. Raises ConfigError or UsageError."""
    return run(_audit(source, output, fail_on, log_errors_only()))


async def _audit(source: ConfigurationSource, output: Output, fail_on: Severity | None, metrics: SelfMetrics) -> int:
    loaded = source.load()
    warn(loaded.warnings)
    monitor = await sweep(loaded.config, loaded.rule_set, Exposition(families(), metrics), metrics)
    apps = monitor.apps.values()
    statuses = [(app.collector.status, len(app.collector.inventory)) for app in apps]
    found = gather(loaded.rule_set.all_rules(), statuses, monitor.policy, SystemClock().now(), loaded.places)
    match output:
        case "table":
            _print_tables(found, loaded.rule_set.examples_per_rule)
        case "json":
            sys.stdout.write(as_json(found))
        case "sarif":
            sys.stdout.write(as_sarif(found, Path.cwd()))
        case "junit":
            sys.stdout.write(as_junit(found, fail_on))
    some_failed = name_failing(apps)
    if found.fails(fail_on):
        return ExitCode.FOUND
    return ExitCode.UNREAD if some_failed else ExitCode.FINE


def _print_tables(audit: Audit, most_examples: int) -> None:
    out = console()
    if violations := list(_violations(audit, most_examples)):
        headings = ("severity", "rule", "account", "app", "tasks", "examples")
        out.print(table(headings, violations, numbers=("tasks",)))
    if unevaluated := list(_unevaluated(audit)):
        headings = ("rule", "account", "app", "exempt", "unevaluable", "why")
        out.print(table(headings, unevaluated, numbers=("exempt", "unevaluable")))
    numbers = ("tasks", *reversed(SEVERITIES))
    out.print(table(("account", "app", "state", *numbers), map(_app_row, audit.apps), numbers=numbers))


def _violations(audit: Audit, most_examples: int) -> Iterator[tuple[object, ...]]:
    found = [(app, findings) for app, findings in audit.found() if findings.violations]
    found.sort(key=lambda one: (-one[1].rule.severity.rank, one[1].rule.name, one[0].place))
    for app, findings in found:
        rule, violations = findings.rule, findings.violations
        examples = _examples(violations, most_examples)
        yield rule.severity, rule.name, app.account, app.app_id, len(violations), examples


def _examples(violations: Sequence[tuple[str, str]], most: int) -> str:
    task_ids: dict[str, list[str]] = {}
    for task_id, message in violations[:most]:
        task_ids.setdefault(message, []).append(task_id)
    parts = [f"{message}: {', '.join(ids)}" if any(ids) else message for message, ids in task_ids.items()]
    if len(violations) > most:
        parts.append(f"{len(violations) - most} more")
    return "; ".join(parts)


def _unevaluated(audit: Audit) -> Iterator[tuple[object, ...]]:
    for app, findings in audit.found():
        exemptions = {exemption.name for _, exemption in findings.exempted}
        reasons = {reason for _, reason in findings.unevaluable}
        if exemptions or reasons:
            yield (
                findings.rule.name,
                app.account,
                app.app_id,
                len(findings.exempted),
                len(findings.unevaluable),
                "; ".join([*sorted(exemptions), *sorted(reasons)]),
            )


def _app_row(app: AppFindings) -> tuple[object, ...]:
    counts = [
        sum(len(findings.violations) for findings in app.rules if findings.rule.severity is severity)
        for severity in reversed(SEVERITIES)
    ]
    return (app.account, app.app_id, app.state, app.tasks, *(counts if app.was_read else [None] * len(counts)))
