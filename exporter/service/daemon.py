"""The composition root of `serve`: builds everything, runs it in one task group, and drains it."""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog
from msgspec import Struct

from exporter import __version__
from exporter.collector.past import SavedApp
from exporter.config.mistakes import ConfigError, UsageError
from exporter.config.model import redacted
from exporter.core.clock import Clock
from exporter.core.collection_state import Component
from exporter.core.threads import Worker
from exporter.metrics.exposition import Exposition, families
from exporter.metrics.self_metrics import (
    CONFIG_LAST_RELOAD_SUCCESSFUL,
    EVENT_LOOP_LAG,
    WEB_CONFIG_LAST_RELOAD_SUCCESSFUL,
    SelfMetrics,
)
from exporter.rules.findings import FindingLog
from exporter.rules.rule_loader import ConfigurationSource, LoadedRules
from exporter.service import process as signals
from exporter.service.budget_leases import BudgetLeases
from exporter.service.monitor import Monitor
from exporter.service.process import Heartbeat, ServiceManager, Watchdog
from exporter.service.views import DaemonView, InForce
from exporter.web import http_server
from exporter.web.addresses import KnownHosts, url_prefix
from exporter.web.application import application
from exporter.web.webconfig.gate import Gate, gate_of

T = TypeVar("T")

BEAT_SECONDS: Final = 1.0
BUDGET_LOOK_BEATS: Final = 5
WATCH_SECONDS: Final = 1.0  # how often files are looked at; a change counts when the next look finds nothing further
PUBLISH_PAUSE_SECONDS: Final = 0.02  # what changes within this time is published together
PUBLISH_OWN_PAUSE_SECONDS: Final = 1.0  # how old the exporter's own metrics may be in a scrape
PUBLISH_TASKS_PAUSE_SECONDS: Final = 0.5  # the same for single tasks, whose families are larger
LONGEST_START_SECONDS: Final = 60.0
LONGEST_JUDGING_SECONDS: Final = 5.0
STUCK_SECONDS: Final = 15.0
DRAIN_SECONDS: Final = 4.0
LONGEST_READ_SECONDS: Final = 30.0  # how long reading the configuration may take: a network file system may not answer


class Options(Struct, frozen=True):
    """What the command line of `serve` sets."""

    listen_addresses: Sequence[str] = (":10678",)
    telemetry_path: str = "/metrics"
    enable_lifecycle: bool = False  # whether the configuration can be loaded again over HTTP
    web_config_file: Path | None = None  # TLS, users, headers and rate limit of all that is served; None: none of them
    health_without_auth: bool = False  # whether health checks need no password
    external_url: str | None = None  # where a proxy publishes all of it; links begin with its path
    route_prefix: str | None = None  # path below which everything is served; None: that of `external_url`
    grafana_url: str | None = None  # where the bundled dashboards are; None: pages don't link to them
    allowed_hosts: Sequence[str] = ()  # further names that browsers may use for the pages


