"""The composition root of `serve`: builds everything, runs it in one task group, and drains it."""

import asyncio
import random
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog
from msgspec import Struct

from exporter import __version__
from exporter.clock import Clock
from exporter.collect.history import RecordedChange
from exporter.config.mistakes import ConfigError
from exporter.config.redacted import redacted
from exporter.configuration_source import ConfigurationSource
from exporter.finding_log import FindingLog
from exporter.heartbeat import Heartbeat
from exporter.metrics.catalogue import families
from exporter.metrics.exposition import Body, Exposition
from exporter.metrics.formats import Format
from exporter.metrics.report import AppReport
from exporter.metrics.self_metrics import SelfMetrics
from exporter.monitor import Monitor
from exporter.policy.loading import Loaded
from exporter.policy.rule_set import RuleSet
from exporter.policy_view import PolicyView
from exporter.state_keeper import StateKeeper
from exporter.task_series import TaskSeries
from exporter.web import server
from exporter.web.application import application
from exporter.web.view import AppView, FindingKind, FindingsView, RuleView

BEAT_SECONDS: Final = 1.0
BUDGET_LOOK_BEATS: Final = 5
WATCH_SECONDS: Final = 2.0
PUBLISH_PAUSE_SECONDS: Final = 0.02
"""What changes within this time is published together."""
PUBLISH_TASKS_PAUSE_SECONDS: Final = 0.5
"""The same for single tasks, whose families are larger."""
LONGEST_START_SECONDS: Final = 60.0
LONGEST_JUDGING_SECONDS: Final = 5.0
STUCK_SECONDS: Final = 15.0
DRAIN_SECONDS: Final = 4.0


class Options(Struct, frozen=True):
    """What the command line of `serve` sets."""

    listen_addresses: Sequence[str] = (":10678",)
    telemetry_path: str = "/metrics"


