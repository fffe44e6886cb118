"""The composition root of `serve`: builds everything, runs it in one task group, and drains it."""

import asyncio
import random
import signal
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from msgspec import Struct

from exporter import __version__
from exporter.clock import Clock
from exporter.config.loader import Loaded
from exporter.config.mistakes import ConfigError
from exporter.config.redacted import redacted
from exporter.configuration_source import ConfigurationSource
from exporter.heartbeat import Heartbeat
from exporter.metrics.catalogue import families
from exporter.metrics.exposition import Body, Exposition
from exporter.metrics.formats import Format
from exporter.metrics.report import AppReport
from exporter.metrics.self_metrics import SelfMetrics
from exporter.monitor import Monitor
from exporter.web import server
from exporter.web.application import application
from exporter.web.view import AppView

BEAT_SECONDS: Final = 1.0
BUDGET_LOOK_BEATS: Final = 5
WATCH_SECONDS: Final = 2.0
PUBLISH_PAUSE_SECONDS: Final = 0.02
"""What changes within this time is published together."""
LONGEST_START_SECONDS: Final = 60.0
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
        self._monitor = Monitor(self._exposition, metrics, clock=clock, rng=rng, changed=self._changed.set)
        self._heartbeat = Heartbeat(clock)
        self._began = clock.monotonic()
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
        running = await server.start(app, self._options.listen_addresses)
        try:
            await self._take(loaded)
            self.addresses = running.addresses
            self._listening.set()
            log.info("listening", addresses=list(running.addresses), version=__version__)
            self._monitor.start()
            async with asyncio.TaskGroup() as group:
                chores = [group.create_task(chore()) for chore in (self._publish, self._beat, self._follow_app_files)]
                self._listen_to_signals(group)
                await self._stop.wait()
                log.info("stopping")
                for chore in chores:
                    chore.cancel()
        finally:
            await self._monitor.close()
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

    def ready(self) -> str | None:
        """Return why not to rely on the exporter yet."""
        if self._stop.is_set():
            return "it is stopping"
        waiting = sum(not app.collector.attempted for app in self._monitor.apps.values())
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
        await self._monitor.apply(loaded.config)
        self._shown_config = redacted(loaded.config)
        self._metrics.config_loaded(loaded.sha256, self._clock.now())
        await self._exposition.publish_off_loop()

    async def _publish(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._exposition.publish_off_loop()
            await self._clock.sleep(PUBLISH_PAUSE_SECONDS)

    async def _beat(self) -> None:
        beats = 0
        while True:
            self._metrics.event_loop_lag.set(await self._heartbeat.beat(BEAT_SECONDS))
            self._monitor.look_at_clock()
            beats += 1
            if beats % BUDGET_LOOK_BEATS == 0:
                self._monitor.look_at_budget()

    async def _follow_app_files(self) -> None:
        while True:
            await self._clock.sleep(WATCH_SECONDS)
            if self._source.app_files_changed():
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
