"""`check-config`: is a configuration right, does its budget suffice, and does it work?"""

import asyncio
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from exporter.aliyun.errors import ApiError
from exporter.aliyun.transport import open_session
from exporter.collector.rate_limiter import Priority
from exporter.collector.reading import Window
from exporter.collector.requests import AppRequests
from exporter.commands import ExitCode
from exporter.commands.console import NOTHING_TO_READ, console, counted, log_errors_only, printable, warn
from exporter.config.capacity import Forecast, forecast, series_of_app
from exporter.config.mistakes import ConfigError, Mistake
from exporter.config.model import ALLOWED_REQUESTS_PER_SECOND, Config
from exporter.config.value_types import format_duration
from exporter.core.clock import SystemClock
from exporter.core.collection_state import Component, State
from exporter.core.regular_file import SeenFiles
from exporter.rules.rule import AppKey
from exporter.rules.rule_loader import ConfigurationSource, LoadedRules
from exporter.service.accounts import Accesses
from exporter.service.process import run
from exporter.service.supervisor import Supervisor
from exporter.web.webconfig.web_config import read_web_config


def check_config(source: ConfigurationSource, path: Path, *, probe: bool, web_config_file: Path | None = None) -> int:
    """Show what a configuration means; returns the exit code. Raises ConfigError with every mistake."""
    loaded = _loaded(source, web_config_file)
    config = loaded.config
    warn(loaded.warnings)
    out = console()
    apps = sum(len(account.apps) for account in config.accounts)
    counts = (
        counted(len(config.accounts), "account"),
        counted(apps, "app"),
        f"{counted(len(loaded.rule_set.all_rules()), 'rule')} on",
    )
    out.print(f"{path}: fine, {', '.join(counts)}", markup=False)
    out.print(_series(loaded), markup=False)
    for outlook in forecast(config):
        out.print(f"\n{', '.join(outlook.accounts)}", markup=False)
        for name, text in (*_expectations(outlook), *_shared(config, outlook)):
            out.print(f"  {name:<15} {text}", markup=False)
    if not probe:
        return ExitCode.FINE
    if not apps:
        sys.stderr.write(NOTHING_TO_READ)
        return ExitCode.UNREAD
    out.print()
    return run(_probe(config))


def _loaded(source: ConfigurationSource, web_config_file: Path | None) -> LoadedRules:
    mistakes: list[Mistake] = []
    try:
        loaded = source.load()
    except ConfigError as error:
        mistakes += error.mistakes
    try:
        if web_config_file is not None:
            read_web_config(web_config_file, SeenFiles())
    except ConfigError as error:
        mistakes += error.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return loaded


def _series(loaded: LoadedRules) -> str:
    config, rule_set = loaded.config, loaded.rule_set
    series = []
    for account in config.accounts:
        for app in account.apps:
            rules = rule_set.of_app(account.name, app.id)
            number = len(rules.rules) + (rules.count is not None)
            series.append(series_of_app(rules=number, buckets=config.metrics.buckets))
    return (
        f"/metrics has about {sum(series):,} series: set the scrape job's sample_limit to {2 * sum(series):,} or more"
    )


def _expectations(outlook: Forecast) -> Iterator[tuple[str, str]]:
    """Say what is to be expected of a budget; numbers of tasks are the quotas, since nothing better is known."""
    pace = outlook.pace
    updates, sweeps = pace.update_requests_per_second, pace.sweep_requests_per_second
    share = f"{pace.use_ratio:.1%} of {outlook.requests_per_second:g}/s"
    interval, sweep_interval = format_duration(pace.interval_seconds), format_duration(pace.sweep_interval_seconds)
    yield "at the quota", f"{counted(outlook.apps, 'app')}, {outlook.tasks:,} tasks on {counted(outlook.pages, 'page')}"
    yield "requests", f"{updates:.3g}/s for updates, {sweeps:.3g}/s for sweeps: {share}"
    yield "interval", interval
    yield "sweep interval", f"{sweep_interval}; a sweep of all takes about {pace.sweep_duration_seconds:.1f}s"
    yield "stale after", format_duration(pace.stale_after_seconds)
    if pace.stretch_ratio > 1:
        stretched = f"the intervals are stretched {pace.stretch_ratio:.3g} times"
        yield "too little", f"{stretched}: raise requests_per_second or the intervals"


def _shared(config: Config, outlook: Forecast) -> Iterator[tuple[str, str]]:
    if (sharing := config.sharing) is not None:
        total = min(config.most_requests_per_second(each) for each in config.accounts if each.name in outlook.accounts)
        parts = f"{outlook.requests_per_second:g} + {sharing.exporters - 1} x {sharing.fallback_requests_per_second:g}"
        yield "all exporters", f"{parts} = {total:g}/s of {ALLOWED_REQUESTS_PER_SECOND:g}/s"


async def _probe(config: Config) -> int:
    clock, rng = SystemClock(), random.Random()  # noqa: S311 - no secret
    metrics = log_errors_only()
    accesses = Accesses(metrics, clock=clock, rng=rng, open_session=open_session)
    await accesses.apply(config)
    supervisor = Supervisor(metrics.internal_error, clock)
    apps = [(account.name, app.id) for account in config.accounts for app in account.apps]
    try:
        outcomes = await asyncio.gather(
            *(_outcome(accesses[app[0]].requests.of_app(app[1]), app, supervisor) for app in apps)
        )
    finally:
        await accesses.close()
    for (name, app_id), (_, outcome) in zip(apps, outcomes, strict=True):
        console().print(f"{name}/{app_id}: {outcome}", markup=False)
    return ExitCode.FINE if all(is_fine for is_fine, _ in outcomes) else ExitCode.UNREAD


async def _outcome(requests: AppRequests, app: AppKey, supervisor: Supervisor) -> tuple[bool, str]:
    try:
        answer = await requests.window(Priority.UPDATE)(Window(1, 1))
    except ApiError as error:
        return False, f"{error.state}: {printable(error.reason)}"
    except Exception as error:  # noqa: BLE001 - whatever it was: the other apps are still shown
        return False, f"{State.INTERNAL_ERROR}: {supervisor.failed(Component.UPDATE, error, app)}"
    return True, f"ok: it has {'tasks' if answer.page.rows else 'no task'}"