class Daemon:
    """Collects and serves until it is stopped."""

    def __init__(
        self,
        source: ConfigurationSource,
        options: Options,
        metrics: SelfMetrics,
        *,
        clock: Clock,
        rng: random.Random,
        service_manager: ServiceManager | None = None,
        watchdog: Watchdog | None = None,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        self._source = source
        self._options = options
        self._service_manager = service_manager or ServiceManager({})
        self._sockets = sockets
        self._metrics = metrics
        self._clock = clock
        self._exposition = Exposition(families(), metrics)
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._listening = asyncio.Event()
        self._reload_asked = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._finding_log = FindingLog(clock)
        self._monitor = Monitor(
            self._exposition,
            metrics,
            clock=clock,
            rng=rng,
            changed=self._changed.set,
            events=self._finding_log,
            lease_of=lambda account: self._leases.lease_of(account),  # noqa: PLW0108 - it is made below
        )
        self._recorder, self._task_series = self._monitor.recorder, self._monitor.task_series
        self._leases = BudgetLeases(
            clock=clock,
            limiter=lambda account: self._monitor.accesses[account].limiter,
            changed=self._collect_other_budgets,
            waits=lambda accounts: self._recorder.writer is not None and self._recorder.writer.waits_for(accounts),
            failed=lambda error: self._monitor.supervisor.failed(Component.LEASES, error),
        )
        self.view = DaemonView(
            self._monitor,
            self._leases,
            self._recorder,
            reload=self.reload,
            ready=self.ready,
            healthy=self.healthy,
            exposition=self._exposition,
            task_series=self._task_series,
            metrics=metrics,
            clock=clock,
        )
        self._heartbeat = Heartbeat(clock)
        self._watchdog = watchdog
        self._files = Worker("read configuration")
        self._began = clock.monotonic()
        self._published_waiting = 0  # how many apps no attempt had finished for when the last publication began
        self._gate: Gate | None = None
        self.addresses: Sequence[str] = ()
        self.scheme = "http"

    async def run(self) -> None:
        """Run until a signal or `stop()`; raises ConfigError, UsageError for a CA file or a web flag, ListenError."""
        with signals.handled(stop=self.stop, reload=self._reload_asked.set):
            work = asyncio.create_task(self._work())
            stopping = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    structlog.get_logger().info("stopping")
                    self._service_manager.stopping()
                    work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
            finally:
                stopping.cancel()
                work.cancel()
                await asyncio.gather(work, stopping, return_exceptions=True)

    async def _work(self) -> None:
        log = structlog.get_logger()
        self._gate = gate_of(
            self._options.web_config_file,
            self._clock,
            health_without_auth=self._options.health_without_auth,
            report=partial(self._metrics.set, WEB_CONFIG_LAST_RELOAD_SUCCESSFUL),
        )
        app = application(
            self.view,
            self._clock,
            telemetry_path=self._options.telemetry_path,
            enable_lifecycle=self._options.enable_lifecycle,
            hosts=KnownHosts.of_this_machine(
                external_url=self._options.external_url, allowed=self._options.allowed_hosts
            ),
            prefix=url_prefix(self._options.external_url, self._options.route_prefix),
            grafana_url=self._options.grafana_url,
        )
        running: http_server.Running | None = None
        sockets = list(self._sockets)
        try:
            await self._take(await self._read(self._source.load))
            # Before the database is opened: where another exporter runs with this configuration, it is in use.
            for text in () if sockets else self._options.listen_addresses:
                sockets += [await http_server.bind(http_server.parse_listen_address(text))]
            await self._begin_with_saved()
            await self._publish()
            await self._exposition.publish_own_off_loop()
            # Only now: the first scrape finds what an earlier process knew.
            running = await http_server.start(app, sockets, gate=self._gate)
            self.addresses, self.scheme = running.addresses, running.scheme
            self._listening.set()
            log.info("listening", addresses=", ".join(running.addresses), version=__version__)
            self._service_manager.ready()
            self._monitor.start()
            async with asyncio.TaskGroup() as group:
                for part, chore in (
                    (Component.PUBLISH, self._publish_changes),
                    (Component.PUBLISH, self._repeat(PUBLISH_OWN_PAUSE_SECONDS, self._exposition.publish_own_off_loop)),
                    (
                        Component.PUBLISH_TASKS,
                        self._repeat(PUBLISH_TASKS_PAUSE_SECONDS, self._task_series.publish),
                    ),
                    (Component.HEARTBEAT, self._beat),
                    (Component.TRENDS, self.view.trends.run),
                    (Component.RELOAD, self._reload_when_asked),
                    (Component.WATCH_FILES, self._repeat(WATCH_SECONDS, self._look_at_files)),
                    (Component.WATCH_WEB_FILES, self._repeat(WATCH_SECONDS, self._look_at_web_files)),
                    (Component.RULES, self._monitor.policy.run),
                    (Component.LEASES, self._leases.run),
                ):
                    group.create_task(self._monitor.supervisor.keep_running(part, chore))
        finally:
            if self._watchdog is not None:
                self._watchdog.stop()
            for close in (self.view.fresh_sweeps.close, self._monitor.close):
                with self._monitor.supervisor.guarded(Component.SCHEDULE):
                    await close()
            storage = asyncio.create_task(self._close_storage())
            if running is None or self._leases.sharing is not None:
                await storage  # until then no other exporter serves these apps
            if running is not None:
                await asyncio.gather(storage, running.close(DRAIN_SECONDS))
            for listening in sockets:
                listening.close()

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

    async def reload(self) -> str | None:
        """Load the configurations again; return why one is refused, a line for each mistake, or None."""
        refusal = await self._reload_configuration()
        mistakes = () if self._gate is None else await self._gate.followed.load_again()
        with self._monitor.supervisor.guarded(Component.PUBLISH):
            await self._exposition.publish_own_off_loop()
        return "\n".join((*(() if refusal is None else (refusal,)), *mistakes)) or None

    async def _reload_configuration(self) -> str | None:
        log = structlog.get_logger()
        async with self._reloading:
            self._service_manager.reloading()
            try:
                await self._take(await self._read(self._source.load))
                with self._monitor.supervisor.guarded(Component.STORAGE):
                    await self._recorder.use(self.view.in_force.config, loads=self._leases.sharing is None)
                    for key in self._monitor.apps:
                        self._recorder.reconcile(key)
                    self._metrics.storage(self._recorder.writer)
            except (ConfigError, UsageError) as error:
                self._metrics.set(CONFIG_LAST_RELOAD_SUCCESSFUL, 0)
                for line in str(error).splitlines():
                    log.warning("configuration refused, the one before stays", mistake=line)
                return str(error)
            except Exception as error:  # noqa: BLE001 - whatever it was: the exporter continues
                self._metrics.set(CONFIG_LAST_RELOAD_SUCCESSFUL, 0)
                return self._monitor.supervisor.failed(Component.RELOAD, error)
            finally:
                self._service_manager.ready()
            log.info(
                "configuration loaded again",
                apps=len(self._monitor.apps),
                rules=len(self.view.in_force.rule_set.all_rules()),
            )
            return None

    def ready(self) -> str | None:
        """Return why not to rely on the exporter yet."""
        if self._stop.is_set():
            return "it is stopping"
        if self._clock.monotonic() - self._began >= LONGEST_START_SECONDS:
            return None
        if self._leases.sharing is not None and not self._leases.reached:
            return "the database of the leases has not answered yet"
        if waiting := self._published_waiting:
            return f"{waiting} of {len(self._monitor.apps)} apps wait for their first sweep"
        return None

    def healthy(self) -> str | None:
        """Return why to restart the process. That the API fails is no reason."""
        silent = self._heartbeat.silent_seconds
        return f"the event loop has not beaten for {silent:.0f} s" if silent > STUCK_SECONDS else None

    async def _take(self, loaded: LoadedRules) -> None:
        """Switch to another configuration in one step: pages see the one before, or all of it."""
        before = self.view.in_force
        in_force = InForce(loaded.config, loaded.rule_set, redacted(loaded.config))
        try:
            await self._apply(in_force)
        except BaseException:
            self._leases.configure(before.config)
            raise
        for step in (self._exposition.publish_own_off_loop, self._publish, self._monitor.close_removed):
            with self._monitor.supervisor.guarded(Component.RELOAD):
                await step()
        # Only now: who sees the new digest sees the new apps, and none that was removed.
        self._metrics.config_loaded(loaded.sha256, self._clock.now(), unmatched_patterns=len(loaded.warnings))
        for warning in loaded.warnings:
            structlog.get_logger().warning("configuration is probably not as meant", warning=str(warning))

    async def _apply(self, in_force: InForce) -> None:
        """Run what of a configuration this exporter collects, in one step: it waits for nothing unless it fails."""
        self._leases.configure(in_force.config)
        await self._monitor.apply(self._leases.part(), in_force.rule_set)
        self._leases.lend()
        self.view.in_force = in_force

    async def _collect_other_budgets(self, saved: Iterable[SavedApp]) -> None:
        await self._apply(self.view.in_force)
        self._monitor.restore(saved)
        await self._evaluate_restored()
        await self._publish()
        await self._monitor.close_removed()

    async def _read(self, read: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(LONGEST_READ_SECONDS):
                return await self._files.run(read)
        except TimeoutError:
            sentence = f"the configuration can't be read within {LONGEST_READ_SECONDS:.0f} s: check its file system"
            raise UsageError(sentence) from None

    async def _begin_with_saved(self) -> None:
        with self._monitor.supervisor.guarded(Component.STORAGE):
            shared = self._leases.sharing is not None
            self._monitor.restore(await self._recorder.use(self.view.in_force.config, loads=not shared))
            await self._evaluate_restored()

    async def _close_storage(self) -> None:
        with self._monitor.supervisor.guarded(Component.STORAGE):
            await self._recorder.close()
        with self._monitor.supervisor.guarded(Component.LEASES):
            await self._leases.leave()

    async def _evaluate_restored(self) -> None:
        """Evaluate the tasks of an earlier process before they are shown, unless there are very many."""
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
            try:
                await self._publish()
            except Exception:
                self._changed.set()
                raise
            await self._clock.sleep(PUBLISH_PAUSE_SECONDS)

    def _repeat(self, pause_seconds: float, step: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            while True:
                await step()
                await self._clock.sleep(pause_seconds)

        return run

    async def _beat(self) -> None:
        beats = 0
        while True:
            self._metrics.set(EVENT_LOOP_LAG, await self._heartbeat.beat(BEAT_SECONDS))
            if self._watchdog is not None:
                self._watchdog.feed()
            self._service_manager.alive()
            self._monitor.look_at_clock()
            self._finding_log.flush()
            self._metrics.storage(self._recorder.writer)
            self._leases.publish(self._metrics)
            beats += 1
            if beats % BUDGET_LOOK_BEATS == 0:
                self._monitor.look_at_budget()

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            await self.reload()

    async def _look_at_files(self) -> None:
        try:
            async with self._reloading:
                has_settled = await self._read(self._source.change_has_settled)
        except UsageError as error:
            structlog.get_logger().warning("configuration not watched", reason=str(error))
        else:
            if has_settled:
                await self._reload_configuration()

    async def _look_at_web_files(self) -> None:
        if self._gate is not None:
            await self._gate.followed.look()
