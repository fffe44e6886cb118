"""One sweep of every app, now: for `collect`, and for `audit`."""

import asyncio
import json
import random
import re
import sys
from collections.abc import Collection, Iterator
from typing import Any, Final, Literal

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from exporter import __version__
from exporter.collector.status import Kind
from exporter.commands import ExitCode
from exporter.commands.console import NOTHING_TO_READ, console, log_errors_only, printable, table, warn
from exporter.config.model import Config
from exporter.core.clock import SystemClock
from exporter.core.task import MIXED, SINGLE, Task
from exporter.metrics.aggregates import AppReport
from exporter.metrics.exposition import Exposition, Format, families
from exporter.metrics.labels import mix_mode
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule_loader import ConfigurationSource
from exporter.rules.rule_set import RuleSet
from exporter.service.app_publisher import AppPublisher
from exporter.service.monitor import Monitor
from exporter.service.process import run
from exporter.service.supervisor import Supervisor


async def sweep(config: Config, rule_set: RuleSet, exposition: Exposition[AppReport], metrics: SelfMetrics) -> Monitor:
    """Sweep all apps, with a progress bar on a terminal, and evaluate their tasks. Raises UsageError."""
    rng = random.Random()  # noqa: S311 - no secret
    monitor = Monitor(exposition, metrics, clock=SystemClock(), rng=rng)
    await monitor.apply(config, rule_set)
    try:
        await _sweep_all(monitor)
        await monitor.policy.settle()
    finally:
        await monitor.close()
    return monitor


def name_failing(apps: Collection[AppPublisher]) -> bool:
    """Write a line to standard error for each app that could not be read; return whether something is missing."""
    if not apps:
        sys.stderr.write(NOTHING_TO_READ)
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


async def _swept(app: AppPublisher, supervisor: Supervisor) -> int:
    await supervisor.attempt(app.collector, Kind.SWEEP)
    return len(app.collector.inventory)


Output = Literal["table", "json", "prometheus"]

_NOT_PLAIN: Final = re.compile("[^ -~\n]+")  # what is in JSON as an escape alone: a terminal might act upon it


def collect(source: ConfigurationSource, output: Output) -> int:
    """Collect and print; returns the exit code. Raises ConfigError, or UsageError: a CA file can't be used."""
    return run(_collect(source, output, log_errors_only()))


async def _collect(source: ConfigurationSource, output: Output, metrics: SelfMetrics) -> int:
    exposition = Exposition(families(), metrics)
    loaded = source.load()
    warn(loaded.warnings)
    # Findings are in the exposition alone.
    rule_set = loaded.rule_set if output == "prometheus" else RuleSet.empty()
    apps = list((await sweep(loaded.config, rule_set, exposition, metrics)).apps.values())
    if output == "prometheus":
        exposition.publish()
        exposition.publish_own()
        for chunk in exposition.body(Format.TEXT, gzip=False).chunks:
            sys.stdout.write(chunk.decode())
    elif output == "json":
        collected = {
            "version": __version__,
            "collected_timestamp_seconds": SystemClock().now(),
            "apps": [_as_json(app) for app in apps],
        }
        document = msgspec.json.format(msgspec.json.encode(collected)).decode()
        sys.stdout.write(_NOT_PLAIN.sub(lambda found: json.dumps(found[0])[1:-1], document) + "\n")
    else:
        columns = ("account", "app", "state", "single", "mixed", "other", "seconds")
        console().print(table(columns, _rows(apps), numbers=columns[3:]))
    return ExitCode.UNREAD if name_failing(apps) else ExitCode.FINE


def _as_json(app: AppPublisher) -> dict[str, Any]:
    status = app.collector.status
    tasks = [entry.task for entry in app.collector.inventory] if status.up else None
    return {
        **{part: getattr(status, part) for part in ("account", "app_id", "name", "owner", "up", "state", "reason")},
        "last_sweep_timestamp_seconds": status.last_sweep_began,
        "tasks": None if tasks is None else [_task_as_json(task) for task in tasks],
    }


def _task_as_json(task: Task) -> dict[str, Any]:
    configuration = msgspec.to_builtins(task.configuration)
    return {"task_id": task.task_id, "channel_id": task.channel_id, **configuration}


def _rows(apps: list[AppPublisher]) -> Iterator[tuple[object, ...]]:
    for app in apps:
        status = app.collector.status
        modes = [mix_mode(entry.configuration) for entry in app.collector.inventory]
        counts = (
            _of_quota(modes.count(SINGLE), status.quota_single),
            _of_quota(modes.count(MIXED), status.quota_mixed),
            str(sum(mode not in {SINGLE, MIXED} for mode in modes)),
        )
        yield (
            status.account,
            status.app_id,
            status.state,
            *(counts if status.up else (None, None, None)),
            f"{status.sweep.duration_seconds:.1f}" if status.sweep else None,
        )


def _of_quota(tasks: int, quota: int | None) -> str:
    return str(tasks) if quota is None else f"{tasks} of {quota}"