class Daemon:
    """Collects and serves until it is told to stop; it is the web's `View`."""

    def __init__(
        self,
        source: ConfigurationSource,
        options: Options,
        metrics: SelfMetrics,
        *,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._source = source
        self._options = options
        self._metrics = metrics
        self._clock = clock
        self._exposition = Exposition(families(), metrics)
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._listening = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._task_series = TaskSeries(metrics)
        self._finding_log = FindingLog(clock)
        self._monitor = Monitor(
            self._exposition,
            metrics,
            clock=clock,
            rng=rng,
            changed=self._changed.set,
            finding_events=self._finding_log,
            task_series=self._task_series,
        )
        self._rule_set = RuleSet.empty()
        self._policy_view = PolicyView(
            self._monitor.policy,
            lambda: [app.collector.status for app in self._monitor.apps.values()],
            lambda: self._rule_set,
            clock,
        )
        self._state_keeper = StateKeeper(
            lambda: [app.collector for app in self._monitor.apps.values()],
            findings=self._monitor.findings_to_save,
            clock=clock,
        )
        self._heartbeat = Heartbeat(clock)
        self._began = clock.monotonic()
        self._published_waiting = 0
        """How many apps no attempt had finished for when the last publication began."""
        self._shown_config = ""
        self.addresses: Sequence[str] = ()

    async def run(self) -> None:
        """Run until a signal or `stop()`.

        Raises:
            ConfigError: the configuration can't be used.
            ValueError: a CA file of it can't be used, or the telemetry path is none.
            ListenError: an address can't be listened on.
        """
        log = structlog.get_logger()
        loaded = self._source.load()
        app = application(self, self._clock, telemetry_path=self._options.telemetry_path)
        running: server.Running | None = None
        try:
            await self._take(loaded)
            self._monitor.restore(await self._state_keeper.load())
            await self._judge_restored()
            await self._publish()
            # Only now: the first scrape finds what an earlier process knew.
            running = await server.start(app, self._options.listen_addresses)
            self.addresses = running.addresses
            self._listening.set()
            log.info("listening", addresses=", ".join(running.addresses), version=__version__)
            self._monitor.start()
            async with asyncio.TaskGroup() as group:
                chores = [
                    group.create_task(chore())
                    for chore in (
                        self._publish_changes,
                        self._publish_tasks,
                        self._beat,
                        self._follow_files,
                        self._monitor.policy.run,
                        self._state_keeper.run,
                    )
                ]
                self._listen_to_signals(group)
                await self._stop.wait()
                log.info("stopping")
                for chore in chores:
                    chore.cancel()
        finally:
            await self._monitor.close()
            if running is not None:
                await self._state_keeper.save()
                await running.close(DRAIN_SECONDS)

    async def wait_until_listening(self, running: asyncio.Task[None]) -> None:
        """Return when `run`, which runs as a task, serves; raises what it raises before."""
        listening = asyncio.create_task(self._listening.wait())
        await asyncio.wait((listening, running), return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if running.done():
            await running

    def stop(self) -> None:
        """Let `run` end well."""
        self._stop.set()

    async def reload(self) -> None:
        """Take on the configuration as it stands now; a bad one changes nothing."""
        log = structlog.get_logger()
        try:
            async with self._reloading:
                await self._take(self._source.load())
        except (ConfigError, ValueError) as error:
            self._metrics.config_rejected()
            for line in str(error).splitlines():
                log.warning("configuration refused, the one before stays", mistake=line)
        else:
            log.info("configuration loaded again", apps=len(self._monitor.apps))

    def statuses(self) -> Sequence[AppView]:
        """Return all configured apps, in the order of the configuration."""
        reports = (app.picture.report for app in self._monitor.apps.values())
        return [AppView(report.status, _tasks_by_region_and_mode(report)) for report in reports]

    def metrics(self, exposition_format: Format, *, gzip: bool) -> Body:
        """Return the ready bytes of the exposition."""
        return self._exposition.body(exposition_format, gzip=gzip)

    def task_metrics(self, exposition_format: Format, *, gzip: bool) -> Body | None:
        """Return the ready bytes of the exposition of single tasks, while it is switched on."""
        return self._task_series.body(exposition_format, gzip=gzip)

    def changes(self) -> Iterator[RecordedChange]:
        """Return the remembered changes of all apps, newest first."""
        return self._monitor.history.newest_first()

    def changes_remembered_since(self) -> float:
        """Return since when all changes are remembered."""
        return self._monitor.history.remembered_since

    def findings(self, kind: FindingKind) -> Iterator[FindingsView]:
        """Return the findings of one kind, by app and rule."""
        return self._policy_view.findings(kind)

    def rules(self) -> Iterator[RuleView]:
        """Return all rules, also those that are switched off."""
        return self._policy_view.rules()

    def ready(self) -> str | None:
        """Return why not to rely on the exporter yet."""
        if self._stop.is_set():
            return "it is stopping"
        waiting = self._published_waiting
        if waiting and self._clock.monotonic() - self._began < LONGEST_START_SECONDS:
            return f"{waiting} of {len(self._monitor.apps)} apps wait for their first sweep"
        return None

    def healthy(self) -> str | None:
        """Return why to restart the process. That the API fails is no reason."""
        silent = self._heartbeat.silent_seconds
        return f"the event loop has not beaten for {silent:.0f} s" if silent > STUCK_SECONDS else None

    def redacted_config(self) -> str:
        """Return the configuration in force, without secrets."""
        return self._shown_config

    def request_finished(self, path_template: str, code: int) -> None:
        """Count an answered request."""
        self._metrics.request_answered(path_template, code)

    async def _take(self, loaded: Loaded) -> None:
        await self._monitor.apply(loaded.config, loaded.rule_set)
        self._rule_set = loaded.rule_set
        self._state_keeper.path = loaded.config.collection.state_file
        self._shown_config = redacted(loaded.config)
        self._metrics.config_loaded(loaded.sha256, self._clock.now())
        await self._publish()

    async def _judge_restored(self) -> None:
        """Judge the tasks of an earlier process before anyone looks, unless there are very many."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_JUDGING_SECONDS):
                await self._monitor.policy.settle()

    async def _publish(self) -> None:
        waiting = sum(not app.collector.attempted for app in self._monitor.apps.values())
        await self._exposition.publish_off_loop()
        self._published_waiting = waiting

    async def _publish_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._publish()
            await self._clock.sleep(PUBLISH_PAUSE_SECONDS)

    async def _publish_tasks(self) -> None:
        while True:
            await self._task_series.publish()
            await self._clock.sleep(PUBLISH_TASKS_PAUSE_SECONDS)

    async def _beat(self) -> None:
        beats = 0
        while True:
            self._metrics.event_loop_lag.set(await self._heartbeat.beat(BEAT_SECONDS))
            self._monitor.look_at_clock()
            self._finding_log.flush()
            beats += 1
            if beats % BUDGET_LOOK_BEATS == 0:
                self._monitor.look_at_budget()

    async def _follow_files(self) -> None:
        while True:
            await self._clock.sleep(WATCH_SECONDS)
            if self._source.files_changed():
                await self.reload()

    def _listen_to_signals(self, group: asyncio.TaskGroup) -> None:
        """SIGTERM and SIGINT stop, a second one at once; SIGHUP loads the configuration again."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            self.stop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: group.create_task(self.reload()))


def _tasks_by_region_and_mode(report: AppReport) -> Mapping[tuple[str, str], int] | None:
    if report.aggregates is None:
        return None
    return {(region, mode): tasks for (region, mode), tasks in report.aggregates.counts("tasks").items()}
