"""One sweep of all apps, now, for the commands that end with it."""

import asyncio
import random
import sys
from collections.abc import Collection

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from exporter.collector.status import Kind
from exporter.commands.console import console, printable
from exporter.config.model import Config
from exporter.core.clock import SystemClock
from exporter.metrics.aggregates import AppReport
from exporter.metrics.exposition import Exposition
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.findings import FindingEvents
from exporter.rules.rule_set import RuleSet
from exporter.service.monitor import Monitor, MonitoredApp
from exporter.service.supervisor import Supervisor


async def sweep(config: Config, rule_set: RuleSet, exposition: Exposition[AppReport], metrics: SelfMetrics) -> Monitor:
    """Sweep all apps, with a progress bar on a terminal, evaluate their tasks and close every connection.

    Raises:
        UsageError: A CA file of the configuration can't be used.
    """
    monitor = Monitor(
        exposition,
        metrics,
        clock=SystemClock(),
        rng=random.Random(),  # noqa: S311 - no secret
        changed=lambda: None,
        finding_events=FindingEvents(),
    )
    await monitor.apply(config, rule_set)
    try:
        await _sweep_all(monitor)
        await monitor.policy.settle()
    finally:
        await monitor.close()
    return monitor


def name_failing(apps: Collection[MonitoredApp]) -> bool:
    """Write a line to standard error for each app that could not be read; return whether something is missing."""
    if not apps:
        sys.stderr.write("nothing to read: the configuration names no app\n")
    failing = [app.collector.status for app in apps if not app.collector.status.up]
    for status in failing:
        sys.stderr.write(f"{status.account}/{status.app_id}: {status.state}: {printable(status.reason)}\n")
    return bool(failing) or not apps


async def _sweep_all(monitor: Monitor) -> None:
    apps = list(monitor.apps.values())
    columns = (
        TextColumn("collecting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("apps, {task.fields[tasks]} tasks"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(sys.stderr), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("", total=len(apps), tasks=0)
        tasks = 0
        for swept in asyncio.as_completed([_swept(app, monitor.supervisor) for app in apps]):
            tasks += await swept
            progress.update(bar, advance=1, tasks=tasks)


async def _swept(app: MonitoredApp, supervisor: Supervisor) -> int:
    """Sweep an app; return how many tasks it has."""
    await supervisor.attempt(app.collector, Kind.SWEEP)
    return len(app.collector.inventory)
